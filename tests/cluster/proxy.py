"""A TCP proxy that knows the frames of the native protocol (version 4), to lose, hold back or cut off answers."""

import asyncio
import contextlib
from struct import Struct
from types import TracebackType
from typing import Literal, Self

Fate = Literal["pass", "swallow", "cut"]

_header = Struct(">BBhBi")
_READY_TO_RUN = frozenset({0x07, 0x0A, 0x0D})  # QUERY, EXECUTE, BATCH


class Proxy:
    """Stands before one node at `self.hosts`; requests that hold `marker` are counted and meet `fate`."""

    def __init__(self, target: str) -> None:
        self.marker = b""
        self.fate: Fate = "pass"
        self.seen = 0
        self.hold_s = 0.0
        """How long every answer is held back."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        # On the node's own address: that is where a driver looks for a node that it has found.
        self._server = await asyncio.start_server(self._serve, self._target[0], 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return -(-len(self._pumps) // 2)

    @property
    def hosts(self) -> list[str]:
        """The contact point to connect to."""
        address, port = self._server.sockets[0].getsockname()
        return [f"{address}:{port}"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            node_reader, node_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers.add(node_writer)
        doomed: set[int] = set()
        for pump in (self._requests(reader, node_writer, doomed), self._answers(node_reader, writer, doomed)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _requests(self, client: asyncio.StreamReader, node: asyncio.StreamWriter, doomed: set[int]) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(node):
            while True:
                head = await client.readexactly(_header.size)
                _, _, stream, opcode, length = _header.unpack(head)
                body = await client.readexactly(length)
                if self.marker and opcode in _READY_TO_RUN and self.marker in body:
                    self.seen += 1
                    if self.fate != "pass":
                        doomed.add(stream)
                node.write(head + body)
                await node.drain()

    async def _answers(self, node: asyncio.StreamReader, client: asyncio.StreamWriter, doomed: set[int]) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(client):
            while True:
                head = await node.readexactly(_header.size)
                _, _, stream, _, length = _header.unpack(head)
                body = await node.readexactly(length)
                if stream in doomed:
                    doomed.discard(stream)
                    if self.fate == "cut":
                        return
                    continue
                if self.hold_s:
                    await asyncio.sleep(self.hold_s)
                client.write(head + body)
                await client.drain()
