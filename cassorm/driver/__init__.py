"""TALK: the only package that imports the `cassandra` module. May import `cql` and `errors`."""
