"""From response frames to rows: the driver's own extension point, a protocol handler.

Two things differ from the driver's handler. Types that Python has are decoded to them (timestamps are aware, dates are
dates). And what a statement's rows look like is learnt once: the description that comes with every answer is compared
as bytes, and read anew only when it has changed.
"""

import io
import logging
from collections import namedtuple
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from struct import Struct
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

from cassandra.cqltypes import (
    BytesType,
    DateType,
    Int32Type,
    LongType,
    SimpleDateType,
    TimeUUIDType,
    UserType,
    UUIDType,
)
from cassandra.protocol import (
    RESULT_KIND_PREPARED,
    RESULT_KIND_ROWS,
    RESULT_KIND_SCHEMA_CHANGE,
    ErrorMessage,
    ProtocolHandler,
    read_int,
    read_short,
    read_string,
)

from cassorm.cql.uuids import uuid_of_int
from cassorm.driver.columns import Convert, day_of, days, moment_of, moments, uuids
from cassorm.driver.known import KnownStatements, Outline, outline
from cassorm.driver.parsing import Parser, count_of, parser
from cassorm.driver.prepared import WHOLE
from cassorm.driver.result import Result

_TIMESTAMP, _UUID, _TIMEUUID, _DATE, _USER_TYPE = 0x000B, 0x000C, 0x000F, 0x0011, b"\x00\x30"
_MORE_PAGES = 0x0002
_MANY = 4
_PLAIN_FLAGS = frozenset({0x0000, 0x0001})

_read_long = Struct(">q").unpack
_read_int_at = Struct(">i").unpack_from
_read_two_ints = Struct(">ii").unpack_from
_read_unsigned = Struct(">I").unpack
_whole = int.from_bytes

Row = tuple[Any, ...]


# The leading underscore keeps the driver from registering these for its own use. An exception while decoding would
# cost the connection, and every other request on it: what Python cannot hold comes as the number that was sent.
class _AwareTimestamp(DateType):  # type: ignore[misc]
    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> datetime | int:
        return moment_of(_read_long(data)[0])


class _PlainDate(SimpleDateType):  # type: ignore[misc]
    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> date | int:
        return day_of(_read_unsigned(data)[0] - 2**31)


class _PlainUUID(UUIDType):  # type: ignore[misc]
    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> UUID:
        return uuid_of_int(_whole(data, "big"))


class _PlainTimeUUID(TimeUUIDType):  # type: ignore[misc]
    @staticmethod
    def deserialize(data: bytes, protocol_version: int) -> UUID:
        return uuid_of_int(_whole(data, "big"))


_TYPES = {_TIMESTAMP: _AwareTimestamp, _UUID: _PlainUUID, _TIMEUUID: _PlainTimeUUID, _DATE: _PlainDate}
# What the compiled parser has to make of a column of ours for it to be converted as a whole.
_BY_COLUMN: dict[Any, tuple[Any, Convert]] = {
    _AwareTimestamp: (LongType, moments),
    _PlainUUID: (BytesType, uuids),
    _PlainTimeUUID: (BytesType, uuids),
    _PlainDate: (Int32Type, days),
}


class _Named(tuple[Any, ...]):
    """A value of a user type with field names that Python's named tuples refuse, such as `class`."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]]

    def __new__(cls, *values: Any) -> Self:
        return tuple.__new__(cls, values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))


class _NamedAnyhow(logging.Filter):
    """Drops the driver's word that it cannot name the fields of a user type: `_Named` does."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("could not create a namedtuple")


logging.getLogger("cassandra.cqltypes").addFilter(_NamedAnyhow())


class _UserType(UserType):  # type: ignore[misc]
    """The driver's user type, whose values tell their fields by the names that the fields have."""

    _cache: ClassVar[dict[tuple[str, str], Any]] = {}

    @classmethod
    def _make_udt_tuple_type(cls, name: str, field_names: Sequence[str]) -> Any:
        try:
            return namedtuple(name, field_names)  # noqa: PYI024 - of what the server says
        except ValueError:
            return type(name, (_Named,), {"__slots__": (), "_fields": tuple(field_names)})


