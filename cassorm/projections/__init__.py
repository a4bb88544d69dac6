"""SHOW: read models, handlers and totals fed by events, their rebuild and their queries. May import all below the CLI and devnode."""
