"""Examples: `quickstart.py` in forty lines, and `ecommerce`, a shop that replays real orders."""
