"""MEASURE: the public API beside the bare driver. May import everything but `cli` and `testing`."""
