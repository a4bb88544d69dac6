"""The session: prepare, execute, page, batch, from asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from cassorm.cql.dialect import Dialect
from cassorm.cql.statements import Statement, is_conditional, is_read
from cassorm.driver.bridge import Abandoned, Bridge, Request
from cassorm.driver.consistency import Consistency
from cassorm.driver.observing import Observer, SentStatement, observers
from cassorm.driver.paging import Pages, Row, rows_of
from cassorm.driver.prepared import Check, Key, OutdatedError, Prepared, PreparedCache, shortened
from cassorm.driver.result import Result
from cassorm.driver.settings import Settings
from cassorm.driver.tracing import Trace, tracing
from cassorm.errors import CassormError, QueryError, UnavailableError

if TYPE_CHECKING:
    from cassorm.driver.wire import Wire

T = TypeVar("T")
BatchKind = Literal["logged", "unlogged", "counter"]

PAGE_SIZE = 5000
"""How many rows a page has unless a statement says otherwise."""
_MOST_IN_BATCH = 65_535
_DDL_TIMEOUT = timedelta(seconds=60)
_CLOSE_GRACE = timedelta(seconds=5)


class Session:
    """A connection to a cluster, made by `connect`; it belongs to the event loop on which it was made.

    A write with a condition (`IF`) is sent once and never again behind the caller's back: when its answer does not
    come, it raises `OutcomeUnknownError`. Reads, and what is marked `idempotent`, are sent to another node when one
    fails. At most `settings.max_in_flight` requests are under way; others wait, in their order.
    """

    def __init__(
        self,
        wire: "Wire",
        bridge: Bridge,
        threads: ThreadPoolExecutor,
        *,
        settings: Settings,
        dialect: Dialect,
        release: str,
        datacenter: str,
    ) -> None:
        self.settings = settings
        self.dialect = dialect
        self.release = release
        self.datacenter = datacenter
        self.keyspace = settings.keyspace
        self._wire = wire
        self._bridge = bridge
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._prepared = PreparedCache(self._prepare, most=settings.max_prepared)
        self._closing: asyncio.Task[None] | None = None
        self._consistency = settings.consistency.value
        self._serial_consistency = settings.serial_consistency.value
        self._timeout_s = settings.request_timeout.total_seconds()

    async def prepare(self, text: str, *, raw: Sequence[str] = (), check: Check | None = None) -> Prepared:
        """The statement, prepared once per session: asking again costs nothing.

        `raw` names columns that its rows leave as the bytes that came, for those who decode them later or never.
        `check` is shown the statement before it is first sent, and again when its table has changed; what it raises is
        raised to whoever prepares or executes it.

        Raises:
            ClusterError: the server refused the statement.
            QueryError: `raw` names a column that the statement does not return.
            UnavailableError: no node answered; prepare again.
        """
        self._check_usable()
        if not isinstance(text, str):
            raise QueryError(f"{shortened(repr(text))} is no statement", where="prepare", remedy="Give CQL text")
        key = text, tuple(raw)
        prepared = self._prepared.kept(key) or await self._prepared.get(key)
        if check is not None and check not in prepared.checks:
            check(prepared)
            prepared.checks.add(check)
        return prepared

    async def execute(
        self,
        statement: str | Prepared | Statement,
        params: Sequence[object] = (),
        *,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
        page_size: int | None = None,
        page_state: bytes | None = None,
    ) -> Result:
        """The first page of what `statement` returns, or the page that `page_state` stands for.

        Text with parameters is prepared; text without is sent as it is. A page has 5000 rows unless `page_size` says
        otherwise. `timeout` counts from sending: waiting for a turn is not part of it. `idempotent` tells whether the
        statement may run twice; unless given, reads may.

        Raises:
            OutcomeUnknownError: a conditional statement was sent and not answered; read back what stands.
            UnavailableError: not enough nodes answered, or none could be reached; call again.
            ClusterError: the server refused the statement.
            QueryError: the parameters do not fit; nothing was sent.
        """
        self._check_usable()
        if type(statement) is not Prepared:
            if isinstance(statement, Statement):
                params, statement = statement.params, statement.text
            if isinstance(statement, str):
                if not params:
                    return await self._execute_text(
                        statement,
                        consistency=consistency,
                        serial_consistency=serial_consistency,
                        timeout=timeout,
                        idempotent=idempotent,
                        page_size=page_size or PAGE_SIZE,
                        page_state=page_state,
                    )
                statement = await self.prepare(statement)
            else:
                raise QueryError(
                    f"{shortened(repr(statement))} is no statement",
                    where="execute",
                    remedy="Give CQL text, a Statement, or what `prepare` returned",
                )
        if statement.stale:
            await self._renew([statement])
        make = partial(
            self._wire.bind,
            statement,
            params,
            consistency=self._consistency if consistency is None else _level(consistency),
            serial_consistency=self._serial_consistency if serial_consistency is None else _level(serial_consistency),
            idempotent=statement.reads
            if idempotent is None
            else _repeatable(idempotent, statement.text, once=statement.conditional or statement.counts),
            page_size=page_size or PAGE_SIZE,
        )
        return await self._exchange(
            make,
            statement.text,
            params,
            page_state=page_state,
            timeout=timeout,
            conditional=statement.conditional,
            counts=statement.counts,
            prepared=(statement,),
        )

    def pages(
        self,
        statement: str | Prepared | Statement,
        params: Sequence[object] = (),
        *,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Pages:
        """Pages of rows, none of them empty, the next one fetched while this one is used; `timeout` is for each.

        Raises:
            UnavailableError: while iterating; going on fetches the page that failed once more.
        """

        def fetch(page_state: bytes | None) -> Any:
            return self.execute(
                statement, params, consistency=consistency, timeout=timeout, page_size=page_size, page_state=page_state
            )

        return Pages(fetch)

    def decoded(self, statement: Prepared, page: Any) -> Iterator[list[Row]]:
        """The rows of a page of a statement that was prepared with `raw=WHOLE`, a few at a time.

        Raises:
            ClusterError: while iterating: a value cannot be decoded.
        """
        try:
            yield from page.parts()
        except Exception as error:
            raise self._wire.unreadable(error, statement.text) from error

    def stream(
        self,
        statement: str | Prepared | Statement,
        params: Sequence[object] = (),
        *,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Row]:
        """Rows, one by one, in memory for two pages; `timeout` is for each page."""
        return rows_of(self.pages(statement, params, consistency=consistency, timeout=timeout, page_size=page_size))

    async def execute_batch(
        self,
        items: Sequence[tuple[Prepared, Sequence[object]]],
        *,
        kind: BatchKind = "logged",
        conditional: bool = False,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool = False,
    ) -> Result:
        """What the batch returned: rows with `[applied]` when it is conditional, else none.

        It is conditional when `conditional` says so or one of its statements is.

        Raises:
            OutcomeUnknownError: a conditional or counter batch was sent and not answered; read back what stands.
            UnavailableError: not enough nodes answered, or none could be reached; call again.
            ClusterError: the server refused the batch.
            QueryError: the batch is empty or too long, or parameters do not fit; nothing was sent.
        """
        self._check_usable()
        if not 0 < len(items) <= _MOST_IN_BATCH:
            raise QueryError(
                f"a batch of {len(items)} statements",
                where="batch",
                remedy=f"Give between 1 and {_MOST_IN_BATCH} statements",
            )
        text = f"{kind} batch of {len(items)}, the first: {items[0][0].text}"
        conditional = conditional or any(prepared.conditional for prepared, _ in items)
        counts = kind == "counter"
        statements = [prepared for prepared, _ in items]
        await self._renew(statements)
        make = partial(
            self._wire.batch,
            items,
            kind=kind,
            consistency=self._consistency if consistency is None else _level(consistency),
            serial_consistency=self._serial_consistency if serial_consistency is None else _level(serial_consistency),
            idempotent=_repeatable(idempotent, text, once=conditional or counts),
        )
        return await self._exchange(
            make,
            text,
            items,
            timeout=timeout,
            conditional=conditional,
            counts=counts,
            batch=kind,
            prepared=statements,
        )

    async def ddl(self, text: str, *, timeout: timedelta = _DDL_TIMEOUT) -> None:
        """Change the schema; all nodes that are up know the change when this returns.

        Raises:
            ClusterError: the server refused the statement.
            UnavailableError: no answer, or the nodes do not agree on the schema; call again, with IF (NOT) EXISTS.
        """
        self._check_usable()
        await self._execute_text(text, timeout=timeout)
        if not await self._in_thread(self._wire.agree, timeout.total_seconds()):
            raise UnavailableError(
                f"the nodes did not agree on the schema within {timeout.total_seconds():g} s",
                where=shortened(text),
                remedy="Look at `nodetool describecluster`, then call again",
            )

    def tracing(self, *tables: str) -> AbstractAsyncContextManager[list[Trace]]:
        """The traces of what is sent inside the block, there when it ends; of statements on `tables` alone, if given.

        Raises:
            UnavailableError: at the end of the block: the server has not written its traces in time.
        """
        return tracing(self.execute, frozenset(tables))

    async def close(self, *, grace: timedelta = _CLOSE_GRACE) -> None:
        """Wait up to `grace` for requests under way, fail the rest, and close every connection."""
        self._check_loop()
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(grace.total_seconds()))
        await asyncio.shield(self._closing)

    async def _close(self, grace_s: float) -> None:
        await self._bridge.close(grace_s)
        try:
            await self._in_thread(self._wire.shutdown)
        finally:
            self._threads.shutdown(wait=False)

    # -- the way of every statement ------------------------------------------------------------------------------

    async def _execute_text(
        self,
        text: str,
        *,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
        page_size: int = PAGE_SIZE,
        page_state: bytes | None = None,
    ) -> Result:
        if text.lstrip()[:4].lower() == "use ":
            raise QueryError(
                "USE would change the keyspace under every statement of the session",
                where=shortened(text),
                remedy="Connect with keyspace=..., or name the keyspace in the statements",
            )
        conditional = is_conditional(text)
        make = partial(
            self._wire.simple,
            text,
            consistency=self._consistency if consistency is None else _level(consistency),
            serial_consistency=self._serial_consistency if serial_consistency is None else _level(serial_consistency),
            idempotent=is_read(text) if idempotent is None else _repeatable(idempotent, text, once=conditional),
            page_size=page_size,
        )
        return await self._exchange(make, text, (), page_state=page_state, timeout=timeout, conditional=conditional)

    async def _exchange(
        self,
        make: Callable[[], Any],
        text: str,
        params: Sequence[Any],
        *,
        page_state: bytes | None = None,
        timeout: timedelta | None = None,
        conditional: bool = False,
        counts: bool = False,
        batch: BatchKind | None = None,
        prepared: Sequence[Prepared] = (),
    ) -> Result:
        watching: Sequence[Observer] = observers.get()
        asking: Sequence[Observer] = ()
        if watching:
            told = _as_sent(text, params, batch, following=page_state is not None)
            asking = [each for each in watching if each.traces(told.text)]
        timeout_s = self._timeout_s if timeout is None else _seconds(timeout)
        bridge = self._bridge
        if not bridge.take_turn():
            await self._queue_up(text)
        request = Request(self._loop.create_future())
        try:
            # Made only now: thousands who wait for their turn shall neither take memory nor keep the loop busy.
            sent = self._wire.send(make(), page_state, bridge, request, trace=bool(asking))
        except Exception as error:
            bridge.give_back()
            if isinstance(error, CassormError):
                raise
            raise self._wire.unsent(error, text) from error
        bridge.watch(request, timeout_s)
        for each in watching:
            each.sent(told)
        await request.future
        for each in asking:
            self._wire.tell_trace(sent, partial(each.traced, told.text))
        answer = self._wire.completed(request.answer)
        if type(answer) is Result:
            return answer
        problem = self._wire.translate(
            answer if request.error is None else request.error,
            text,
            timeout_s=timeout_s,
            conditional=conditional,
            counts=counts,
        )
        if type(problem) is not OutdatedError or not prepared:
            raise problem
        for statement in prepared:
            statement.stale = True
        await self._renew(prepared)
        for statement in prepared:
            # Just prepared: what its rows look like now is what they look like.
            statement.handle.layout.expected = None
        return await self._exchange(
            make,
            text,
            params,
            page_state=page_state,
            timeout=timeout,
            conditional=conditional,
            counts=counts,
            batch=batch,
        )

    async def _queue_up(self, text: str) -> None:
        waiter = self._bridge.queue_up()
        try:
            await waiter
        except asyncio.CancelledError:
            self._bridge.leave_queue(waiter)
            raise
        except Abandoned as error:
            raise UnavailableError(
                "the session was closed before it was sent", where=shortened(text), remedy="Connect again"
            ) from error

    async def _renew(self, statements: Iterable[Prepared]) -> None:
        """Prepare again those that are stale, for whoever holds them."""
        for statement in statements:
            if statement.stale:
                statement.become(await self._prepared.get((statement.text, statement.raw)))

    async def _prepare(self, key: Key) -> Prepared:
        return await self._in_thread(self._wire.prepare, *key)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._threads, partial(call, *args))

    def _check_usable(self) -> None:
        self._check_loop()
        if self._closing is not None:
            raise QueryError("the session is closed", where="session", remedy="Connect again")

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise QueryError(
                "used on another event loop than the one it was made on",
                where="session",
                remedy="Call `connect` on each loop: a session is not shared between threads",
            )


def _as_sent(text: str, params: Sequence[Any], batch: BatchKind | None, *, following: bool) -> SentStatement:
    if batch is None:
        return SentStatement(text, tuple(params), following)
    texts = (f"  {prepared.text};" for prepared, _ in params)
    whole = "\n".join([f"BEGIN {batch.upper()} BATCH", *texts, "APPLY BATCH"])
    return SentStatement(whole, tuple(value for _, values in params for value in values))


def _level(consistency: Consistency) -> int:
    if not isinstance(consistency, Consistency):
        raise QueryError(f"a consistency of {consistency!r}", where="session", remedy="Give one of Consistency")
    return consistency.value


def _seconds(timeout: timedelta) -> float:
    if not isinstance(timeout, timedelta) or timeout <= timedelta(0):
        raise QueryError(f"a timeout of {timeout!r}", where="session", remedy="Give a timedelta above zero")
    return timeout.total_seconds()


def _repeatable(idempotent: bool, text: str, *, once: bool) -> bool:
    if idempotent and once:
        raise QueryError(
            "a conditional statement or a counter is not idempotent",
            where=shortened(text),
            remedy="Leave `idempotent` out: sent twice, it would count twice or lose against itself",
        )
    return idempotent
