"""QUERY: models over tables, typed expressions, rows into objects. May import `schema`, `driver`, `cql` and `errors`."""
