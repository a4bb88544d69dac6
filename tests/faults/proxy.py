"""A TCP proxy before one node that knows what it carries, and can lose it, hold it back or cut it off.

    async with Proxy(node.hosts[0]) as proxy, connect(proxy.hosts) as db:
        proxy.inflict(LOSE_ANSWER, on=conditional, times=1)

A driver that is given the proxy as its one contact point stays on it: it takes the address that it dialled for the
address of the node that answers.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self

from tests.faults.frames import Frame, Opcode, Texts, read_frame

_CARRY_CQL = frozenset({Opcode.QUERY, Opcode.PREPARE, Opcode.EXECUTE, Opcode.BATCH})
_RUN = frozenset({Opcode.QUERY, Opcode.EXECUTE, Opcode.BATCH})
_CONDITION = re.compile(r"\bIF\b")
_SCHEMA = re.compile(r"\s*(CREATE|DROP|ALTER)\b")


@dataclass(frozen=True)
class Fate:
    """What becomes of a request or of its answer; `after_s` is how long the answer is held back."""

    kind: Literal["pass", "lose request", "lose answer", "cut before", "cut after", "cut midway"] = "pass"
    after_s: float = 0.0

    def __str__(self) -> str:
        return self.kind if self.kind != "pass" else f"hold {self.after_s:g} s"


PASS = Fate()
LOSE_REQUEST = Fate("lose request")
"""The node never sees it; the connection stays."""
LOSE_ANSWER = Fate("lose answer")
"""The node executes it; nobody hears of it."""
CUT_BEFORE = Fate("cut before")
"""The connection ends instead of carrying it to the node."""
CUT_AFTER = Fate("cut after")
"""The node executes it; the connection ends instead of carrying the answer."""
CUT_MIDWAY = Fate("cut midway")
"""The connection ends in the middle of the answer."""


def late(seconds: float) -> Fate:
    """The node executes it; the answer comes this much later."""
    return Fate(after_s=seconds)


@dataclass(frozen=True)
class Seen:
    """A request that carried CQL, and what became of it."""

    opcode: Opcode
    text: str
    body: bytes
    fate: Fate

    @property
    def conditional(self) -> bool:
        """Whether it is a lightweight transaction that is to be run."""
        return self.opcode in _RUN and not _SCHEMA.match(self.text) and _CONDITION.search(self.text) is not None


Matches = Callable[[Seen], bool]


def conditional(seen: Seen) -> bool:
    """Every lightweight transaction."""
    return seen.conditional


@dataclass
class _Rule:
    fate: Fate
    on: Matches
    left: float


class Proxy:
    """Stands before `target` ("host:port") while the block lasts; `seen` is the log of requests that carried CQL."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._rules: list[_Rule] = []
        self._texts = Texts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delays: Callable[[], float] | None = None
        self._news = asyncio.Event()
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def hosts(self) -> list[str]:
        """The contact point to connect to."""
        address, port = self._server.sockets[0].getsockname()
        return [f"{address}:{port}"]

    def inflict(self, fate: Fate, *, on: Matches = conditional, times: float = float("inf")) -> None:
        """Give the next `times` requests that match this fate; of several rules the first that matches counts."""
        self._rules.append(_Rule(fate, on, times))

    def heal(self) -> None:
        """Inflict nothing any more; what was lost stays lost."""
        self._rules.clear()
        self._delays = None

    def jitter(self, seed: int, longest_s: float) -> None:
        """Hold every request and every answer back for a random while."""
        chance = random.Random(seed)
        self._delays = lambda: chance.uniform(0, longest_s)

    def appends(self, marker: bytes = b"") -> list[Seen]:
        """The lightweight transactions so far whose bytes hold `marker`."""
        return [seen for seen in self.seen if seen.conditional and marker in seen.body]

    async def until(self, fate: Fate) -> None:
        """Return when a request has met this fate."""
        while not any(seen.fate == fate for seen in self.seen):
            await self._news.wait()

    def _see(self, frame: Frame) -> Fate:
        """Log a request, and say what becomes of it."""
        seen = Seen(frame.opcode, self._texts.of(frame), frame.body, PASS)
        for rule in self._rules:
            if rule.left > 0 and rule.on(seen):
                rule.left -= 1
                seen = replace(seen, fate=rule.fate)
                break
        self.seen.append(seen)
        self._news.set()
        self._news.clear()
        return seen.fate

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            node_reader, node_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, writer, node_writer)
        for pump in (connection.requests(reader), connection.answers(node_reader)):
            self._keep(pump)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection:
    """One connection of a client, and the one to the node that goes with it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, node: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._node = node
        self._under_way: dict[int, tuple[Frame, Fate]] = {}

    async def requests(self, client: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(self._node):
            while True:
                frame = await read_frame(client)
                fate = self._proxy._see(frame) if frame.opcode in _CARRY_CQL else PASS
                if fate == LOSE_REQUEST:
                    continue
                if fate == CUT_BEFORE:
                    self._cut()
                    return
                self._under_way[frame.stream] = frame, fate
                self._write(self._node, frame.whole, 0.0)

    async def answers(self, node: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(self._client):
            while True:
                frame = await read_frame(node)
                request, fate = self._under_way.pop(frame.stream, (None, PASS))
                if request is not None:
                    self._proxy._texts.learn(request, frame)
                if fate == LOSE_ANSWER:
                    continue
                if fate == CUT_AFTER:
                    self._cut()
                    return
                if fate == CUT_MIDWAY:
                    self._client.write(frame.whole[: len(frame.whole) // 2])
                    await self._client.drain()
                    return
                self._write(self._client, frame.whole, fate.after_s)

    def _write(self, to: asyncio.StreamWriter, content: bytes, after_s: float) -> None:
        if self._proxy._delays is not None:
            after_s += self._proxy._delays()
        if not after_s:
            to.write(content)
            return

        async def later() -> None:
            await asyncio.sleep(after_s)
            if not to.is_closing():
                to.write(content)

        # Answers may overtake each other: that is what the stream ids of the protocol are for.
        self._proxy._keep(later())

    def _cut(self) -> None:
        self._client.transport.abort()
        self._node.transport.abort()
