"""RECORD: events, their catalog and the stores that keep them. May import `schema` and what lies below."""
