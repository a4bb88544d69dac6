"""DESCRIBE: tables as values, read from files and live keyspaces, written as DDL. May import `driver` and what lies below."""
