"""Whatever is given in the place of something else is taken, or refused by an error of ours that says what to do."""

import operator
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import create_model

from cassorm.errors import CassormError
from cassorm.orm.expressions import count_rows
from cassorm.orm.fields import CK, PK, Col, Counter, Static, ck, col
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.user_types import Udt
from cassorm.orm.values import Vector
from cassorm.orm.writes import insert_compiled
from cassorm.schema.load import load


class Everything(Model):
    id: PK[UUID]
    day: PK[date]
    n: CK[int] = ck(order="desc")
    text: Col[str | None] = col(default=None, index=SAI())
    tags: Col[set[str]] = col(default_factory=set, index=SAI())
    log: Col[list[str]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict, index=SAI(target="entries"))
    place: Col[Annotated[list[float], Vector(2)]] = col(default=[0.0, 0.0], index=SAI())
    size: Col[Decimal] = col(default=Decimal(0))
    owner: Static[str] = col(default="")


class Hits(Model):
    page: PK[str]
    seen: Counter


Call = Callable[[Any], Any]
# Given what no type checker would let pass.
MODEL: Any = Everything
MAKE: Any = create_model
SOME = Everything(id=UUID(int=1), day=date(2026, 1, 1), n=1)
ROW = (Everything.id == SOME.id, Everything.day == SOME.day, Everything.n == 1)
QUERY: Any = Everything.where(*ROW[:2])
UPDATE: Any = Everything.update(Everything.text.set("x")).where(*ROW)

JUNK: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        float("nan"),
        float("inf"),
        2**63,
        10**30,
        "",
        "x'; DROP TABLE victim; --",
        "\ud800",
        b"x",
    ),
    *(
        [],
        (),
        {},
        set(),
        [None],
        [object()],
        {"a": object()},
        {object(): 1},
        [[]],
        range(3),
        int,
        object(),
        ...,
        Exception,
    ),
    *(
        MODEL,
        MODEL.n,
        MODEL.n == 1,
        MODEL.n.desc(),
        MODEL.text.set("x"),
        Hits.seen + 1,
        Hits.page == "x",
        count_rows(),
        QUERY,
    ),
    *(timedelta(1), timedelta.max, datetime.max.replace(tzinfo=UTC), Decimal("sNaN"), UUID(int=0), date.max),
    datetime(2026, 1, 1),  # noqa: DTZ001 - junk
]


def operated(name: str, way: str) -> Call:
    return lambda junk: getattr(operator, way)(getattr(MODEL, name), junk)


def called(target: Any, way: str, then: Call = lambda made: made) -> Call:
    return lambda junk: then(getattr(target, way)(junk))


def model(**said: Call) -> Call:
    return lambda junk: MAKE(
        "M", __base__=Model, id=(PK[int], ...), **{name: make(junk) for name, make in said.items()}
    )


def with_option(call: Callable[..., Any], name: str) -> Call:
    return lambda junk: call(**{name: junk})


def option(name: str) -> Call:
    return lambda junk: MAKE("M", __base__=Model, __cls_kwargs__={name: junk}, id=(PK[int], ...))


def column(name: str) -> Call:
    return model(x=lambda junk: (Col[datetime], col(default=None, **{name: junk})))


def nested(junk: Any) -> Any:
    annotated: Any = Col
    return annotated[MAKE("T", __base__=Udt, __cls_kwargs__={"type_name": junk}, a=(int, 1))]


FIELDS = list(Everything.model_fields)
OPERATORS = ("eq", "ne", "lt", "ge", "add", "sub")
METHODS = ("in_", "contains", "contains_key", "set", "add", "remove", "append", "prepend", "put", "drop")
BUILT: dict[str, Call] = {
    **{f"{name} {way}": operated(name, way) for name in FIELDS for way in OPERATORS},
    **{
        f"{name}.{way}": called(getattr(MODEL, name), way)
        for name in FIELDS
        for way in METHODS
        if way in dir(getattr(MODEL, name))
    },
    "entry": lambda junk: (MODEL.labels[junk] == 1, MODEL.labels[junk].set(1)),
    "entry eq": lambda junk: MODEL.labels["a"] == junk,
    "entry.set": called(MODEL.labels["a"], "set"),
    "counter": lambda junk: (Hits.seen + junk, Hits.seen - junk),
    "get": lambda junk: (MODEL.get(junk), MODEL.get(junk, junk, junk)),
    "get by name": lambda junk: MODEL.get(id=junk, day=junk, n=junk),
    **{way: called(MODEL, way) for way in ("where", "update", "delete")},
    **{f"scan {name}": with_option(MODEL.scan, name) for name in ("parallel", "page_size", "resume")},
    **{
        f"query.{way}": called(QUERY, way, lambda made: made.statement())
        for way in ("where", "order_by", "limit", "per_partition_limit", "into", "values", "group_by")
    },
    "nearest to": lambda junk: QUERY.nearest(MODEL.place, junk).limit(1).statement(),
    "nearest of": lambda junk: QUERY.nearest(junk, [1.0, 2.0]).limit(1).statement(),
    **{
        f"update.{way}": called(UPDATE, way, lambda made: made.compiled())
        for way in ("where", "only_if", "timestamp", "ttl")
    },
    **{
        f"insert {name}": with_option(partial(insert_compiled, plan_of(MODEL), SOME), name)
        for name in ("ttl", "timestamp")
    },
    **{
        f"option {name}": option(name)
        for name in ("keyspace", "table", "options", "ttl", "comment", "profile", "views", "lwt_only")
    },
    **{f"col {name}": column(name) for name in ("name", "type", "index", "truncate")},
    "order": model(c=lambda junk: (CK[int], ck(order=junk))),
    "index": model(c=lambda junk: (Col[str], col(index=SAI(name=junk, target=junk)))),
    "vector": model(c=lambda junk: (Col[Annotated[list[float], Vector(junk)]], None)),
    "type name": model(c=lambda junk: (nested(junk), None)),
    "load": lambda junk: load(junk, "t"),
    "load fields": lambda junk: load({"fields": junk, "key": ["id"]}, "t"),
    "load key": lambda junk: load({"fields": {"id": "int"}, "key": junk}, "t"),
    "load name": lambda junk: load({"fields": {"id": "int"}, "key": ["id"]}, junk),
}


@pytest.mark.parametrize("name", BUILT)
def test_whatever_is_given_in_the_place_of_something_else_is_taken_or_refused_with_a_remedy(name: str) -> None:
    wrong: list[tuple[Any, Exception]] = []
    for junk in JUNK:
        try:
            BUILT[name](junk)
        except Exception as error:
            if not isinstance(error, CassormError) or not error.remedy:
                wrong.append((junk, error))
    assert wrong == []
