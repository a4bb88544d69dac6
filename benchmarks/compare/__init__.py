"""cassorm, the bare driver and every Python peer that installs, on one table of one node: `python -m benchmarks.compare`."""
