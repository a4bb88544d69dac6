"""Statements as values, and what kind a text is."""

from collections.abc import Callable

import pytest

from cassorm.cql.statements import Statement, batch, delete, insert, is_conditional, is_read, select, update
from cassorm.cql.tokens import tokens
from cassorm.errors import QueryError


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t (a) VALUES (?) IF NOT EXISTS",
        "insert into t (a) values (?) if not exists using ttl 3",
        "UPDATE t SET a = ? WHERE id = ? IF EXISTS",
        "UPDATE t SET a = ? WHERE id = ? IF a = 'x'",
        "DELETE FROM t WHERE id = ? IF a IN (1, 2)",
        "BEGIN BATCH UPDATE t SET a = 1 WHERE id = 2 IF a = 3; INSERT INTO t (id) VALUES (2); APPLY BATCH",
        "/* first */ UPDATE t -- then\n SET a = 1 WHERE id = 2\nIF\ta = 3",
        "BEGIN UNLOGGED BATCH DELETE FROM t WHERE id = 1 IF EXISTS APPLY BATCH",
    ],
)
def test_a_write_with_a_condition_is_conditional(text: str) -> None:
    assert is_conditional(text)
    assert not is_read(text)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE IF NOT EXISTS t (a int PRIMARY KEY)",
        "DROP TABLE IF EXISTS t",
        "INSERT INTO t (a) VALUES ('IF NOT EXISTS')",
        "INSERT INTO t (a) VALUES ('it''s IF')",
        "INSERT INTO t (a) VALUES ($$ IF $$)",
        'UPDATE t SET "if" = 1 WHERE id = 2',
        "UPDATE t SET a = 1 WHERE id = 2 -- IF a = 3",
        "UPDATE t SET a = 1 WHERE id = 2 /* IF a = 3 */",
        "UPDATE t SET a = 1 WHERE id = 2 // IF a = 3",
        "SELECT a FROM t WHERE b = 'IF'",
        "UPDATE motif SET iff = 1 WHERE id = 2",
        "",
    ],
)
def test_a_condition_counts_only_where_cql_reads_one(text: str) -> None:
    assert not is_conditional(text)


def test_only_a_select_reads() -> None:
    assert is_read("SELECT a FROM t")
    assert is_read("  -- hello\n /* SELECT */ select a FROM t")
    assert not is_read("INSERT INTO t (a) VALUES ('SELECT')")
    assert not is_read("TRUNCATE t")
    assert not is_read("")


@pytest.mark.parametrize("text", ["SELECT 'a", 'UPDATE t SET "a', "UPDATE t SET a = 1 /* if", "SELECT $$ if"])
def test_what_is_never_closed_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(QueryError, match=r"line 2: a .* is opened and never closed"):
        list(tokens("\n" + text))


def test_select_names_columns_and_passes_values_beside_the_text() -> None:
    statement = select(
        "orders",
        ["id", "Total", "order"],
        keyspace="shop",
        where=[("id", "=", 7), ("at", ">=", 8)],
        order_by={"at": "desc"},
        limit=10,
    )
    assert statement == Statement(
        'SELECT id, "Total", "order" FROM shop.orders WHERE id = ? AND at >= ? ORDER BY at DESC LIMIT ?', (7, 8, 10)
    )


def test_insert_takes_a_condition_a_ttl_and_a_timestamp() -> None:
    assert insert("t", {"a": 1, "b": None}) == Statement("INSERT INTO t (a, b) VALUES (?, ?)", (1, None))
    assert insert("t", {"a": 1}, if_not_exists=True, ttl_s=60, timestamp_us=5) == Statement(
        "INSERT INTO t (a) VALUES (?) IF NOT EXISTS USING TTL ? AND TIMESTAMP ?", (1, 60, 5)
    )


def test_the_parameters_of_an_update_stand_in_the_order_of_their_markers() -> None:
    statement = update(
        "t", {"a": 1, "b": 2}, where=[("id", "=", 3)], conditions=[("a", "=", None), ("c", "IN", (4, 5))], ttl_s=6
    )
    assert statement.text == "UPDATE t USING TTL ? SET a = ?, b = ? WHERE id = ? IF a = ? AND c IN ?"
    assert statement.params == (6, 1, 2, 3, None, (4, 5))
    assert is_conditional(statement.text)


def test_delete_removes_rows_or_columns() -> None:
    assert delete("t", where=[("id", "=", 1)], if_exists=True).text == "DELETE FROM t WHERE id = ? IF EXISTS"
    assert delete("t", where=[("id", "=", 1)], columns=["a"], timestamp_us=2) == Statement(
        "DELETE a FROM t USING TIMESTAMP ? WHERE id = ?", (2, 1)
    )


def test_a_batch_is_one_statement_with_all_parameters() -> None:
    one = batch([insert("t", {"a": 1}, if_not_exists=True), delete("t", where=[("a", "=", 2)])])
    assert one.text == (
        "BEGIN BATCH\n  INSERT INTO t (a) VALUES (?) IF NOT EXISTS;\n  DELETE FROM t WHERE a = ?;\nAPPLY BATCH"
    )
    assert one.params == (1, 2)
    assert is_conditional(one.text)
    assert batch([insert("t", {"a": 1})], kind="unlogged").text.startswith("BEGIN UNLOGGED BATCH")
    assert batch([insert("t", {"a": 1})], kind="counter").text.startswith("BEGIN COUNTER BATCH")


def test_statements_that_cql_would_refuse_are_refused_here() -> None:
    refusals: list[Callable[[], object]] = [
        lambda: select("t", []),
        lambda: select("t; DROP TABLE t", ["a"]),
        lambda: select("t", ["a"], where=[("id", "= 1 OR", 2)]),
        lambda: insert("t", {}),
        lambda: insert("t", {'a"': 1}),
        lambda: update("t", {}, where=[("id", "=", 1)]),
        lambda: update("t", {"a": 1}, where=[]),
        lambda: update("t", {"a": 1}, where=[("id", "=", 1)], conditions=[("a", "=", 1)], if_exists=True),
        lambda: delete("t", where=[]),
        lambda: batch([]),
        lambda: batch([select("t", ["a"])]),
    ]
    for refused in refusals:
        with pytest.raises(QueryError) as caught:
            refused()
        assert caught.value.remedy
