"""Queries and writes as CQL text, and what is refused before anything is sent."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from cassorm.errors import QueryError
from cassorm.orm.context import current_session
from cassorm.orm.expressions import count_rows
from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col
from cassorm.orm.markers import SAI, Frozen, Secondary
from cassorm.orm.model import Model


class Reading(Model, keyspace="app", table="readings"):
    org: PK[int]
    day: PK[str]
    ts: CK[int] = ck(order="desc")
    seq: CK[int]
    kind: Col[str] = col(index=SAI())
    size: Col[int] = col(default=0, index=SAI())
    code: Col[int] = col(default=0, index=Secondary())
    note: Col[str] = col(default="")
    tags: Col[set[str]] = col(default_factory=set)
    log: Col[list[str]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict, index=SAI(target="entries"))
    path: Col[Frozen[list[str]]] = col(default_factory=list)
    owner: Static[str] = col(default="")


class Hits(Model):
    page: PK[str]
    seen: Counter


class Doc(Model):
    id: PK[int]
    text: Col[str]
    rev: Version[int] = col(default=0)


class Short(BaseModel):
    kind: str
    ts: int


R = Reading
ONE = (R.org == 1, R.day == "a")
ROW = (*ONE, R.ts == 2, R.seq == 3)
ANY: Any = R


def where(query: Any) -> str:
    text: str = query.statement()[0]
    return text.partition(" FROM app.readings")[2].strip()


@pytest.mark.parametrize(
    ("query", "text", "params"),
    [
        (R.where(*ONE), "WHERE org = ? AND day = ?", [1, "a"]),
        (R.where(*ONE, R.ts > 1, R.ts <= 9), "WHERE org = ? AND day = ? AND ts > ? AND ts <= ?", [1, "a", 1, 9]),
        (R.where(*ONE).where(R.ts == 1, R.seq.in_([1, 2])), "WHERE org = ? AND day = ? AND ts = ? AND seq IN ?", [1, "a", 1, [1, 2]]),
        (R.where(*ONE).order_by(R.ts.asc()), "WHERE org = ? AND day = ? ORDER BY ts ASC", [1, "a"]),
        (R.where(*ONE).order_by(R.ts.desc(), R.seq.asc()), "WHERE org = ? AND day = ? ORDER BY ts DESC, seq ASC", [1, "a"]),
        (R.where(*ONE, R.ts == 1).order_by(R.seq.desc()), "WHERE org = ? AND day = ? AND ts = ? ORDER BY seq DESC", [1, "a", 1]),
        (R.where(R.org == 1, R.day.in_(["a", "b"])).per_partition_limit(2).limit(3), "WHERE org = ? AND day IN ? PER PARTITION LIMIT ? LIMIT ?", [1, ["a", "b"], 2, 3]),
        (R.where(R.kind == "x"), "WHERE kind = ?", ["x"]),
        (R.where(R.kind == "x", R.size > 3), "WHERE kind = ? AND size > ?", ["x", 3]),
        (R.where(*ONE, R.size >= 3), "WHERE org = ? AND day = ? AND size >= ?", [1, "a", 3]),
        (R.where(R.code == 3), "WHERE code = ?", [3]),
        (R.where(R.labels["a"] == 3), "WHERE labels[?] = ?", ["a", 3]),
        (R.where(R.note == "x").allow_filtering(), "WHERE note = ? ALLOW FILTERING", ["x"]),
        (R.where(R.tags.contains("x")).allow_filtering(), "WHERE tags CONTAINS ? ALLOW FILTERING", ["x"]),
        (R.where(R.labels.contains_key("x")).allow_filtering(), "WHERE labels CONTAINS KEY ? ALLOW FILTERING", ["x"]),
        (R.where().allow_filtering(), "ALLOW FILTERING", []),
    ],
)  # fmt: skip
def test_a_query_is_text_with_bound_values(query: Any, text: str, params: list[Any]) -> None:
    assert (where(query), query.statement()[1]) == (text, params)


def test_only_the_columns_that_are_wanted_are_read() -> None:
    assert R.where(*ONE).into(Short).statement()[0].startswith("SELECT kind, ts FROM app.readings")
    values = R.where(*ONE).values(R.ts, R.size.max(), count_rows()).group_by(R.org, R.day, R.ts)
    assert values.statement()[0].startswith("SELECT ts, MAX(size), COUNT(*) FROM")
    assert values.statement()[0].endswith("GROUP BY org, day, ts")
    assert R.where(*ONE).partitions().statement()[0].startswith("SELECT DISTINCT org, day FROM")


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        (R.where, "reads the whole table", "Reading.org == ..., Reading.day == ..., or use Reading.scan()"),
        (lambda: R.where(R.org == 1), "lacks day of the partition key", "Reading.day == ..."),
        (lambda: R.where(R.ts == 1), "lacks org, day of the partition key", "Reading.org == ..."),
        (lambda: R.where(*ONE, R.seq == 1), "while ts, before it in the key, is not given", "Give ts by =="),
        (lambda: R.where(*ONE, R.ts > 1, R.seq == 1), "is compared by a range", "Give ts by =="),
        (lambda: R.where(*ONE, R.note == "x"), "neither key nor index", r"col\(index=True\), or say allow_filtering"),
        (lambda: R.where(R.tags.contains("x")), "neither key nor index", r"col\(index=True\)"),
        (lambda: R.where(R.labels.contains_key("x")), "neither key nor index", 'target="keys"'),
        (lambda: R.where(*ONE, R.kind > "x"), "neither key nor index", "clustering column"),
        (lambda: R.where(*ONE, R.code > 1), "neither key nor index", "index=SAI"),
        (lambda: R.where(R.org > 1, R.day == "a"), "> on the partition key", "scan"),
        (lambda: R.where(*ONE, R.org == 2), "= twice", "Keep one"),
        (lambda: R.where(R.org.in_(range(20_000)), R.day == "a"), "over 20,000 partitions", "scan"),
        (lambda: R.where(*ONE, R.kind.in_(["x", "y"])), "IN on a column outside the key", "for each value"),
        (lambda: R.where(*ONE).order_by(R.size.asc()), "cannot be ordered by", "ts desc, seq asc"),
        (lambda: R.where(*ONE).order_by(R.seq.asc()), "cannot be ordered by", "ts desc, seq asc"),
        (lambda: R.where(*ONE).order_by(R.ts.asc(), R.seq.asc()), "some are turned", "ts desc, seq asc"),
        (lambda: R.where(R.kind == "x").order_by(R.ts.asc()), "several partitions", "Reading.org"),
        (lambda: R.where(*ONE, R.kind != "x"), "!= in a query", "no !="),
        (lambda: R.where(*ONE, ANY.kind == None), "comparison with None", "only_if"),  # noqa: E711
        (lambda: R.where(True), "True is no condition", "Compare a field"),  # type: ignore[arg-type]
        (lambda: R.where(Doc.id == 1), "condition on Doc.id", "fields of Reading"),
        (lambda: R.where(*ONE).limit(0), "limit of 0", "above zero"),
        (lambda: R.where(*ONE).order_by(R.ts), "no order", "desc"),  # type: ignore[arg-type]
        (lambda: R.where(*ONE).into(Doc), "Doc has id, text, rev", "fields of"),
        (lambda: R.where(*ONE).group_by(R.seq), "groups by seq out of the order", "in order"),
        (lambda: R.where(*ONE).values(3), "3 is no column", "fields"),  # type: ignore[arg-type]
        (lambda: R.where(ANY.kind.contains("x")), "it is a text", "=="),
        (lambda: R.where(R.kind == 3), "3 does not fit text", "text"),  # type: ignore[arg-type]
        (lambda: R.where(*ONE, ANY.tags > {"a"}), "> of a set", "contains"),
    ],
)
def test_what_the_server_would_refuse_is_refused_with_what_would_allow_it(
    make: Callable[[], Any], problem: str, remedy: str
) -> None:
    with pytest.raises(QueryError, match=problem) as refused:
        make().statement()
    assert refused.value.remedy is not None
    assert re.search(remedy, refused.value.remedy)


def test_conditions_and_columns_have_no_truth_value() -> None:
    with pytest.raises(QueryError, match="several conditions"):
        assert R.org == 1
    with pytest.raises(QueryError, match="no truth value"):
        _ = 1 < ANY.ts < 3
    with pytest.raises(QueryError, match="all hold"):
        _ = (R.org == 1) & (R.ts == 1)
    with pytest.raises(QueryError, match="no OR"):
        _ = (R.org == 1) | (R.ts == 1)
    with pytest.raises(QueryError):
        assert R.org
    with pytest.raises(TypeError):
        list(ANY.org)


@pytest.mark.parametrize(
    ("write", "text", "params"),
    [
        (R.update(R.note.set("x")).where(*ROW), "UPDATE app.readings SET note = ? WHERE org = ? AND day = ? AND ts = ? AND seq = ?", ["x", 1, "a", 2, 3]),
        (R.update(R.tags.add("x"), R.log.append("y")).ttl(60).where(*ROW), "UPDATE app.readings USING TTL ? SET tags = tags + ?, log = log + ? WHERE org = ? AND day = ? AND ts = ? AND seq = ?", [60, ["x"], ["y"], 1, "a", 2, 3]),
        (R.update(R.labels["k"].set(1), R.labels.drop("a"), R.log.prepend("z")).where(*ROW), "UPDATE app.readings SET labels[?] = ?, labels = labels - ?, log = ? + log WHERE org = ? AND day = ? AND ts = ? AND seq = ?", ["k", 1, ["a"], ["z"], 1, "a", 2, 3]),
        (R.update(R.tags.remove("x"), R.labels.put({"b": 2})).where(*ROW), "UPDATE app.readings SET tags = tags - ?, labels = labels + ? WHERE org = ? AND day = ? AND ts = ? AND seq = ?", [["x"], [("b", 2)], 1, "a", 2, 3]),
        (R.update(R.owner.set("me")).where(*ONE), "UPDATE app.readings SET owner = ? WHERE org = ? AND day = ?", ["me", 1, "a"]),
        (R.update(R.note.set("x")).where(*ROW).only_if(R.note == "y", R.size > 3), "UPDATE app.readings SET note = ? WHERE org = ? AND day = ? AND ts = ? AND seq = ? IF note = ? AND size > ?", ["x", 1, "a", 2, 3, "y", 3]),
        (R.update(R.note.set("x")).where(*ROW).only_if(ANY.note == None), "UPDATE app.readings SET note = ? WHERE org = ? AND day = ? AND ts = ? AND seq = ? IF note = ?", ["x", 1, "a", 2, 3, None]),  # noqa: E711
        (R.update(R.note.set("x")).where(*ROW).timestamp(datetime(1970, 1, 1, microsecond=5, tzinfo=UTC)), "UPDATE app.readings USING TIMESTAMP ? SET note = ? WHERE org = ? AND day = ? AND ts = ? AND seq = ?", [5, "x", 1, "a", 2, 3]),
        (R.delete().where(*ONE), "DELETE FROM app.readings WHERE org = ? AND day = ?", [1, "a"]),
        (R.delete().where(*ONE, R.ts < 5), "DELETE FROM app.readings WHERE org = ? AND day = ? AND ts < ?", [1, "a", 5]),
        (R.delete(R.note, R.tags).where(*ROW), "DELETE note, tags FROM app.readings WHERE org = ? AND day = ? AND ts = ? AND seq = ?", [1, "a", 2, 3]),
        (R.delete().where(*ROW).if_exists(), "DELETE FROM app.readings WHERE org = ? AND day = ? AND ts = ? AND seq = ? IF EXISTS", [1, "a", 2, 3]),
        (Hits.update(Hits.seen + 3).where(Hits.page == "a"), "UPDATE hits SET seen = seen + ? WHERE page = ?", [3, "a"]),
        (Hits.update(Hits.seen - 3).where(Hits.page == "a"), "UPDATE hits SET seen = seen - ? WHERE page = ?", [3, "a"]),
    ],
)  # fmt: skip
def test_a_write_is_text_with_bound_values(write: Any, text: str, params: list[Any]) -> None:
    made = write.compiled()
    assert (made.text, made.params) == (text, params)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (R.update, "update of nothing"),
        (lambda: R.update(R.note.set("x")), "names no row"),
        (lambda: R.update(R.note.set("x")).where(*ONE), "lacks ts, seq of the key"),
        (lambda: R.update(R.note.set("x")).where(*ROW[:3], R.seq > 1), "> in a write"),
        (lambda: R.update(R.note.set("x")).where(*ROW, R.kind == "x"), "outside the key"),
        (lambda: R.update(R.ts.set(3)).where(*ROW), "assignment to the key"),
        (lambda: R.update(R.note == "x"), "no assignment"),  # type: ignore[arg-type]
        (lambda: R.update(ANY.note + 1), "1 is added to a text"),
        (lambda: R.update(ANY.path.append("x")), "whose parts cannot change"),
        (lambda: Hits.update(Hits.seen.set(3)), "of a counter"),
        (lambda: Hits.update(Hits.seen + 1).ttl(3).where(Hits.page == "a"), "of a counter"),
        (lambda: R.update(R.note.set("x")).where(*ROW).ttl(timedelta(seconds=1.5)), "time to live"),
        (lambda: R.update(R.note.set("x")).where(*ROW).only_if(R.ts == 1), "only_if"),
        (lambda: R.update(R.note.set("x")).where(*ROW).only_if(R.note == "y").if_exists(), "beside"),
        (lambda: R.update(R.note.set("x")).where(*ROW[:3], R.seq.in_([1, 2])).if_exists(), "in_"),
        (lambda: R.update(R.note.set("x")).where(*ROW).if_exists().timestamp(1), "timestamp"),
        (lambda: R.delete(R.ts).where(*ROW), "delete"),
        (lambda: R.delete().where(*ONE, R.seq == 3), "while ts"),
        (lambda: Doc.update(Doc.text.set("x")).where(Doc.id == 1), "rows that conditions guard"),
        (lambda: Doc.delete().where(Doc.id == 1), "rows that conditions guard"),
        (lambda: R.get(1, "a", 2), "lacks seq of its key"),
        (lambda: R.get(1, "a", 2, 3, 4), "5 values"),
        (lambda: R.get(1, "a", 2, no=3), "no for the key"),
        (lambda: R.get(1, "a", 2, "x"), "does not fit bigint"),
    ],
)
def test_a_write_that_names_too_little_or_too_much_is_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        make().compiled()


def test_a_key_is_given_in_its_order_or_by_name() -> None:
    assert R.get(1, "a", 2, 3).key == R.get(1, "a", seq=3, ts=2).key == (1, "a", 2, 3)


async def test_a_query_without_a_database_says_how_to_give_it_one() -> None:
    current_session.set(None)
    with pytest.raises(QueryError, match="async with db"):
        await R.where(*ONE).all()
    with pytest.raises(QueryError, match="async with db"):
        await R.get(1, "a", 2, 3)


def test_a_query_is_a_value_that_building_further_leaves_alone() -> None:
    query = R.where(*ONE)
    query.limit(3).order_by(R.ts.desc())
    assert where(query) == "WHERE org = ? AND day = ?"
