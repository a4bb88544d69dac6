"""The bare driver at its fastest plain use, to compare with: prepared statements, callbacks, tuples, no retries.

Besides `cassorm.driver` the only module that imports `cassandra`. Everything here blocks: it is called from a thread.
"""

import threading
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy, FallthroughRetryPolicy, RoundRobinPolicy, TokenAwarePolicy
from cassandra.query import UNSET_VALUE, SimpleStatement, dict_factory, tuple_factory

from cassorm.bench.sample import Sample
from cassorm.driver.consistency import Consistency
from cassorm.driver.settings import Settings
from cassorm.errors import ClusterError

Params = Callable[[], Sequence[object]]
"""Gives the parameters of a worker's next operation."""

_REQUEST_TIMEOUT_S = 15
_PATIENCE_S = 60


class Bare:
    """A session of the bare driver.

    Routing by token where there is more than one node; on a single node it would cost time for nothing.
    """

    unset: object = UNSET_VALUE
    """As a parameter: leave the column as it is."""

    def __init__(self, settings: Settings, *, datacenter: str, nodes: int, dict_rows: bool = False) -> None:
        points = settings.contact_points()
        auth = None
        if settings.user is not None and settings.password is not None:
            auth = PlainTextAuthProvider(settings.user, settings.password.get_secret_value())
        many = nodes > 1
        policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(datacenter)) if many else RoundRobinPolicy()
        profile = ExecutionProfile(
            load_balancing_policy=policy,
            retry_policy=FallthroughRetryPolicy(),
            consistency_level=Consistency.LOCAL_QUORUM.value,
            serial_consistency_level=Consistency.LOCAL_SERIAL.value,
            request_timeout=_REQUEST_TIMEOUT_S,
            row_factory=dict_factory if dict_rows else tuple_factory,
        )
        self._cluster = Cluster(
            points,
            port=points[0][1],
            auth_provider=auth,
            ssl_context=settings.tls_context(),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=settings.protocol_version,
            compression=settings.compression,
        )
        self._session = self._cluster.connect()

    def prepare(
        self, text: str, *, consistency: Consistency | None = None, serial_consistency: Consistency | None = None
    ) -> Any:
        """The driver's prepared statement."""
        prepared = self._session.prepare(text)
        if consistency is not None:
            prepared.consistency_level = consistency.value
        if serial_consistency is not None:
            prepared.serial_consistency_level = serial_consistency.value
        return prepared

    def run(
        self,
        prepared: Any,
        new_worker: Callable[[], Params],
        accept: Callable[[Any], bool],
        *,
        seconds: float,
        concurrency: int,
    ) -> Sample:
        """What `concurrency` workers get done in `seconds`; each sends its next operation from its answer's callback.

        An operation counts when `accept` says so of its rows; a worker whose operation fails sends no more.
        """
        execute = self._session.execute_async
        latencies = array("d")
        failures: list[object] = []
        ended = _Countdown(concurrency)

        def begin_worker() -> None:
            params = new_worker()
            begun = perf_counter()

            def succeed(rows: Any) -> None:
                nonlocal begun
                now = perf_counter()
                try:
                    if accept(rows):
                        latencies.append(now - begun)
                    else:
                        failures.append(rows)
                    if now < end:
                        begun = now
                        execute(prepared, params()).add_callbacks(succeed, fail)
                    else:
                        ended.count()
                except Exception as error:  # the driver would drop it, and the wait would never end
                    fail(error)

            def fail(error: object) -> None:
                failures.append(error)
                ended.count()

            execute(prepared, params()).add_callbacks(succeed, fail)

        cpu, start = process_time(), perf_counter()
        end = start + seconds
        for _ in range(concurrency):
            begin_worker()
        ended.wait(seconds)
        elapsed, spent = perf_counter() - start, process_time() - cpu
        return Sample(len(latencies), elapsed, spent, len(failures), latencies)

    def yardstick(self, prepared: Any, params: Params, *, seconds: float, concurrency: int) -> Sample:
        """The same without a thing in the loop but the driver: what `run` is held against.

        It takes no latencies and looks at no rows.
        """
        execute = self._session.execute_async
        ended = _Countdown(concurrency)
        counts = [0, 0]

        def succeed(_: object) -> None:
            counts[0] += 1
            if perf_counter() < end:
                execute(prepared, params()).add_callbacks(succeed, fail)
            else:
                ended.count()

        def fail(_: object) -> None:
            counts[1] += 1
            ended.count()

        cpu, start = process_time(), perf_counter()
        end = start + seconds
        for _ in range(concurrency):
            execute(prepared, params()).add_callbacks(succeed, fail)
        ended.wait(seconds)
        return Sample(counts[0], perf_counter() - start, process_time() - cpu, counts[1])

    def rows(self, prepared: Any, params: Sequence[object]) -> list[Any]:
        """The rows of one execution."""
        return list(self._session.execute(prepared, params))

    def scan(self, text: str, *, page_size: int) -> int:
        """How many rows a paged SELECT gives, read one by one."""
        count = 0
        for _ in self._session.execute(SimpleStatement(text, fetch_size=page_size)):
            count += 1
        return count

    def close(self) -> None:
        """Close every connection."""
        self._cluster.shutdown()


class _Countdown:
    """Waits until each of `workers` has ended."""

    def __init__(self, workers: int) -> None:
        self._left = workers
        self._lock = threading.Lock()
        self._done = threading.Event()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._done.set()

    def wait(self, seconds: float) -> None:
        if not self._done.wait(seconds + _REQUEST_TIMEOUT_S + _PATIENCE_S):
            raise ClusterError(
                f"{self._left} operations of the bare driver were never answered",
                where="benchmark",
                remedy="See whether the cluster is alive, then run it again",
            )
