"""Which copies can be made."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from cassorm.errors import SchemaError
from cassorm.schema.copy_plan import plan_copy
from cassorm.schema.table import Column, Table
from cassorm.schema.token_ranges import token_ranges

SOURCE = Table(
    keyspace="k",
    name="orders",
    columns=(
        Column("id", "uuid"),
        Column("at", "timestamp"),
        Column("city", "text"),
        Column("n", "int"),
        Column("tags", "set<text>"),
        Column("owner", "text", static=True),
    ),
    partition_key=("id",),
    clustering=(("at", "asc"),),
)


def target(**parts: Any) -> Table:
    return replace(SOURCE, **{"name": "orders_2", **parts})


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(replace(column, type=types.get(column.name, column.type)) for column in SOURCE.columns)


def without(name: str) -> tuple[Column, ...]:
    return tuple(column for column in SOURCE.columns if column.name != name)


def test_columns_outside_the_new_key_are_copied_and_new_ones_stay_empty() -> None:
    made = plan_copy(SOURCE, target(columns=(*SOURCE.columns, Column("later", "int"))))
    assert (made.cells, made.statics) == (("city", "n", "tags"), ("owner",))
    assert made.name == "k.orders > k.orders_2"


def test_static_values_of_other_partitions_become_regular_ones() -> None:
    regular = (*without("owner"), Column("owner", "text"))
    made = plan_copy(
        SOURCE, target(columns=regular, partition_key=("city",), clustering=(("id", "asc"), ("at", "desc")))
    )
    assert (made.cells, made.statics) == (("n", "tags", "owner"), ())


def test_a_type_that_holds_every_value_of_the_old_one_is_copied_into() -> None:
    assert "n" in plan_copy(SOURCE, target(columns=columns(n="bigint", tags="frozen<set<text>>"))).cells


REFUSED = [
    (target(columns=columns(n="text")), "column n is int, and text in the target. Convert"),
    (target(columns=columns(n="smallint")), "column n is int, and smallint"),
    (target(columns=without("city")), "column city is not in the target. Add it there, or say --lose city"),
    (
        target(columns=(*SOURCE.columns, Column("day", "date")), partition_key=("id", "day")),
        "key column day is not in the source",
    ),
    (target(columns=without("owner"), clustering=()), "at is not in the new key. Rows that differ in it alone"),
    (
        target(columns=(*without("n"), Column("n", "int", static=True))),
        "column n becomes static",
    ),
    (
        target(partition_key=("city",), clustering=(("id", "asc"), ("at", "asc"))),
        "static column owner of other partitions",
    ),
    (SOURCE, "the table onto itself"),
]


@pytest.mark.parametrize(("into", "said"), REFUSED, ids=[case[1][:30] for case in REFUSED])
def test_a_copy_that_would_lose_or_merge_something_is_refused(into: Table, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        plan_copy(SOURCE, into)
    assert said in str(caught.value)


def test_a_column_may_be_lost_when_that_is_said() -> None:
    assert plan_copy(SOURCE, target(columns=without("city")), lose=["city"]).cells == ("n", "tags")


def test_counters_are_never_copied() -> None:
    counts = Table(keyspace="k", name="c", columns=(Column("id", "int"), Column("n", "counter")), partition_key=("id",))
    with pytest.raises(SchemaError, match="counters"):
        plan_copy(counts, replace(counts, name="d"))


@pytest.mark.parametrize("count", [1, 3, 64, 1000])
def test_ranges_hold_every_token_once(count: int) -> None:
    parts = token_ranges(count)
    assert (len(parts), parts[0].start, parts[-1].end) == (count, -(2**63), 2**63 - 1)
    assert all(one.end == other.start for one, other in pairwise(parts))
    sizes = {part.end - part.start for part in parts}
    assert max(sizes) - min(sizes) <= 1
