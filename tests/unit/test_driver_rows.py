"""How response frames become rows: their bodies are built here by the rules of the native protocol, version 4."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from io import BytesIO
from struct import pack
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cassorm.driver import parsing
from cassorm.driver.prepared import WHOLE
from cassorm.driver.result import Result
from cassorm.driver.rows import Layout, RowsHandler, Undecoded, Unreadable
from cassorm.driver.wire import Wire

INT, BIGINT, BLOB, TIMESTAMP, UUID_, TEXT, TIMEUUID, DATE = 0x09, 0x02, 0x03, 0x0B, 0x0C, 0x0D, 0x0F, 0x11
LIST_OF = b"\x00\x20"


def _string(text: str) -> bytes:
    return pack(">H", len(text)) + text.encode()


def _type(code: int | bytes) -> bytes:
    return code if isinstance(code, bytes) else pack(">H", code)


def _value(data: bytes | None) -> bytes:
    return pack(">i", -1) if data is None else pack(">i", len(data)) + data


def _frame(
    columns: Sequence[tuple[str, int | bytes]], data: Sequence[Sequence[bytes | None]], page_state: bytes | None = None
) -> bytes:
    flags = 1 if page_state is None else 3
    head = pack(">ii", flags, len(columns)) + (b"" if page_state is None else _value(page_state))
    described = _string("ks") + _string("t") + b"".join(_string(name) + _type(code) for name, code in columns)
    return head + described + pack(">i", len(data)) + b"".join(_value(cell) for row in data for cell in row)


def _decode(frame: bytes, layout: Layout | None = None) -> Any:
    return Wire.completed(_received(frame, layout))


def _received(frame: bytes, layout: Layout | None = None) -> Any:
    message = RowsHandler.message_types_by_opcode[0x08](2)
    message.recv_results_rows(BytesIO(frame), 4, {}, [] if layout is None else layout, None)
    return message.parsed_rows


def test_timestamps_are_aware_dates_are_dates_and_uuids_are_whole() -> None:
    some, timed = uuid4(), UUID("d2177dd0-eaa2-11de-a572-001b779c76e3")
    frame = _frame(
        [("id", UUID_), ("t", TIMEUUID), ("at", TIMESTAMP), ("day", DATE)],
        [
            [some.bytes, timed.bytes, pack(">q", 1_700_000_000_123), pack(">I", 2**31 + 19_000)],
            [None, None, pack(">q", -1), pack(">I", 2**31 - 1)],
            [None, None, None, None],
        ],
    )
    assert _decode(frame).rows == [
        (some, timed, datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC), date(2022, 1, 8)),
        (None, None, datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC), date(1969, 12, 31)),
        (None, None, None, None),
    ]
    found = _decode(frame).rows[0][1]
    assert (found.version, found.time, hash(found), str(found)) == (1, timed.time, hash(timed), str(timed))


def test_what_python_cannot_hold_comes_as_the_number_that_was_sent() -> None:
    frame = _frame([("at", TIMESTAMP), ("day", DATE)], [[pack(">q", 2**62), pack(">I", 0)]])
    assert _decode(frame).rows == [(2**62, -(2**31))]


COLUMNS = [("id", UUID_), ("t", TIMEUUID), ("n", INT), ("at", TIMESTAMP), ("day", DATE)]
CELLS: list[st.SearchStrategy[bytes | None]] = [
    st.none() | st.just(b"") | kind
    for kind in (
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=16, max_size=16),
        st.integers(-(2**31), 2**31 - 1).map(lambda number: pack(">i", number)),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: pack(">q", number))
        | st.integers(-(2**44), 2**44).map(lambda number: pack(">q", number)),
        st.integers(0, 2**32 - 1).map(lambda number: pack(">I", number))
        | st.integers(-40_000, 40_000).map(lambda number: pack(">I", 2**31 + number)),
    )
]


@given(data=st.lists(st.tuples(*CELLS), min_size=4, max_size=9))
def test_many_rows_are_converted_by_column_to_what_each_alone_is(data: list[tuple[bytes | None, ...]]) -> None:
    assert _decode(_frame(COLUMNS, data)).rows == [_decode(_frame(COLUMNS, [row])).rows[0] for row in data]


def test_many_rows_are_decoded_where_they_are_used_and_a_few_where_they_arrive() -> None:
    few, many = ([[pack(">i", n)] for n in range(count)] for count in (3, 50))
    assert _received(_frame([("n", INT)], few)).rows == [(0,), (1,), (2,)]
    page = _received(_frame([("n", INT)], many))
    assert isinstance(page.rows, Undecoded)
    assert Wire.completed(page).rows == [(n,) for n in range(50)]
    broken = _decode(_frame([("t", TEXT)], [[b"\xff\xfe"]] * 50))
    assert isinstance(broken, Unreadable)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_page_may_be_decoded_a_few_rows_at_a_time(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(parsing, "BytesIOReader", None)
    data = [[uuid4().bytes, uuid4().bytes, pack(">i", n), pack(">q", n), pack(">I", n)] for n in range(1000)]
    frame = _frame(COLUMNS, data, b"more")
    page = _decode(frame, Layout(WHOLE))
    assert (len(page.rows), page.page_state) == (1000, b"more")
    parts = list(page.rows.parts())
    assert max(map(len, parts)) <= 200
    assert [row for part in parts for row in part] == _decode(frame).rows


def test_types_inside_collections_are_decoded_alike() -> None:
    listed = pack(">i", 1) + _value(pack(">q", 0))
    frame = _frame([("ats", LIST_OF + _type(TIMESTAMP))], [[listed]])
    assert _decode(frame).rows == [([datetime(1970, 1, 1, tzinfo=UTC)],)]


def test_raw_columns_are_the_bytes_that_came() -> None:
    some = uuid4()
    frame = _frame(
        [("n", INT), ("id", UUID_), ("at", TIMESTAMP)], [[pack(">i", 7), some.bytes, pack(">q", 5)], [None, None, None]]
    )
    assert _decode(frame, Layout(["id", "at"])).rows == [(7, some.bytes, pack(">q", 5)), (None, None, None)]


def test_the_page_state_comes_with_the_rows() -> None:
    columns = [("n", INT)]
    layout = Layout()
    for state in (b"first", b"second, longer", None):
        page = _decode(_frame(columns, [[pack(">i", 1)]], state), layout)
        assert (page.rows, page.columns, page.page_state) == ([(1,)], ("n",), state)
    assert len(layout.shapes) == 1


def test_a_shape_is_learnt_once_and_learnt_anew_when_the_table_changes() -> None:
    layout = Layout()
    before, after = [("a", INT), ("b", TEXT)], [("a", INT), ("b", BLOB)]
    assert _decode(_frame(before, [[pack(">i", 1), b"x"]]), layout).rows == [(1, "x")]
    (learnt,) = layout.shapes.values()
    assert _decode(_frame(before, [[pack(">i", 2), b"y"]]), layout).rows == [(2, "y")]
    assert next(iter(layout.shapes.values())) is learnt
    assert _decode(_frame(after, [[pack(">i", 3), b"z"]]), layout).rows == [(3, b"z")]
    assert _decode(_frame([("c", INT)], [[pack(">i", 4)]]), layout).dicts() == [{"c": 4}]


def test_an_lwt_answers_in_two_shapes_and_both_are_told_by_name() -> None:
    layout = Layout()
    won = _frame([("[applied]", 0x04)], [[b"\x01"]])
    lost = _frame([("[applied]", 0x04), ("head", INT)], [[b"\x00", pack(">i", 9)]])
    for _ in range(2):
        assert _decode(won, layout).applied is True
        assert _decode(lost, layout).applied is False
        assert _decode(lost, layout).dicts() == [{"[applied]": False, "head": 9}]
    assert Result([(1,)], ("n",)).applied is None


def test_a_value_that_cannot_be_decoded_fails_its_own_request_alone() -> None:
    frame = _frame([("t", TEXT)], [[b"\xff\xfe"]])
    found = _decode(frame)
    assert isinstance(found, Unreadable)
    assert "column" in str(found.error)


def test_without_the_compiled_parser_the_rows_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [("n", INT), ("id", UUID_), ("at", TIMESTAMP), ("s", TEXT), ("b", BLOB), ("big", BIGINT)]
    data: list[list[bytes | None]] = [
        [pack(">i", number), uuid4().bytes, pack(">q", number), b"text", b"", pack(">q", number)]
        for number in range(50)
    ]
    frame = _frame(columns, [*data, [None] * 6])
    compiled = _decode(frame, Layout(["id"])).rows
    monkeypatch.setattr(parsing, "BytesIOReader", None)
    assert _decode(frame, Layout(["id"])).rows == compiled
    assert len(compiled) == 51
