"""Read models that are declared wrongly are refused when the class is made, with name, place and remedy."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from cassorm.errors import ModelError, QueryError
from cassorm.events.event import Event
from cassorm.orm.fields import CK, PK, Col, Counter, Version, col
from cassorm.orm.markers import Frozen
from cassorm.orm.model import table_of
from cassorm.projections.mapping import map_from_event
from cassorm.projections.read_model import ReadModel, ReadModelMeta
from cassorm.projections.views import ReadView


class Opened(Event, name="DeclOpened"):
    customer: str


class Closed(Event, name="DeclClosed"):
    pass


class Known(ReadModel, table="decl_known", aggregate="Order"):
    id: PK[UUID]
    customer: Col[str] = map_from_event(Opened)
    note: Col[str | None] = col(default=None)
    __indexes__ = ["customer"]
    __views__ = [ReadView("decl_by_note", key=["note"], clustering=["customer", "id desc"])]


def declare(namespace: dict[str, Any], annotations: dict[str, Any], **options: Any) -> type[Any]:
    made: type[Any] = ReadModelMeta(
        "Bad", (ReadModel,), {"__annotations__": annotations, "__module__": __name__, **namespace}, **options
    )
    return made


NO_EVENT: Any = int
ID: dict[str, Any] = {"id": PK[UUID]}
GOOD = ({"customer": map_from_event(Opened)}, {**ID, "customer": Col[str]})

WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "unknown field of the event": (
        {"name": map_from_event(Opened, "nmae")},
        {**ID, "name": Col[str]},
        {},
        r"Bad\.name: Opened has no field nmae. Use one of customer",
    ),
    "no field of the name": (
        {"name": map_from_event(Closed)},
        {**ID, "name": Col[str]},
        {},
        r"Closed has no field name",
    ),
    "no event": (
        {"name": map_from_event(NO_EVENT)},
        {**ID, "name": Col[str]},
        {},
        r"Bad\.name: .*int.* is no event class",
    ),
    "the base of events": ({"name": map_from_event(Event)}, {**ID, "name": Col[str]}, {}, r"is the base of all events"),
    "no events": ({"name": map_from_event({})}, {**ID, "name": Col[str]}, {}, r"Bad\.name: no event"),
    "a function of four": (
        {"name": map_from_event(Opened, lambda a, b, c, d: a)},  # type: ignore[arg-type]
        {**ID, "name": Col[str]},
        {},
        r"the function takes 4 values. Take \(event\)",
    ),
    "neither mapping nor default": (
        GOOD[0],
        {**GOOD[1], "total": Col[Decimal]},
        {},
        r"Bad\.total: has neither a mapping nor a default. Write = map_from_event",
    ),
    "two key columns": (
        GOOD[0],
        {**GOOD[1], "other": PK[UUID]},
        {},
        r"Bad: has a key of 2 columns, id and other. .*declare __views__",
    ),
    "a clustering column": (GOOD[0], {**GOOD[1], "at": CK[int]}, {}, r"has a key of 2 columns"),
    "a key that is no stream id": (
        GOOD[0],
        {"id": PK[int], "customer": Col[str]},
        {},
        r"a key of type bigint. Streams",
    ),
    "a mapped key": ({**GOOD[0], "id": map_from_event(Opened, "customer")}, GOOD[1], {}, r"Bad\.id: is mapped"),
    "nothing mapped": ({"x": col(default=1)}, {**ID, "x": Col[int]}, {}, r"Bad: no field is mapped"),
    "a list that is not frozen": (
        {"tags": map_from_event(Opened, lambda e: [e.customer])},
        {**ID, "tags": Col[list[str]]},
        {},
        r"Bad\.tags: a list that is not frozen.*Frozen\[list",
    ),
    "a version": (
        {**GOOD[0], "rev": col(default=0)},
        {**GOOD[1], "rev": Version[int]},
        {},
        r"Bad\.rev: a version column",
    ),
    "a counter": ({}, {**ID, "hits": Counter}, {}, r"counter"),
    "unique": (*GOOD, {"unique": ["customer"]}, r"unique= of a read model. .*reserve unique values in the command"),
    "unknown index": ({**GOOD[0], "__indexes__": ["nope"]}, GOOD[1], {}, r"__indexes__ names 'nope'"),
    "deleted by no event": (
        {**GOOD[0], "__deleted_by__": [str]},
        GOOD[1],
        {},
        r"Bad\.__deleted_by__: .*no event class",
    ),
    "deletes and sets": (
        {**GOOD[0], "__deleted_by__": [Opened]},
        GOOD[1],
        {},
        r"Opened deletes the row, and sets customer",
    ),
    "unknown mode": (*GOOD, {"mode": "sync"}, r"mode='sync'. Use one of async, inline"),
    "unknown storage": (*GOOD, {"storage": "file"}, r"storage='file'. Use one of table, shared"),
    "no aggregate type": (*GOOD, {"aggregate": 3}, r"aggregate=3"),
    "shared with an index": (
        {**GOOD[0], "__indexes__": ["customer"]},
        GOOD[1],
        {"storage": "shared"},
        r"has views or indexes, and is kept as JSON",
    ),
    "a table's name without room": (*GOOD, {"table": "t" * 46}, r"46 characters. Give table= at most 44"),
    "a view of an unknown field": (
        {**GOOD[0], "__views__": [ReadView("v", key="nope")]},
        GOOD[1],
        {},
        r"view v of Bad: has no field nope. Use",
    ),
    "a view without the stream": (
        {**GOOD[0], "__views__": [ReadView("v", key="customer")]},
        GOOD[1],
        {},
        r'view v of Bad: lacks id: .*Add "id"',
    ),
    "a unique view with the stream": (
        {**GOOD[0], "__views__": [ReadView("v", key=["customer", "id"], unique=True)]},
        GOOD[1],
        {},
        r"view v of Bad: has clustering=, the stream's id, .* in a key that is unique",
    ),
    "a native view that is unique": (
        {**GOOD[0], "__views__": [ReadView("v", key="customer", unique=True, native=True)]},
        GOOD[1],
        {},
        r"view v of Bad: is unique and native: .*Leave native= out",
    ),
    "a native view by two fields": (
        {**GOOD[0], "note": col(default=""), "__views__": [ReadView("v", ["customer"], ["note", "id"], native=True)]},
        {**GOOD[1], "note": Col[str]},
        {},
        r"view v of Bad: is native, and its key adds customer and note to the stream's id: .*Leave native= out: ",
    ),
    "a native view in a shared table": (
        {**GOOD[0], "__views__": [ReadView("v", "customer", "id", native=True)]},
        GOOD[1],
        {"storage": "shared"},
        r"has views or indexes, and is kept as JSON",
    ),
    "two views of one name": (
        {**GOOD[0], "__views__": [ReadView("v", "customer", "id"), ReadView("v", "customer", "id", native=True)]},
        GOOD[1],
        {},
        r"Bad: two tables or views have the name v",
    ),
    "a view in no order": (
        {**GOOD[0], "__views__": [ReadView("v", key="customer", clustering=["id down"])]},
        GOOD[1],
        {},
        r"'id down' as a clustering field",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_when_the_class_is_made(case: str) -> None:
    namespace, annotations, options, message = WRONG[case]
    with pytest.raises(ModelError, match=message):
        declare({**namespace}, annotations, **{"table": "bad", **options})


def test_a_read_model_has_the_table_its_fields_say_and_the_version_applied() -> None:
    table = table_of(Known)
    assert {column.name: column.type for column in table.columns} == {
        "applied_version": "int",
        "id": "uuid",
        "customer": "text",
        "note": "text",
    }
    assert [index.column for index in table.indexes] == ["customer"]
    assert table.views == ()
    view = table_of(Known.view("decl_by_note"))
    assert (view.partition_key, view.clustering) == (("note",), (("customer", "asc"), ("id", "desc")))
    with pytest.raises(QueryError, match=r"has no view 'x'. Views of it: decl_by_note"):
        Known.view("x")


async def test_rows_are_written_by_the_projection_alone() -> None:
    for write in (Known.update(Known.note.set("x")), Known.delete()):
        with pytest.raises(QueryError, match="is written by the projection decl_known alone"):
            write.where(Known.id == UUID(int=1)).compiled()
    view = Known.view("decl_by_note")
    with pytest.raises(QueryError, match="alone"):
        view.delete().where(view.note == "x").compiled()


async def test_find_by_takes_the_view_or_the_index_that_answers_and_refuses_the_rest() -> None:
    text, _ = Known.found_by(customer="c").statement()
    assert text.endswith("FROM decl_known WHERE customer = ?")
    text, _ = Known.found_by(note="n", customer="c").statement()
    assert text.endswith("FROM decl_by_note WHERE note = ? AND customer = ?")
    text, _ = Known.found_by(id=UUID(int=1)).statement()
    assert text.endswith("FROM decl_known WHERE id = ?")
    with pytest.raises(QueryError, match="Known: has no field nope"):
        Known.found_by(nope=1)
    with pytest.raises(QueryError, match="neither key nor index"):
        Known.found_by(applied_version=1).statement()


def test_lists_that_are_frozen_and_bases_without_a_table_are_taken() -> None:
    class Base(ReadModel, abstract=True):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    class Made(Base, table="decl_made"):
        tags: Col[Frozen[list[str]]] = map_from_event(
            Opened, lambda e, row: [*row.tags, e.customer], default_factory=list
        )

    assert {column.name for column in table_of(Made).columns} == {"applied_version", "id", "customer", "tags"}
