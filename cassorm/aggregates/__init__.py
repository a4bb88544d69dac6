"""DECIDE: aggregates, deciders, snapshots and their repository. May import `events` and what lies below."""