class Unreadable:
    """Stands for rows that could not be decoded, so that the error reaches their own request alone."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Undecoded:
    """The rows of a page as the bytes that came: they take a quarter of the room, and grow no garbage to be collected.

    `later`: they stay so until somebody wants some; else the session decodes them all before it gives them away.
    """

    __slots__ = ("_data", "_parser", "later")

    def __init__(self, data: bytes, parser: Parser, *, later: bool) -> None:
        self._data = data
        self._parser = parser
        self.later = later

    def __len__(self) -> int:
        return count_of(self._data)

    def parts(self) -> Iterator[list[Row]]:
        """The rows, decoded a few at a time."""
        return self._parser.parts(self._data)

    def whole(self) -> list[Row]:
        """The rows, decoded all at once."""
        return self._parser.whole(self._data)


class OtherShape(Exception):  # noqa: N818 - never raised to users
    """The rows are not what the statement was prepared for."""


class StatementChanged(ErrorMessage):  # type: ignore[misc]
    """Stands for the answer to a second preparation, when the statement means something else than it did.

    At an error in this place the driver does not send what it was about to: values that were written as other types.
    """

    name = "CHANGED"

    def __init__(self) -> None:
        super().__init__(code=-1, message="the statement takes other parameters than it did", info=None)


class _Shape(NamedTuple):
    described: bytes
    columns: tuple[str, ...]
    types: list[Any]
    parser: Parser


class Layout(list[Any]):
    """What one prepared statement's rows have looked like, and which columns are left as the bytes that came.

    Rows that are not as `expected` are not read: the statement has to be prepared again.

    The driver hands it to the decoder in the place of the metadata it got when preparing, which nothing else needs
    and which may be outdated; as it is an empty list, the driver never asks the server to leave the description out.
    """

    def __init__(self, raw: Sequence[str] = (), expected: Outline | None = None) -> None:
        super().__init__()
        self.raw = frozenset(raw)
        self.whole = tuple(raw) == WHOLE
        self.expected = expected
        self.shapes: dict[tuple[int, int], _Shape] = {}


_driver_result = ProtocolHandler.message_types_by_opcode[0x08]


class _RowsMessage(_driver_result):  # type: ignore[misc, valid-type]
    column_names: tuple[str, ...]
    column_types: list[Any]
    parsed_rows: Result | Unreadable
    known: ClassVar[KnownStatements | None] = None
    type_codes = {**_driver_result.type_codes, **_TYPES}  # noqa: RUF012 - the driver's own hook

    @classmethod
    def recv_body(cls, frame: Any, *context: Any) -> Any:
        message = cls(read_int(frame))
        message.recv(frame, *context)
        if message.kind == RESULT_KIND_ROWS or cls.known is None:
            return message
        if message.kind == RESULT_KIND_SCHEMA_CHANGE:
            cls.known.changed(message.schema_change_event)
        # Through this handler come statements alone that a node had forgotten: to prepare first the driver has its own.
        if message.kind == RESULT_KIND_PREPARED and cls.known.is_other(message.query_id, message.bind_metadata):
            return StatementChanged()
        return message

    @classmethod
    def read_type(cls, frame: Any, user_types: Any) -> Any:
        start = frame.tell()
        if frame.read(2) != _USER_TYPE:
            frame.seek(start)
            return super().read_type(frame, user_types)
        keyspace, name = read_string(frame), read_string(frame)
        fields = [(read_string(frame), cls.read_type(frame, user_types)) for _ in range(read_short(frame))]
        names, types = tuple(field for field, _ in fields), tuple(part for _, part in fields)
        return _UserType.make_udt_class(keyspace, name, names, types)

    def recv_results_rows(
        self, frame: Any, protocol_version: int, user_types: Any, layout: Any, column_encryption: Any
    ) -> None:
        data = frame.read()
        try:
            self._read(data, protocol_version, user_types, layout if type(layout) is Layout else None)
        except Exception as error:  # whatever it is, it belongs to this request
            self.column_names, self.column_types = (), []
            self.parsed_rows = Unreadable(error)

    def _read(self, data: bytes, protocol_version: int, user_types: Any, layout: Layout | None) -> None:
        flags, count = _read_two_ints(data)
        key = (flags & ~_MORE_PAGES, count)
        start = 8
        if flags & _MORE_PAGES:
            start = 12 + _read_int_at(data, 8)[0]
        shape = layout.shapes.get(key) if layout is not None else None
        if shape is not None and data.startswith(shape.described, start):
            start += len(shape.described)
            if flags & _MORE_PAGES:
                self.paging_state = data[12 : 12 + _read_int_at(data, 8)[0]]
        else:
            described = io.BytesIO(data)
            self.recv_results_metadata(described, user_types)
            end = described.tell()
            if layout is not None and layout.expected not in (None, outline(self.column_metadata)):
                raise OtherShape
            shape = _shape(data[start:end], self.column_metadata, layout, protocol_version)
            if layout is not None and key[0] in _PLAIN_FLAGS:
                layout.shapes[key] = shape
            start = end
        self.column_names = shape.columns
        self.column_types = shape.types
        self.parsed_rows = Result(self._rows(data[start:], shape.parser, layout), shape.columns, self.paging_state)

    @staticmethod
    def _rows(data: bytes, parser: Parser, layout: Layout | None) -> Any:
        if layout is not None and layout.whole:
            return Undecoded(data, parser, later=True)
        # This is the driver's thread. What it makes waits for the loop's, leaves the processor's cache meanwhile, and
        # is taken for old by the garbage collector: many rows are made where they are used.
        return Undecoded(data, parser, later=False) if count_of(data) >= _MANY else parser.whole(data)


def _shape(described: bytes, metadata: Sequence[Any], layout: Layout | None, protocol_version: int) -> _Shape:
    raw = layout.raw if layout is not None else frozenset()
    types = [BytesType if column[2] in raw else column[3] for column in metadata]
    columns = tuple(column[2] for column in metadata)
    return _Shape(described, columns, types, parser(metadata, types, _BY_COLUMN, protocol_version))


class RowsHandler(ProtocolHandler):  # type: ignore[misc]
    """The driver's protocol handler, with rows read as described above."""

    message_types_by_opcode = {**ProtocolHandler.message_types_by_opcode, 0x08: _RowsMessage}  # noqa: RUF012 - the driver's own hook


def rows_handler(known: KnownStatements) -> type[RowsHandler]:
    """The handler of one session, whose statements `known` watches over."""
    message = type("_KnownRowsMessage", (_RowsMessage,), {"known": known})
    return type(
        "_Handler", (RowsHandler,), {"message_types_by_opcode": {**RowsHandler.message_types_by_opcode, 0x08: message}}
    )


def as_decoded(columns: Sequence[str], answer: Any) -> Any:
    """The driver's row factory: what the handler made of the frame, as it is."""
    return answer
