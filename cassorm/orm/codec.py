"""What becomes of a value on its way to a column and back: checked and turned into what the driver takes, and back.

A codec's `encode` raises ValueError or TypeError with what is wrong; whoever calls it knows the place and adds it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast
from uuid import UUID

from cassorm.cql.numbers import exact_double
from cassorm.cql.types import CqlType
from cassorm.orm.values import Duration, round32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The server counts days from the year -5877641 on: the first of 1970 is 2**31.
_DAY_ZERO = 2**31 - date(1970, 1, 1).toordinal()
# What Python's datetimes can hold in UTC, in milliseconds since 1970.
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64, "counter": 64}

Encode = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one Python type stand in a column of one CQL type.

    `decode` is None where the driver gives the very value. `plain`: what pydantic has validated needs no `encode`, as
    the driver's own checks do. `empty` makes what NULL stands for in a collection that cannot be stored empty.
    `hashable`: Python can hold the values in sets, and as keys. `floor` gives the nearest storable value below, where comparing with a finer one has a meaning. `exact` is the
    class of what the driver gives; where Python's cannot hold a stored value, the driver gives a number instead.
    """

    cql: CqlType
    encode: Encode
    decode: Encode | None = None
    plain: bool = False
    empty: Callable[[], Any] | None = None
    mutable: bool = False
    floor: Encode | None = None
    exact: type | None = None
    parts: tuple["Codec", ...] = ()
    is_enum: bool = False
    hashable: bool = True

    def decoded(self, value: Any) -> Any:
        """The Python value of what the driver gave, None for NULL."""
        if value is None:
            return None if self.empty is None else self.empty()
        if self.exact is not None and type(value) is not self.exact:
            raise ValueError(f"the {self.cql} {value}, which no {self.exact.__name__} of Python holds")
        return value if self.decode is None else self.decode(value)


def of_type(kind: type | tuple[type, ...], cql: str, *, decode: Encode | None = None, plain: bool = True) -> Codec:
    """The codec of a type whose values go as they are."""
    kinds = kind if isinstance(kind, tuple) else (kind,)

    def encode(value: Any) -> Any:
        if type(value) in kinds:
            return value
        if isinstance(value, kinds) and type(value) is not bool:
            return value
        raise TypeError(f"a {type(value).__name__} is no {' or '.join(kind.__name__ for kind in kinds)}")

    return Codec(CqlType(cql), encode, decode, plain)


def of_int(cql: str) -> Codec:
    """The codec of whole numbers; `varint` takes any."""
    bits = _BITS.get(cql)

    def encode(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"a {type(value).__name__} is no int")
        if bits and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(f"{value} does not fit the {bits} bits of a {cql}")
        return value

    return Codec(CqlType(cql), encode, plain=True)


def of_float(cql: str) -> Codec:
    """The codec of `double`, or of `float`, which holds 32 bits and rounds."""

    def encode(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(f"a {type(value).__name__} is no float")
        return round32(value) if cql == "float" else exact_double(value)

    return Codec(CqlType(cql), encode, plain=cql == "double")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} is no str")
    value.encode()  # refuses lone surrogates
    # Not `str(value)`: a member of an enumeration of texts would give its name.
    return value if type(value) is str else str.__str__(value)


def _ascii(value: Any) -> str:
    text = _text(value)
    text.encode("ascii")
    return text


