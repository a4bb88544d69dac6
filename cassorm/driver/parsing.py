"""From the bytes of a page to its rows, all at once or a few at a time, by the driver's compiled parser where it has one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from struct import Struct
from typing import Any, NamedTuple

from cassandra.policies import ColDesc

from cassorm.driver.columns import Convert, by_column

try:
    from cassandra.bytesio import BytesIOReader
    from cassandra.deserializers import make_deserializers
    from cassandra.obj_parser import LazyParser, ListParser
    from cassandra.parsing import ParseDesc
except ImportError:  # a driver without its compiled modules
    BytesIOReader = None

_read_int_at = Struct(">i").unpack_from

# From so many rows on it pays to convert them by column, and up to so many to do it at once: rows that wait for
# others to be converted grow old, and the garbage collector looks through all that is old again and again.
_MANY, _PART = 4, 200

Row = tuple[Any, ...]


class Parser(NamedTuple):
    """What parses rows of the same columns: all of a page, or in lists of a few."""

    whole: Callable[[bytes], list[Row]]
    parts: Callable[[bytes], Iterator[list[Row]]]


def count_of(data: bytes) -> int:
    """How many rows these bytes are."""
    count: int = _read_int_at(data)[0]
    return count


def parser(
    metadata: Sequence[Any], types: Sequence[Any], converts: Mapping[Any, tuple[Any, Convert]], protocol_version: int
) -> Parser:
    """The parser of rows of `types`; `converts` tells which are read as another type first, and then by column."""
    if BytesIOReader is None:
        return _interpreted(types, protocol_version)
    names = [column[2] for column in metadata]
    described = [ColDesc(column[0], column[1], column[2]) for column in metadata]
    parse_all: Callable[[Any, Any], list[Row]] = ListParser().parse_rows
    parse_lazily: Callable[[Any, Any], Iterator[Row]] = LazyParser().parse_rows

    def reading(types: Sequence[Any]) -> Any:
        return ParseDesc(names, types, None, described, make_deserializers(types), protocol_version)

    as_they_are = reading(types)
    columns = [(index, converts[kind][1]) for index, kind in enumerate(types) if kind in converts]
    plain = reading([converts[kind][0] if kind in converts else kind for kind in types])

    def parts(data: bytes) -> Iterator[list[Row]]:
        rows = parse_lazily(BytesIOReader(data), plain)
        while part := list(islice(rows, _PART)):
            yield by_column(part, columns) if columns else part

    def whole(data: bytes) -> list[Row]:
        count = count_of(data)
        if not columns or count < _MANY:
            return parse_all(BytesIOReader(data), as_they_are)
        if count <= _PART:
            return by_column(parse_all(BytesIOReader(data), plain), columns)
        rows: list[Row] = []
        for part in parts(data):
            rows += part
        return rows

    return Parser(whole, parts)


def _interpreted(types: Sequence[Any], protocol_version: int) -> Parser:
    def each(data: bytes) -> Iterator[Row]:
        at = 4
        for _ in range(count_of(data)):
            row = []
            for cql_type in types:
                (size,) = _read_int_at(data, at)
                at += 4
                value = None
                if size >= 0:
                    value = data[at : at + size]
                    at += size
                row.append(cql_type.from_binary(value, protocol_version))
            yield tuple(row)

    def parts(data: bytes) -> Iterator[list[Row]]:
        rows = each(data)
        while part := list(islice(rows, _PART)):
            yield part

    return Parser(lambda data: list(each(data)), parts)
