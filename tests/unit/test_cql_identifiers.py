"""Names in CQL text."""

from collections.abc import Callable

import pytest

from cassorm.cql.identifiers import MAX_NAME, RESERVED, quote, quote_keyspace, quote_table
from cassorm.errors import QueryError


@pytest.mark.parametrize("name", ["id", "created_at", "a1", "timestamp", "uuid", "key", "ttl", "static"])
def test_plain_names_stay_bare(name: str) -> None:
    assert quote(name) == name


@pytest.mark.parametrize("name", ["Order", "createdAt", "_id", "1st", "A"])
def test_names_that_cql_would_change_are_quoted(name: str) -> None:
    assert quote(name) == f'"{name}"'


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_words_work_and_are_quoted(name: str) -> None:
    assert quote(name) == f'"{name}"'


@pytest.mark.parametrize(
    "name", ['a"b', '"', "a; DROP TABLE users", "a--", "a b", "", "ä", "a.b", "a'b", "a\n", "a\x00", "a-b", "order)"]
)
def test_anything_but_letters_digits_and_underscores_is_refused_with_the_value(name: str) -> None:
    with pytest.raises(QueryError) as caught:
        quote(name)
    assert repr(name) in str(caught.value)
    assert caught.value.remedy == "Use letters, digits and underscores only"


@pytest.mark.parametrize("name", [None, 7, b"id"])
def test_a_name_that_is_no_text_is_refused(name: object) -> None:
    with pytest.raises(QueryError, match="is no name"):
        quote(name)  # type: ignore[arg-type]


def test_tables_and_keyspaces_have_48_characters_at_most_and_columns_have_more() -> None:
    longest, too_long = "a" * MAX_NAME, "a" * (MAX_NAME + 1)
    assert quote_table(longest, longest) == f"{longest}.{longest}"
    assert quote(too_long) == too_long
    refusals: list[Callable[[], str]] = [
        lambda: quote_table(too_long),
        lambda: quote_table("t", too_long),
        lambda: quote_keyspace(too_long),
    ]
    for refused in refusals:
        with pytest.raises(QueryError, match="49 characters") as caught:
            refused()
        assert caught.value.remedy == "Use at most 48 characters"


def test_a_table_is_written_with_its_keyspace() -> None:
    assert quote_table("Orders", "shop") == 'shop."Orders"'
    assert quote_table("orders") == "orders"
