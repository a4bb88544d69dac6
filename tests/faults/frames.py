"""The frames of the native protocol, version 4, as far as a proxy has to understand them.

Source: https://cassandra.apache.org/doc/latest/cassandra/reference/native-protocol.html
"""

import asyncio
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

_HEADER = Struct(">BBhBi")
_SHORT, _INT = Struct(">H"), Struct(">i")
_COMPRESSED = 0x01
_RESULT_PREPARED = 4


class Opcode(IntEnum):
    """What a frame is."""

    ERROR = 0x00
    STARTUP = 0x01
    READY = 0x02
    AUTHENTICATE = 0x03
    OPTIONS = 0x05
    SUPPORTED = 0x06
    QUERY = 0x07
    RESULT = 0x08
    PREPARE = 0x09
    EXECUTE = 0x0A
    REGISTER = 0x0B
    EVENT = 0x0C
    BATCH = 0x0D
    AUTH_CHALLENGE = 0x0E
    AUTH_RESPONSE = 0x0F
    AUTH_SUCCESS = 0x10


class Frame(NamedTuple):
    """One frame: `stream` ties an answer to its request."""

    stream: int
    opcode: Opcode
    head: bytes
    body: bytes

    @property
    def whole(self) -> bytes:
        """The frame as it was sent."""
        return self.head + self.body


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame.

    Raises:
        asyncio.IncompleteReadError: the connection ended.
        ValueError: not version 4, or compressed.
    """
    head = await reader.readexactly(_HEADER.size)
    version, flags, stream, opcode, length = _HEADER.unpack(head)
    if version & 0x7F != 4 or flags & _COMPRESSED:
        raise ValueError(f"only uncompressed frames of version 4 are understood, not version {version & 0x7F}")
    return Frame(stream, Opcode(opcode), head, await reader.readexactly(length))


class Texts:
    """The CQL behind requests; what was prepared is known by the id that the server gave it."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, str] = {}

    def of(self, frame: Frame) -> str:
        """The text of a request; empty for one that carries no CQL."""
        match frame.opcode:
            case Opcode.QUERY | Opcode.PREPARE:
                return _Body(frame.body).long_string()
            case Opcode.EXECUTE:
                return self._prepared.get(_Body(frame.body).short_bytes(), "(prepared elsewhere)")
            case Opcode.BATCH:
                return self._batch(_Body(frame.body))
        return ""

    def learn(self, request: Frame, answer: Frame) -> None:
        """Remember the id of what was prepared."""
        if request.opcode is Opcode.PREPARE and answer.opcode is Opcode.RESULT:
            body = _Body(answer.body)
            if body.int() == _RESULT_PREPARED:
                self._prepared[body.short_bytes()] = self.of(request)

    def _batch(self, body: "_Body") -> str:
        body.take(1)
        texts = []
        for _ in range(body.short()):
            by_text = body.take(1) == b"\0"
            texts.append(body.long_string() if by_text else self._prepared.get(body.short_bytes(), "?"))
            for _ in range(body.short()):
                body.take(max(0, body.int()))
        return "; ".join(texts)


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, size: int) -> bytes:
        self._at += size
        return self._content[self._at - size : self._at]

    def short(self) -> int:
        return int(_SHORT.unpack(self.take(2))[0])

    def int(self) -> int:
        return int(_INT.unpack(self.take(4))[0])

    def long_string(self) -> str:
        return self.take(self.int()).decode()

    def short_bytes(self) -> bytes:
        return self.take(self.short())
