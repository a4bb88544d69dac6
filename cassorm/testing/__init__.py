"""Tools for tests: given/when/then for aggregates, counted queries, and a pytest plugin with a node, a keyspace and a store.

The plugin, `cassorm.testing.plugin`, is loaded by pytest itself; its fixtures need no import. May import every package
but `bench` and `cli`.
"""

from cassorm.testing.queries import QueryLog, assert_queries
from cassorm.testing.scenario import Given, Outcome, given

__all__ = ["Given", "Outcome", "QueryLog", "assert_queries", "given"]
