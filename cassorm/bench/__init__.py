"""MEASURE: the public API beside the bare driver, on one node. May import everything but `cli` and `testing`."""
