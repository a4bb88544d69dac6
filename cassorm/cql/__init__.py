"""SAY: CQL as text, with no I/O. May import `errors` alone."""
