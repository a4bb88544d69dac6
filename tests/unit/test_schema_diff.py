"""What a live table has otherwise than wanted."""

from dataclasses import replace
from typing import Any

import pytest

from cassorm.schema.diff import compare, differences, type_differences
from cassorm.schema.table import Column, Index, Table, UserType, View

WANTED = Table(
    name="orders",
    columns=(
        Column("id", "uuid"),
        Column("at", "timestamp"),
        Column("total", "decimal"),
        Column("owner", "text", static=True),
    ),
    partition_key=("id",),
    clustering=(("at", "desc"),),
    indexes=(Index("total"),),
    views=(View("by_total", ("total",), (("id", "asc"), ("at", "asc")), ("total",)),),
)


def without(name: str) -> tuple[Column, ...]:
    return tuple(column for column in WANTED.columns if column.name != name)


def live(**changes: Any) -> Table:
    return replace(WANTED, **changes)


def test_a_table_as_wanted_has_no_differences() -> None:
    assert differences(WANTED, WANTED) == []
    assert differences(WANTED, live(columns=tuple(reversed(WANTED.columns)))) == []


def test_what_the_live_table_has_besides_does_not_count() -> None:
    more = live(
        columns=(*WANTED.columns, Column("later", "int")),
        indexes=(*WANTED.indexes, Index("at")),
        views=(*WANTED.views, View("v", ("at",), (("id", "asc"),), ("at",))),
        options={"gc_grace_seconds": 5},
        comment="x",
    )
    assert differences(WANTED, more) == []
    assert differences(WANTED, more, options=True) == []


CASES: list[tuple[Table, list[str]]] = [
    (live(columns=without("owner")), ["missing column owner text static"]),
    (
        live(columns=(*without("owner"), Column("owner", "int"))),
        ["column owner is int, expected text", "column owner is not static, expected static"],
    ),
    (live(clustering=(("at", "asc"),)), ["clustering order of at is asc, expected desc"]),
    (
        live(partition_key=("id", "at"), clustering=(), columns=without("owner"), indexes=(), views=()),
        [
            "missing column owner text static",
            "key is ((id, at)), expected ((id), at)",
            "missing index orders_total_idx on total",
            "missing view by_total by ((total), id, at)",
        ],
    ),
    (live(indexes=(Index("at", name="orders_total_idx"),)), ["index orders_total_idx is on at, expected total"]),
    (
        live(views=(View("by_total", ("total",), (("at", "asc"), ("id", "asc")), ("total",)),)),
        ["view by_total has the key ((total), at, id), expected ((total), id, at)"],
    ),
    (
        live(views=(View("by_total", ("total",), (("id", "desc"), ("at", "asc")), ("total",)),)),
        ["view by_total has the key id desc, at asc, expected id asc, at asc"],
    ),
    (
        live(views=(replace(WANTED.views[0], filter="total > 3"),)),
        ["view by_total filters: total > 3"],
    ),
]


@pytest.mark.parametrize(("found", "expected"), CASES, ids=[case[1][0] for case in CASES])
def test_every_difference_is_listed_in_words(found: Table, expected: list[str]) -> None:
    assert differences(WANTED, found) == expected


def test_a_view_that_selects_other_columns_differs() -> None:
    columns = without("owner")
    wanted = live(columns=columns, views=(View("v", ("total",), (("id", "asc"), ("at", "asc"))),))
    found = live(
        columns=(*columns, Column("n", "int")),
        views=(View("v", ("total",), (("id", "asc"), ("at", "asc")), ("total",)),),
    )
    assert differences(wanted, found) == ["view v selects total, id, at, expected *"]


def test_an_index_is_known_by_what_it_indexes_not_by_its_name() -> None:
    assert differences(WANTED, live(indexes=(Index("total", name="other", kind="sai"),))) == []
    sai = live(indexes=(Index("total", kind="sai"),))
    assert differences(sai, live(indexes=(Index("total", kind="secondary"),))) == [
        "index orders_total_idx is on total (secondary), expected total (sai)"
    ]
    assert differences(sai, live(indexes=(Index("total", kind="sai", options={"a": "b"}),))) == [
        "index orders_total_idx is on total (sai, a=b), expected total (sai)"
    ]


def test_options_count_when_they_are_asked_for_and_set() -> None:
    wanted = live(
        options={
            "gc_grace_seconds": 60,
            "default_time_to_live": 0,
            "compaction": {"class": "LeveledCompactionStrategy"},
            "compression": {"class": "ZstdCompressor"},
        },
        comment="orders",
    )
    found = live(
        options={
            "default_time_to_live": 9,
            "compaction": {"class": "LeveledCompactionStrategy", "max_threshold": 32},
            "compression": {"class": "LZ4Compressor"},
        },
        comment="others",
    )
    assert differences(wanted, found) == []
    assert differences(wanted, found, options=True) == [
        "comment is 'others', expected 'orders'",
        "option compression is {'class': 'LZ4Compressor'}, expected {'class': 'ZstdCompressor'}",
        "option gc_grace_seconds is not set, expected 60",
        "option default_time_to_live is 9, expected 0",
    ]
    assert differences(live(options={"gc_grace_seconds": 864_000}), WANTED, options=True) == []


def test_only_what_can_be_added_comes_with_the_missing_part() -> None:
    bare = Table(name="orders", columns=(Column("id", "uuid"),), partition_key=("id",))
    assert [difference.missing for difference in compare(WANTED, bare)] == [
        None,  # a key column cannot be added
        Column("total", "decimal"),
        Column("owner", "text", static=True),
        None,
        WANTED.indexes[0],
        WANTED.views[0],
    ]


def test_user_types_differ_by_their_fields_and_the_order_of_those() -> None:
    wanted = UserType("address", (Column("street", "text"), Column("no", "int")))
    assert type_differences(wanted, replace(wanted, keyspace="shop")) == []
    assert type_differences(wanted, UserType("address", (*wanted.fields, Column("more", "int")))) == []
    assert type_differences(wanted, UserType("address", (Column("no", "text"),))) == [
        "missing field street text",
        "field no is text, expected int",
    ]
    assert type_differences(wanted, UserType("address", wanted.fields[::-1])) == [
        "fields are in the order no, street, expected street, no"
    ]
