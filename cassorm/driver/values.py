"""From Python values to the bytes of a column, and what to say when one does not fit."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter
from struct import Struct
from typing import Any

from cassandra.cqltypes import (
    BooleanType,
    BytesType,
    CounterColumnType,
    DateType,
    DoubleType,
    Int32Type,
    LongType,
    UserType,
    UTF8Type,
    UUIDType,
    VarcharType,
    VectorType,
)

from cassorm.cql.numbers import exact_double

Encoder = Callable[[Any], bytes]

_BARE = re.compile("[a-z][a-z0-9_]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_pack_long = Struct(">q").pack
_pack_double = Struct(">d").pack
_PLAIN: dict[Any, Encoder] = {
    # What the driver does for them, without a frame of Python between: they are most of what is written.
    Int32Type: Struct(">i").pack,
    LongType: _pack_long,
    UUIDType: attrgetter("bytes"),
    UTF8Type: str.encode,
    VarcharType: str.encode,
}


def encoder(cql_type: Any, protocol_version: int) -> Encoder:
    """What turns a value (not None) into the bytes of `cql_type`; it raises whatever it likes when it cannot."""
    if cql_type in _PLAIN:
        return _PLAIN[cql_type]
    # The driver's own serializers are lax for these: bytes pass as text, text as a blob, a naive time as UTC, a Decimal
    # as the double that is near, 5 as true.
    if issubclass(cql_type, BytesType):
        return _blob
    if issubclass(cql_type, DateType) and cql_type.typename == "timestamp":
        return _timestamp
    if issubclass(cql_type, DoubleType):
        return _double
    if issubclass(cql_type, BooleanType):
        return _boolean
    serialize = cql_type.serialize
    return lambda value: serialize(value, protocol_version)


def is_counter(cql_type: Any) -> bool:
    """Whether a value of `cql_type` is added to what stands there, so that sending it twice counts twice."""
    return issubclass(cql_type, CounterColumnType)


def cql_name(cql_type: Any) -> str:
    """The type as CQL writes it; the driver does not know which collections and user types are frozen."""
    if issubclass(cql_type, VectorType):
        return f"vector<{cql_name(cql_type.subtype)}, {cql_type.vector_size}>"
    if issubclass(cql_type, UserType):
        name = str(cql_type.typename)
        return name if _BARE.fullmatch(name) else f'"{name}"'
    if cql_type.subtypes:
        return f"{cql_type.typename}<{', '.join(map(cql_name, cql_type.subtypes))}>"
    return "text" if cql_type.typename == "varchar" else str(cql_type.typename)


def user_types(cql_types: Iterable[Any]) -> dict[str, tuple[tuple[str, str], ...]]:
    """The fields of the user types in these types, by the name of the type."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for cql_type in cql_types:
        if issubclass(cql_type, UserType):
            fields = zip(cql_type.fieldnames, map(cql_name, cql_type.subtypes), strict=True)
            found[str(cql_type.typename)] = tuple(fields)
        found |= user_types([*cql_type.subtypes, *filter(None, [getattr(cql_type, "subtype", None)])])
    return found


def _blob(value: bytes) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("not bytes")
    return bytes(value)


def _timestamp(value: datetime | int) -> bytes:
    if type(value) is int:
        return _pack_long(value)
    if not isinstance(value, datetime):
        raise TypeError("not a datetime")
    if value.tzinfo is None:
        raise TypeError("a datetime without a time zone; give it one, such as `tzinfo=UTC`")
    since = value - _EPOCH
    # At half the price of dividing one timedelta by another.
    return _pack_long(since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000)


def _double(value: float) -> bytes:
    if type(value) is float:
        return _pack_double(value)
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise TypeError("not a number")
    return _pack_double(exact_double(value))


def _boolean(value: bool) -> bytes:
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    raise TypeError("not a bool")
