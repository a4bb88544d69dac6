"""The `cassorm` command. May import everything."""
