from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from struct import pack
from typing import Any
from uuid import UUID

import pytest
from cassandra import cqltypes

from cassorm.driver.values import cql_name, encoder, is_counter


def _encode(cql_type: Any, value: object) -> bytes:
    return encoder(cql_type, 4)(value)


@pytest.mark.parametrize(
    ("cql_type", "value", "expected"),
    [
        (cqltypes.Int32Type, 7, b"\0\0\0\7"),
        (cqltypes.UTF8Type, "é", b"\xc3\xa9"),
        (cqltypes.BytesType, bytearray(b"ab"), b"ab"),
        (cqltypes.BytesType, memoryview(b"ab"), b"ab"),
        (cqltypes.BooleanType, True, b"\1"),
        (cqltypes.UUIDType, UUID(int=1), b"\0" * 15 + b"\1"),
        (cqltypes.DecimalType, Decimal("1.5"), b"\0\0\0\1\x0f"),
    ],
)
def test_values_are_written_as_the_protocol_says(cql_type: Any, value: object, expected: bytes) -> None:
    assert _encode(cql_type, value) == expected


def test_timestamps_are_exact_milliseconds_whatever_their_zone() -> None:
    moment = datetime(2023, 11, 14, 22, 13, 20, 123_999, tzinfo=UTC)
    assert _encode(cqltypes.DateType, moment) == pack(">q", 1_700_000_000_123)
    assert _encode(cqltypes.DateType, moment.astimezone(timezone(timedelta(hours=5)))) == pack(">q", 1_700_000_000_123)
    assert _encode(cqltypes.DateType, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)) == pack(">q", -1)
    assert _encode(cqltypes.DateType, 5) == pack(">q", 5)


@pytest.mark.parametrize(
    ("cql_type", "value"),
    [
        (cqltypes.UTF8Type, b"bytes"),
        (cqltypes.UTF8Type, 5),
        (cqltypes.BytesType, "text"),
        (cqltypes.DateType, "2020-01-01"),
        (cqltypes.DateType, 1.5),
        (cqltypes.Int32Type, "7"),
        (cqltypes.Int32Type, 2**31),
        (cqltypes.UUIDType, "not-a-uuid"),
        (cqltypes.DoubleType, Decimal("0.1")),
        (cqltypes.DoubleType, True),
        (cqltypes.DoubleType, 2**63 - 1),
        (cqltypes.BooleanType, 5),
    ],
)
def test_values_of_another_type_are_refused(cql_type: Any, value: object) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - each serializer raises what it likes; `Prepared` names it
        _encode(cql_type, value)


def test_a_time_without_a_zone_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match="tzinfo=UTC"):
        _encode(cqltypes.DateType, datetime(2020, 1, 1))  # noqa: DTZ001 - the point


def test_types_are_told_as_cql_writes_them() -> None:
    nested = cqltypes.MapType.apply_parameters([cqltypes.UTF8Type, cqltypes.DateType])
    assert cql_name(nested) == "map<text, timestamp>"
    assert is_counter(cqltypes.CounterColumnType)
    assert not is_counter(cqltypes.LongType)
