"""Totals that are declared wrongly are refused when the class is made; their parts stand side by side in the table."""

from decimal import Decimal
from typing import Any

import pytest

from cassorm.errors import ModelError
from cassorm.events.event import Event
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.model import table_of
from cassorm.projections.mapping import map_from_event
from cassorm.projections.totals import Total, Totals, TotalsMeta, add_from_event, count_events, totals_of


class Sold(Event, name="TuSold"):
    country: str
    amount: Decimal


class Sales(Totals, table="tu_sales", aggregate="Order"):
    country: PK[str] = map_from_event(Sold)
    amount: Total[Decimal] = add_from_event(Sold)
    orders: Total[int] = count_events(Sold)


def test_the_shard_stands_behind_the_key_that_was_declared() -> None:
    table = table_of(Sales)
    assert (table.partition_key, table.clustering) == (("country",), (("shard", "asc"),))
    assert table.profile == "lwt-only"
    assert totals_of(Sales).names == {"TuSold"}

    class ByDay(Totals, table="tu_by_day"):
        country: PK[str] = map_from_event(Sold)
        size: CK[Decimal] = map_from_event(Sold, "amount")
        orders: Total[int] = count_events(Sold)

    assert table_of(ByDay).clustering == (("size", "asc"), ("shard", "asc"))


KEY: tuple[dict[str, Any], dict[str, Any]] = ({"country": map_from_event(Sold)}, {"country": PK[str]})
WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "no total": (*KEY, {}, "Bad: adds nothing up"),
    "a key without events": (
        {"n": count_events(Sold)},
        {"country": PK[str], "n": Total[int]},
        {},
        r"Bad\.country: says nothing of events\. Write = map_from_event",
    ),
    "a total without events": (
        KEY[0],
        {**KEY[1], "n": Total[int]},
        {},
        r"Bad\.n: says nothing of events\. Write = add_from_event",
    ),
    "a column beside": ({**KEY[0], "n": col(default=0)}, {**KEY[1], "n": Col[int]}, {}, r"Bad\.n: says nothing"),
    "a float": (
        {**KEY[0], "n": add_from_event(Sold, "amount")},
        {**KEY[1], "n": Total[float]},
        {},
        r"Bad\.n: is a double, which cannot be added up without loss",
    ),
    "no Total": (
        {**KEY[0], "n": add_from_event(Sold, "amount")},
        {**KEY[1], "n": Col[int]},
        {},
        r"Bad\.n: is no total\. Write Total\[int\]",
    ),
    "unknown field": (
        {**KEY[0], "n": add_from_event(Sold, "nope")},
        {**KEY[1], "n": Total[int]},
        {},
        r"Bad\.n: Sold has no field nope",
    ),
    "ttl": ({**KEY[0], "n": count_events(Sold)}, {**KEY[1], "n": Total[int]}, {"ttl": 60}, "ttl= of totals"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_added_up_is_refused_when_the_class_is_made(case: str) -> None:
    namespace, annotations, options, message = WRONG[case]
    with pytest.raises(ModelError, match=message):
        TotalsMeta("Bad", (Totals,), {"__annotations__": annotations, "__module__": __name__, **namespace}, **options)
