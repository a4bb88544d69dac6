"""One module for each side; `open_side(place)` connects and returns its operations."""
