"""What servers refuse is refused when it is built, with the key, the index or the method that would allow it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest

from cassorm.driver.consistency import Consistency
from cassorm.errors import ModelError, QueryError
from cassorm.orm.expressions import count_rows
from cassorm.orm.fan_out import Partitions
from cassorm.orm.fields import CK, PK, Col, Counter, Static, ck, col
from cassorm.orm.markers import SAI, Frozen, Secondary
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.ring import token
from cassorm.orm.values import Duration, Vector


class Reading(Model):
    org: PK[int]
    day: PK[str]
    ts: CK[int] = ck(order="desc")
    seq: CK[int]
    spot: CK[int] = ck(index=SAI())
    kind: Col[str] = col(default="", index=SAI())
    size: Col[int] = col(default=0, index=True)
    code: Col[int] = col(default=0, index=Secondary())
    note: Col[str] = col(default="")
    took: Col[Duration] = col(default_factory=Duration)
    tags: Col[set[str]] = col(default_factory=set, index=SAI())
    log: Col[list[str]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict, index=SAI(target="entries"))
    path: Col[Frozen[list[str]]] = col(default_factory=list)
    near: Col[Annotated[list[float], Vector(2)]] = col(default_factory=lambda: [1.0, 0.0], index=SAI())
    far: Col[Annotated[list[float], Vector(2)]] = col(default_factory=lambda: [1.0, 0.0])
    owner: Static[str] = col(default="")
    level: Static[int] = col(default=0, index=SAI())


class Hits(Model):
    page: PK[str]
    seen: Counter


R: Any = Reading
ONE = (R.org == 1, R.day == "a")
ROW = (*ONE, R.ts == 2, R.seq == 3, R.spot == 4)
RING = token(R.org, R.day)


@pytest.mark.parametrize(
    ("query", "text", "params"),
    [
        (R.where(RING > 0), "WHERE token(org, day) > ?", [0]),
        (R.where(RING >= (1, "a"), RING < 5), "WHERE token(org, day) >= token(?, ?) AND token(org, day) < ?", [1, "a", 5]),
        (R.where(RING > 0, R.kind == "x", R.ts > 3), "WHERE token(org, day) > ? AND kind = ? AND ts > ?", [0, "x", 3]),
        (R.where(R.labels["k"] == 1), "WHERE labels[?] = ?", ["k", 1]),
        (R.where(R.labels["k"] == 1, R.labels["j"] == 2, R.tags.contains("x")), "WHERE labels[?] = ? AND labels[?] = ? AND tags CONTAINS ?", ["k", 1, "j", 2, "x"]),
        (R.where(R.spot == 1), "WHERE spot = ?", [1]),
        (R.where(*ONE, R.spot > 1), "WHERE org = ? AND day = ? AND spot > ?", [1, "a", 1]),
        (R.where(R.level > 1), "WHERE level > ?", [1]),
        (R.where(R.org.in_([1]), R.day == "a").order_by(R.ts.asc()), "WHERE org = ? AND day = ? ORDER BY ts ASC", [1, "a"]),
        (R.where(*ONE, R.ts == 1).order_by(R.ts.desc(), R.seq.asc()), "WHERE org = ? AND day = ? AND ts = ? ORDER BY ts DESC, seq ASC", [1, "a", 1]),
        (R.where(R.org > 1).allow_filtering(), "WHERE org > ? ALLOW FILTERING", [1]),
        (R.where(R.kind.in_(["x", "y"])).allow_filtering(), "WHERE kind IN ? ALLOW FILTERING", [["x", "y"]]),
        (R.where(R.path == ["x"]).allow_filtering(), "WHERE path = ? ALLOW FILTERING", [["x"]]),
        (R.where().nearest(R.near, [1.0, 0.0]).limit(3), "ORDER BY near ANN OF ? LIMIT ?", [[1.0, 0.0], 3]),
        (R.where(R.kind == "x").nearest(R.near, [1.0, 0.0]).limit(3), "WHERE kind = ? ORDER BY near ANN OF ? LIMIT ?", ["x", [1.0, 0.0], 3]),
        (R.where(*ONE).values(R.ts, count_rows()).group_by(R.ts), "WHERE org = ? AND day = ? GROUP BY ts", [1, "a"]),
    ],
)  # fmt: skip
def test_a_query_is_text_with_bound_values(query: Any, text: str, params: list[Any]) -> None:
    found, given = query.statement()
    assert (found.partition(" FROM reading ")[2], given) == (text, params)


def test_what_is_selected_stands_before_the_table() -> None:
    one = R.where(*ONE)
    for query, what in (
        (one.values(R.ts).json(), "SELECT JSON ts FROM"),
        (one.partitions(), "SELECT DISTINCT org, day FROM"),
        (one.partitions(R.owner).json(), "SELECT JSON DISTINCT org, day, owner FROM"),
        (one.values(R.size.sum(), R.size.avg(), R.kind.max()), "SELECT SUM(size), AVG(size), MAX(kind) FROM"),
    ):
        assert query.statement()[0].startswith(what)


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        # keys
        (lambda: R.where(R.org == 1), "lacks day of the partition key", "Reading.day == "),
        (lambda: R.where(R.org > 1, R.day == "a"), "> on the partition key", r"use =, token\(\) or scan\(\)"),
        (lambda: R.where(*ONE, R.seq == 1), "while ts, before it in the key, is not given", "Give ts by =="),
        (lambda: R.where(*ONE, R.ts > 1, R.seq == 1), "while ts, .* compared by a range", "Give ts by =="),
        (lambda: R.where(*ONE, R.ts > 1, R.spot == 1), "while ts, .* compared by a range", "Give ts by =="),
        (lambda: R.where(*ONE, R.ts == 1, R.ts > 0), "> beside another condition", "Keep one"),
        (lambda: R.where(*ONE, R.ts.in_([1, 2]), R.ts == 1), "= twice", "Keep one"),
        (lambda: R.where(*ONE, R.ts > 1, R.ts >= 2), ">= twice", "Keep one"),
        (lambda: R.where(*ONE, R.took < Duration(days=1)), "< of a duration", "no order"),
        # tokens
        (lambda: R.where(token(R.org) > 1), "other columns than the partition key", r"token\(Reading.org, Reading.day\)"),
        (lambda: R.where(token(R.day, R.org) > 1), "other columns than the partition key", "Reading.org, Reading.day"),
        (lambda: R.where(RING > 1, RING > 2), "> twice", "Keep one"),
        (lambda: R.where(RING > 1, R.ts == 1), "lacks org, day", "Reading.org == "),
        (lambda: R.where(RING > 1, R.org == 1), "lacks day", "Reading.day == "),
        (lambda: R.where(RING > 1).order_by(R.ts.asc()), "several partitions", "Reading.org"),
        (lambda: R.where(RING != 1), "!= of a token", "< and >"),
        (lambda: R.where(RING > 2**63), "is no token", "64 bits"),
        (lambda: R.where(RING > (1,)), "is no token", "tuple of 2"),
        (lambda: R.where(RING > (1, 2)), "2 does not fit text", "text"),
        (token, r"token\(\)", "columns of the partition key"),
        # indexes
        (lambda: R.where(*ONE, R.note == "x"), "neither key nor index", r"col\(index=True\)"),
        (lambda: R.where(*ONE, R.owner == "x"), "neither key nor index", r"col\(index=True\)"),
        (lambda: R.where(R.log.contains("x")), "CONTAINS on a column that neither", r"col\(index=True\)"),
        (lambda: R.where(R.path.contains("x")), "CONTAINS on a column that neither", "not frozen"),
        (lambda: R.where(R.labels.contains_key("x")), "CONTAINS KEY on a column", 'target="keys"'),
        (lambda: R.where(R.labels.contains(1)), "CONTAINS on a column", r"col\(index=SAI\(\)\)"),
        (lambda: R.where(R.labels["k"] > 1), "> of a map's entry", "=="),
        (lambda: R.where(R.labels["k"] == None), "comparison with None", "only_if"),  # noqa: E711
        (lambda: R.where(R.kind > "x"), "> on a column", "clustering column"),
        (lambda: R.where(R.code > 1), "> on a column", r"index=SAI\(\)"),
        (lambda: R.where(R.kind.in_(["x", "y"])), "IN on a column outside", "for each value"),
        (lambda: R.where(R.code == 1, R.kind == "x"), "code and kind, whose indexes do not join", r"SAI\(\)"),
        (lambda: R.where(R.kind == "x", R.note == "y"), "= on a column", r"col\(index=True\)"),
        (lambda: R.where(R.kind == "x", R.org == 1), "lacks day", "Reading.day"),
        (lambda: R.where(R.kind == "x", R.ts == 1), "lacks org, day", "Reading.org"),
        (lambda: R.where(R.org.in_([1, 2]), R.kind == "x").allow_filtering(), "IN on a part", "Reading.day"),
        (lambda: R.where(*ONE, R.kind == "x").order_by(R.ts.asc()), "an order beside an index", "in Python"),
        (lambda: R.where(*ONE, R.near == [1.0, 2.0]), "= on a column", "index"),
        # collections
        (lambda: R.where(R.tags == {"x"}), "= of a set", r"contains\(\), or declare it Frozen"),
        (lambda: R.where(R.log.in_([["x"], ["y"]])).allow_filtering(), "IN of a list", r"contains\(\)"),
        (lambda: R.where(R.path == ["x"], R.path.contains("x")).allow_filtering(), "beside another", "Keep one"),
        # words that CQL has not
        (lambda: R.where(*ONE, R.kind != "x"), "!= in a query", "no !="),
        (lambda: R.where((R.org == 1) | (R.day == "a")), "[|] after", "no OR"),
        (lambda: R.where(R.kind.like("x%")), "has no like", "=="),
        # orders
        (lambda: R.where(*ONE).order_by(R.size.asc()), "cannot be ordered by", "ts desc, seq asc, spot asc"),
        (lambda: R.where(*ONE).order_by(R.seq.asc()), "cannot be ordered by", "ts desc"),
        (lambda: R.where(*ONE, R.ts.in_([1, 2])).order_by(R.seq.asc()), "cannot be ordered by", "ts desc"),
        (lambda: R.where(*ONE).order_by(R.ts.asc(), R.seq.asc()), "some are turned", "ts desc"),
        (lambda: R.where(*ONE).order_by(R.ts.asc(), R.ts.desc()), "one column twice", "Keep one"),
        (lambda: R.where(R.org == 1, R.day.in_(["a", "b"])).order_by(R.ts.asc()), "several partitions", "Reading.org"),
        # groups, aggregates, partitions
        (lambda: R.where(*ONE).group_by(R.org), "a part of the partition key", "org, day at least"),
        (lambda: R.where(*ONE).group_by(R.org, R.day, R.seq), "by seq out of the order", "org, day, ts"),
        (lambda: R.where(*ONE).group_by(R.note), "by note out of the order", "org, day, ts"),
        (lambda: R.where(RING > 1).group_by(R.day), "by day out of the order", "org, day"),
        (lambda: R.where(*ONE).values(count_rows()).per_partition_limit(1), "an aggregate", "group_by"),
        (lambda: R.where(*ONE).values(R.kind.sum()), "SUM of a text", "numbers"),
        (lambda: R.where(*ONE).values(R.tags.avg()), "AVG of a set", "numbers"),
        (lambda: R.where(*ONE).partitions().per_partition_limit(1), "of partitions", "Remove"),
        (lambda: R.where(*ONE, R.ts == 1).partitions(), "of rows, in a query for partitions", "static columns"),
        (lambda: R.where(R.kind == "x").partitions(), "of rows, in a query for partitions", "static columns"),
        (lambda: R.where(*ONE).partitions().group_by(R.ts), "of rows, in a query for partitions", "static"),
        (lambda: R.where(*ONE).partitions(R.note), "is not static", "static columns alone"),
        (lambda: R.where(*ONE).partitions().values(R.owner), "other columns after", "once"),
        (lambda: R.where(*ONE).json().values(R.owner), "other columns after", "json.. comes last"),
        # the nearest
        (lambda: R.where().nearest(R.near, [1.0, 0.0]), "without a limit", "at most 1000"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(1001), "without a limit", "at most 1000"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(3).order_by(R.ts.asc()), "another order", "Keep one"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(3).per_partition_limit(1), "another order", "Keep"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(3).group_by(R.org, R.day), "another order", "Keep"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(3).values(count_rows()), "another order", "Keep"),
        (lambda: R.where(R.org == 1).nearest(R.near, [1.0, 0.0]).limit(3), "lacks day", "Reading.day"),
        (lambda: R.where(R.code == 1).nearest(R.near, [1.0, 0.0]).limit(3), "do not join", "SAI"),
        (lambda: R.where(R.note == "x").nearest(R.near, [1.0, 0.0]).limit(3).allow_filtering(), "neither key", "index"),
        (lambda: R.where().nearest(R.near, [0.0, 0.0]), "zeros have no direction", "vector"),
        (lambda: R.where().nearest(R.far, [1.0, 0.0]), "no vector with an index", r"SAI\(\)"),
        (lambda: R.where().nearest(R.near, [1.0]), "does not fit", "vector"),
        # many keys
        (lambda: R.where(*ONE, R.ts.in_(range(10_001))), "of 10,001 values", "10,000 at a time"),
        (lambda: R.where(R.org.in_(range(200)), R.day.in_(map(str, range(51)))), "over 10,200 partitions", "at a time"),
        (lambda: R.where(R.org.in_(range(17)), R.day == "a").values(count_rows()), "aggregate over 17", "group_by"),
    ],
)  # fmt: skip
def test_what_the_server_would_refuse_is_refused_with_what_would_allow_it(
    make: Callable[[], Any], problem: str, remedy: str
) -> None:
    with pytest.raises(QueryError, match=problem) as refused:
        make().statement()
    assert refused.value.remedy is not None
    assert re.search(remedy, refused.value.remedy)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: R.where(R.size > 1), "> on a column that neither key nor index finds"),
        (lambda: R.where(R.size == 1, R.code == 1), "whose indexes do not join"),
        (lambda: R.where().nearest(R.near, [1.0, 0.0]).limit(3), "engine without such indexes"),
    ],
)
def test_what_only_storage_attached_indexes_answer_is_refused_on_engines_without_them(
    make: Callable[[], Any], problem: str
) -> None:
    query = make()
    if "join" not in problem:
        query.statement()
    with pytest.raises(QueryError, match=problem):
        query.statement(sai=False)
    assert R.where(R.size == 1).statement(sai=False)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: R.update(R.owner.set("x")).where(*ROW), "a row is named for static columns"),
        (lambda: R.delete(R.owner).where(*ROW), "a row is named for static columns"),
        (lambda: R.update(R.owner.set("x")).where(R.org == 1), "lacks day of the partition key"),
        (lambda: R.update(R.owner.set("x")).where(*ONE).only_if(R.note == "x"), "condition on a row"),
        (lambda: R.update(R.note.set("x")).where(RING > 1), "outside the key"),
        (lambda: R.delete().where(R.kind == "x"), "outside the key"),
        (lambda: R.delete().where(*ONE, R.spot == 1), "while seq|while ts"),
        (lambda: R.delete().where(*ONE, R.ts > 1, R.seq == 1), "compared by a range"),
        (lambda: R.delete().where(*ONE, R.ts > 1, R.ts > 2), "> twice"),
        (lambda: R.delete().where(*ONE, R.ts > 1).if_exists(), "> in a write"),
        (lambda: R.delete().where(R.org > 1, R.day == "a"), "> in a write"),
        (lambda: R.delete(R.note).where(*ONE), "lacks ts, seq, spot of the key"),
        (lambda: R.update(R.note.set("x"), R.note.set("y")).where(*ROW), "assigned twice"),
        (lambda: R.update(R.tags.set({"x"}), R.tags.add("y")).where(*ROW), "assigned twice"),
        (lambda: R.update(R.note.set("x")).where(*ROW).only_if(R.tags.contains("x")), "only_if"),
        (lambda: R.update(R.note.set("x")).where(*ROW).only_if(Hits.page == "x"), "only_if"),
        (lambda: R.update(R.note.set("x")).where(*ROW).only_if(R.labels["k"] > None), "> None"),
        (lambda: Hits.update(Hits.seen + 1).where(Hits.page == "x").if_exists(), "condition on counters"),
        (lambda: Hits.delete().where(Hits.page == "x").if_exists(), "condition on counters"),
        (lambda: Hits.update(Hits.seen + 1, Hits.seen + 2).where(Hits.page == "x"), "assigned twice"),
        (lambda: R.delete().where(R.org.in_(range(101)), R.day == "a"), "write to 101 partitions"),
    ],
)
def test_a_write_that_the_server_would_refuse_is_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        make().compiled()


def test_several_changes_of_one_collection_go_together() -> None:
    made = R.update(R.log.append("y"), R.log.prepend("x"), R.labels["a"].set(1), R.labels.drop("b")).where(*ROW)
    assert made.compiled().text.count("log = ") == 2
    guarded = R.update(R.note.set("x")).where(*ROW).only_if(R.labels["k"] == None, R.labels["j"] != 1, R.owner == "x")  # noqa: E711
    assert guarded.compiled().text.endswith("IF labels[?] = ? AND labels[?] != ? AND owner = ?")


def test_many_keys_are_the_same_text_with_other_values() -> None:
    query = R.where(R.org.in_([2, 1, 2]), R.day.in_(["a", "b"]), R.ts > 5)
    parts = Partitions(plan_of(Reading), query.conditions)
    assert parts.count == 4
    assert query.text(parts.alone()).endswith("WHERE org = ? AND day = ? AND ts > ?")
    assert list(parts.params()) == [[2, "a", 5], [2, "b", 5], [1, "a", 5], [1, "b", 5]]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: R.where(*ONE).using(consistency=Consistency.ANY), "a read at ANY"),
        (lambda: R.where(*ONE).using(consistency="ONE"), "'ONE' as consistency"),
        (lambda: R.get(1, "a", 1, 1, 1).using(timeout=timedelta(0)), "a timeout of"),
        (lambda: R.scan().using(timeout=3), "a timeout of 3"),
        (lambda: R.update(R.note.set("x")).using(consistency=Consistency.SERIAL), "a write at SERIAL"),
        (lambda: R.delete().using(serial_consistency=Consistency.ONE), "ONE as serial_consistency"),
    ],
)
def test_options_that_cannot_be_are_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        make()


def test_options_of_a_class_that_cannot_be_are_refused_when_it_is_made() -> None:
    with pytest.raises(ModelError, match="a write at LOCAL_SERIAL"):

        class Serial(Model, consistency=Consistency.LOCAL_SERIAL):
            id: PK[int]

    with pytest.raises(ModelError, match="a read at ANY"):

        class Loose(Model, consistency=Consistency.ANY):
            id: PK[int]
