"""Which node a statement goes to, and when it goes to another."""

from collections.abc import Iterator
from typing import Any

from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)

# The driver's default policy sends an LWT whose answer was lost to the next node, where it finds its own effect and
# reports that it lost against itself. Whatever must not run twice gets this policy instead: nothing is sent again.
NEVER = FallthroughRetryPolicy()

_MOST_HOPS = 2


class RetryIdempotent(RetryPolicy):  # type: ignore[misc]
    """For statements that may run twice: once more after a timeout, on other nodes when one is lost or refuses."""

    def on_read_timeout(self, query: object, consistency: int, **info: Any) -> tuple[int, int | None]:
        """Once more: on the same node when enough replicas answered and the one asked for data did not."""
        if info["retry_num"] > 0:
            return self.RETHROW, None
        if info["received_responses"] >= info["required_responses"] and not info["data_retrieved"]:
            return self.RETRY, consistency
        return self.RETRY_NEXT_HOST, consistency

    def on_write_timeout(self, query: object, consistency: int, **info: Any) -> tuple[int, int | None]:
        """Once more, on the next node."""
        return (self.RETRY_NEXT_HOST, consistency) if info["retry_num"] == 0 else (self.RETHROW, None)

    def on_unavailable(self, query: object, consistency: int, **info: Any) -> tuple[int, int | None]:
        """Once more, on the next node: it may see replicas that this one does not."""
        return (self.RETRY_NEXT_HOST, None) if info["retry_num"] == 0 else (self.RETHROW, None)

    def on_request_error(
        self, query: object, consistency: int, error: object, retry_num: int
    ) -> tuple[int, int | None]:
        """On the next node, twice at most."""
        return (self.RETRY_NEXT_HOST, None) if retry_num < _MOST_HOPS else (self.RETHROW, None)


IDEMPOTENT = RetryIdempotent()


class LocalReplicasFirst(TokenAwarePolicy):  # type: ignore[misc]
    """The replicas of the partition in the local data centre, then its other nodes; remote ones never."""

    def __init__(self, datacenter: str | None) -> None:
        self._local = DCAwareRoundRobinPolicy(datacenter or "")
        self._up: set[Any] = set()
        super().__init__(self._local)

    @property
    def datacenter(self) -> str:
        """The local data centre: as given, or that of the first node contacted."""
        return str(self._local.local_dc or "")

    def make_query_plan(self, working_keyspace: str | None = None, query: Any = None) -> Iterator[Any]:
        """The nodes to try, in their order."""
        # With one node there is nothing to choose: the search for replicas costs more than all else here.
        if len(self._up) < 2:
            return iter(self._local.make_query_plan(working_keyspace, query))
        return iter(super().make_query_plan(working_keyspace, query))

    def populate(self, cluster: Any, hosts: Any) -> None:
        """Begin with `hosts`."""
        self._up.update(hosts)
        super().populate(cluster, hosts)

    def on_up(self, host: Any) -> None:
        """A node is up."""
        self._up.add(host)
        super().on_up(host)

    def on_down(self, host: Any) -> None:
        """A node is down."""
        self._up.discard(host)
        super().on_down(host)

    def on_add(self, host: Any) -> None:
        """A node is new."""
        self._up.add(host)
        super().on_add(host)

    def on_remove(self, host: Any) -> None:
        """A node has gone."""
        self._up.discard(host)
        super().on_remove(host)