def of_address(kind: type | tuple[type, ...], decode: Encode) -> Codec:
    """The codec of IP addresses."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    names = " or ".join(each.__name__ for each in kinds)

    def encode(value: Any) -> str:
        if not isinstance(value, kinds):
            raise TypeError(f"a {type(value).__name__} is no {names}")
        if getattr(value, "scope_id", None):
            raise ValueError("an address with a scope, which `inet` does not hold")
        return str(value)

    return Codec(CqlType("inet"), encode, decode)


ADDRESS = of_address((IPv4Address, IPv6Address), ip_address)
"""The codec of IP addresses of either version."""


def _address_text(value: Any) -> str:
    text: str = ADDRESS.encode(ip_address(_text(value)))
    if text != value:
        raise ValueError(f"would come back as {text!r}")
    return text


def _decoded_address_text(value: Any) -> str:
    # The driver writes the last 32 bits of some addresses of version 6 as one of version 4.
    return str(ip_address(value))


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, Decimal):
        raise TypeError(f"a {type(value).__name__} is no Decimal")
    if not value.is_finite():
        raise ValueError("only finite numbers are decimals of CQL")
    return value


def _day(value: Any) -> int:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(f"a {type(value).__name__} is no date")
    return value.toordinal() + _DAY_ZERO


def _time(value: Any) -> time:
    if not isinstance(value, time):
        raise TypeError(f"a {type(value).__name__} is no time")
    if value.tzinfo is not None:
        raise ValueError("a time of day with a time zone, which `time` does not hold")
    return value


def _decoded_time(value: Any) -> time:
    nanoseconds = value.nanosecond_time
    if nanoseconds % 1000:
        raise ValueError(f"{value} is finer than a microsecond, which no time of Python holds")
    found: time = value.time()
    return found


def _uuid1(value: Any) -> UUID:
    if not isinstance(value, UUID):
        raise TypeError(f"a {type(value).__name__} is no UUID")
    if value.version != 1:
        raise ValueError(f"a UUID of version {value.version}, where a timeuuid has version 1")
    return value


def _duration(value: Any) -> Duration:
    if not isinstance(value, Duration):
        raise TypeError(f"a {type(value).__name__} is no Duration")
    return value


def _decoded_duration(value: Any) -> Duration:
    return Duration(months=value.months, days=value.days, nanoseconds=value.nanoseconds)


def _since_1970(value: Any) -> timedelta:
    if not isinstance(value, datetime):
        raise TypeError(f"a {type(value).__name__} is no datetime")
    if value.tzinfo is None:
        raise ValueError("a datetime without a time zone; give it one, such as `tzinfo=UTC`")
    return value - _EPOCH


def _in_milliseconds(since: timedelta) -> int:
    # At half the price of dividing one timedelta by another.
    found = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError("is in UTC outside the years 1 to 9999, which a datetime of Python does not hold")
    return found


def _milliseconds(value: Any) -> int:
    return _in_milliseconds(_since_1970(value))


def _whole_milliseconds(value: Any) -> int:
    since = _since_1970(value)
    if since.microseconds % 1000:
        raise ValueError("has microseconds, which a timestamp does not hold; round it, or use `cassorm.orm.values.now`")
    return _in_milliseconds(since)


def timestamp(*, truncate: bool) -> Codec:
    """The codec of moments, to the millisecond; finer ones are cut off with `truncate` and refused without."""
    encode = _milliseconds if truncate else _whole_milliseconds
    return Codec(CqlType("timestamp"), encode, floor=_milliseconds, exact=datetime)


NATIVE: dict[type, dict[str, Codec]] = {
    str: {
        "text": Codec(CqlType("text"), _text, plain=True),
        "ascii": Codec(CqlType("ascii"), _ascii),
        "inet": Codec(CqlType("inet"), _address_text, _decoded_address_text),
    },
    int: {name: of_int(name) for name in ("bigint", "int", "smallint", "tinyint", "varint", "counter")},
    bool: {"boolean": of_type(bool, "boolean", plain=True)},
    float: {"double": of_float("double"), "float": of_float("float")},
    Decimal: {"decimal": Codec(CqlType("decimal"), _decimal)},
    bytes: {"blob": of_type((bytes, bytearray, memoryview), "blob")},
    UUID: {"uuid": of_type(UUID, "uuid"), "timeuuid": Codec(CqlType("timeuuid"), _uuid1)},
    date: {"date": Codec(CqlType("date"), _day, exact=date)},
    time: {"time": Codec(CqlType("time"), _time, _decoded_time)},
    datetime: {"timestamp": timestamp(truncate=False)},
    Duration: {"duration": Codec(CqlType("duration"), _duration, _decoded_duration)},
    IPv4Address: {"inet": of_address(IPv4Address, IPv4Address)},
    IPv6Address: {"inet": of_address(IPv6Address, IPv6Address)},
}
"""By Python type: the codec of each CQL type that can hold it, the usual one first."""


def of_enum(members: type[Enum], inner: Codec) -> Codec:
    """The codec of an enumeration, stored as the values of its members."""
    encode_value = inner.encode
    by_value = {member.value: member for member in members}

    def encode(value: Any) -> Any:
        if not isinstance(value, members):
            raise TypeError(f"{value!r} is no {members.__name__}")
        return encode_value(value.value)

    def decode(value: Any) -> Any:
        plain = inner.decoded(value)
        found = by_value.get(plain)
        # Flags have values that are no member's; other enumerations refuse them here.
        return members(plain) if found is None else found

    return Codec(inner.cql, encode, decode, is_enum=True)


def of_sequence(cql: CqlType, item: Codec, make: Any, kinds: tuple[type, ...]) -> Codec:
    """The codec of lists, sets and vectors; `make` is what Python holds them in."""
    encode_item, decode_item, size = item.encode, item.decode, cql.size
    unordered = cql.name == "set" and cql.frozen

    def encode(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise TypeError(f"a {type(value).__name__} is no {kinds[0].__name__}")
        value = cast("Collection[Any]", value)
        if size is not None and len(value) != size:
            raise ValueError(f"{len(value)} numbers, where {cql} takes {size}")
        encoded = [encode_item(part) for part in value]
        return _in_order(encoded) if unordered else encoded

    def decode(value: Any) -> Any:
        return make(value) if decode_item is None else make([decode_item(part) for part in value])

    if item.exact is not None:
        decode_item = item.decoded
    return Codec(
        cql,
        encode,
        # A list as well is made anew: an instance's own may change, the row that it is compared with must not.
        decode,
        empty=make if cql.is_multicell else None,
        mutable=make in (list, set) or item.mutable,
        parts=(item,),
        hashable=make not in (list, set) and item.hashable,
    )


class _Pairs(list[tuple[Any, Any]]):
    """A map as the driver takes one; its keys need not be hashable, as lists and user types are not."""

    def items(self) -> "_Pairs":
        return self


def _in_order(encoded: Iterable[Any]) -> list[Any]:
    """The parts of a set, or the pairs of a map, in an order that depends on nothing but what they are.

    Inside a tuple or a user type the server takes them as they come: equal sets in another order would be other keys.
    """
    try:
        return sorted(encoded)
    except TypeError:  # None in a tuple, or a user type
        return sorted(encoded, key=repr)


def pointing(vector: Codec) -> Codec:
    """The codec of vectors that an index compares by their directions: the server fails at one of zeros, late and badly."""

    def encode(value: Any) -> Any:
        encoded = vector.encode(value)
        if not any(encoded):
            raise ValueError(
                'zeros have no direction; None is no vector, SAI(similarity_function="euclidean") takes them'
            )
        return encoded

    return replace(vector, encode=encode, plain=False)


def of_map(cql: CqlType, key: Codec, value: Codec) -> Codec:
    """The codec of maps."""
    plain = all(codec.decode is None and codec.exact is None for codec in (key, value))

    def encode(given: Any) -> Any:
        if not isinstance(given, dict):
            raise TypeError(f"a {type(given).__name__} is no dict")
        pairs = [(key.encode(name), value.encode(item)) for name, item in given.items()]
        return _Pairs(_in_order(pairs) if cql.frozen else pairs)

    def decode(found: Any) -> Any:
        # The driver's map looks each key up by its bytes; the pairs that it keeps are what is wanted.
        pairs = getattr(found, "_items", None)
        if pairs is None:
            pairs = found.items()
        if plain:
            return dict(pairs)
        return {key.decoded(name): value.decoded(item) for name, item in pairs}

    empty = dict if cql.is_multicell else None
    return Codec(cql, encode, decode, empty=empty, mutable=True, parts=(key, value), hashable=False)


def of_tuple(cql: CqlType, parts: tuple[Codec, ...]) -> Codec:
    """The codec of tuples; each part may be None."""

    def encode(value: Any) -> Any:
        if not isinstance(value, tuple) or len(value) != len(parts):
            raise TypeError(f"{value!r} is no tuple of {len(parts)}")
        return tuple(None if part is None else codec.encode(part) for codec, part in zip(parts, value, strict=True))

    def decode(value: Any) -> Any:
        # A tuple type that has grown since gives fewer parts.
        padded = (*value, *[None] * (len(parts) - len(value)))
        return tuple(codec.decoded(part) for codec, part in zip(parts, padded, strict=True))

    mutable, hashable = any(part.mutable for part in parts), all(part.hashable for part in parts)
    return Codec(cql, encode, decode, mutable=mutable, hashable=hashable)
