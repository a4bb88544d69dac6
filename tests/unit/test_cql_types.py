"""CQL types as values."""

import enum
from datetime import date, datetime, time
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Optional
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cassorm.cql.types import NATIVE_TYPES, CqlType, check_known, cql_type, parse_type, python_type
from cassorm.errors import QueryError

natives = st.sampled_from(sorted(NATIVE_TYPES - {"counter", "duration"})).map(CqlType)
user_types = st.sampled_from(["address", "Address", "select", "line_item"]).map(lambda name: CqlType(name, frozen=True))
custom = st.just(CqlType("'org.apache.cassandra.db.marshal.EmptyType'"))


def _containers(parts: st.SearchStrategy[CqlType]) -> st.SearchStrategy[CqlType]:
    def frozen(name: str, *args: CqlType) -> CqlType:
        return CqlType(name, args, frozen=True)

    return st.one_of(
        st.builds(frozen, st.sampled_from(["list", "set"]), parts),
        st.builds(frozen, st.just("map"), parts, parts),
        st.lists(parts, min_size=1, max_size=3).map(lambda args: CqlType("tuple", tuple(args))),
        st.builds(lambda arg, size: CqlType("vector", (arg,), size), parts, st.integers(1, 2000)),
    )


inner_types = st.recursive(st.one_of(natives, user_types, custom), _containers, max_leaves=6)
column_types = st.one_of(
    inner_types,
    st.builds(lambda name, arg: CqlType(name, (arg,)), st.sampled_from(["list", "set"]), inner_types),
    st.builds(lambda key, value: CqlType("map", (key, value)), inner_types, inner_types),
    st.sampled_from(
        [CqlType("counter"), CqlType("duration"), CqlType("Address"), CqlType("list", (CqlType("duration"),))]
    ),
)


@settings(max_examples=100, deadline=None)
@given(column_types)
def test_a_type_that_is_written_is_read_back_as_itself(kind: CqlType) -> None:
    assert parse_type(str(kind)) == kind


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abint<>,.\"'; 1$-", max_size=25))
def test_any_other_text_is_a_type_or_is_refused_with_a_remedy(text: str) -> None:
    try:
        kind = parse_type(text)
    except QueryError as error:
        remedy = error.remedy
    else:
        remedy = None
        assert parse_type(str(kind)) == kind
    assert remedy != ""


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("VARCHAR", "text"),
        (" Map < text , INT > ", "map<text, int>"),
        ("tuple<int,text>", "frozen<tuple<int, text>>"),
        ("frozen<map<text, list<int>>>", "frozen<map<text, frozen<list<int>>>>"),
        ("list<tuple<int, address>>", "list<frozen<tuple<int, frozen<address>>>>"),
        ("frozen<vector<float, 3>>", "vector<float, 3>"),
        ("vector<list<int>, 2>", "vector<frozen<list<int>>, 2>"),
        ("Address", "address"),
        ('frozen<"Address">', 'frozen<"Address">'),
    ],
)
def test_all_spellings_of_a_type_become_the_one_that_the_server_shows(written: str, kept: str) -> None:
    assert str(parse_type(written)) == kept


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("list<list<int>>", "Write frozen<list<int>> for it"),
        ("map<text, set<int>>", "Write frozen<set<int>> for it"),
        ("set<address>", "Write frozen<address> for it"),
        ("list<counter>", "Counters stand in columns of their own: use bigint"),
        ("tuple<int, counter>", "Counters stand in columns of their own: use bigint"),
        ("set<duration>", "Use bigint"),
        ("frozen<map<duration, int>>", "Use bigint"),
        ("frozen<int>", "Write int"),
        ("map<text>", "Give map two types, as in map<text, int>"),
        ("list<int, int>", "Give list one type, as in list<int>"),
        ("tuple", "Give tuple one or more types, as in tuple<int, text>"),
        ("vector<float>", "Write vector<float, 3>"),
        ("vector<float, 0>", "Write vector<float, 3>"),
        ("list<int, 3>", "Write list<int>"),
        ("text<int>", "Write its name alone"),
        ("int; DROP TABLE t", "Write a type, such as text or map<text, int>"),
        ("list<int", "Write a type, such as text or map<text, int>"),
        ("list<int>>", "Write a type, such as text or map<text, int>"),
        ("vector<float, 99999999>", "Write a type, such as text or map<text, int>"),
        ("shop.address", "Write a type, such as text or map<text, int>"),
        ("select", "Write a type, such as text or map<text, int>"),
        ("", "Write a type, such as text or list<int>"),
        ("list<" * 5000, "Write a type, such as text or map<text, int>"),
    ],
)
def test_what_cql_cannot_take_is_refused_with_what_to_write(text: str, remedy: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_type(text)
    assert caught.value.remedy == remedy
    assert len(str(caught.value)) < 300


def test_an_unknown_type_is_refused_with_names_that_come_near() -> None:
    check_known(parse_type("map<text, frozen<address>>"), {"address"})
    with pytest.raises(QueryError, match=r"unknown type 'timestmp'. Did you mean timestamp"):
        check_known(parse_type("timestmp"))
    with pytest.raises(QueryError, match=r"unknown type 'adress'. Did you mean address"):
        check_known(parse_type("list<frozen<adress>>"), {"address"})
    with pytest.raises(QueryError, match=r"unknown type 'zzz'. Use a type of CQL. A user type has to be declared"):
        check_known(parse_type("zzz"))


def test_what_is_stored_in_parts_is_told_from_what_is_stored_whole() -> None:
    multicell = {text for text in _SOME if parse_type(text).is_multicell}
    assert multicell == {"list<int>", "set<text>", "map<text, int>", "address"}


_SOME = [
    "int",
    "list<int>",
    "set<text>",
    "map<text, int>",
    "address",
    "frozen<address>",
    "tuple<int>",
    "vector<float, 2>",
]


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (str, "text"),
        (int, "bigint"),
        (float, "double"),
        (bool, "boolean"),
        (bytes, "blob"),
        (Decimal, "decimal"),
        (UUID, "uuid"),
        (datetime, "timestamp"),
        (date, "date"),
        (time, "time"),
        (IPv4Address, "inet"),
        (Colour, "text"),
        (Optional[int], "bigint"),  # noqa: UP045 - both spellings are in use
        (str | None, "text"),
        (Annotated[int, "x"], "bigint"),
        (list[int], "list<bigint>"),
        (frozenset[str], "set<text>"),
        (dict[str, list[set[int]]], "map<text, frozen<list<frozen<set<bigint>>>>>"),
        (tuple[int, str], "frozen<tuple<bigint, text>>"),
    ],
)
def test_python_types_have_a_cql_type(annotation: Any, text: str) -> None:
    assert str(cql_type(annotation)) == text


@pytest.mark.parametrize("annotation", [object, int | str, list, tuple[int, ...], Any, dict, complex, "int"])
def test_a_python_type_without_a_cql_type_is_refused(annotation: Any) -> None:
    with pytest.raises(QueryError, match="no CQL type is that of") as caught:
        cql_type(annotation)
    assert caught.value.remedy == "Declare the column's CQL type"


def test_cql_types_have_a_python_type() -> None:
    assert python_type(parse_type("map<text, frozen<list<int>>>")) == dict[str, list[int]]
    assert python_type(parse_type("tuple<uuid, decimal>")) == tuple[UUID, Decimal]
    assert python_type(parse_type("set<timestamp>")) == set[datetime]
    assert python_type(parse_type("vector<float, 3>")) == list[float]
    assert python_type(parse_type("frozen<address>")) is Any
    assert python_type(parse_type("blob")) is bytes


@pytest.mark.parametrize("annotation", [str, bytes, bool, float, Decimal, UUID, datetime, list[str], dict[str, UUID]])
def test_a_python_type_comes_back_from_its_cql_type(annotation: Any) -> None:
    assert python_type(cql_type(annotation)) == annotation


def test_a_quoted_name_is_never_taken_for_a_custom_class() -> None:
    for text in ('"\'"', "\"'org.example.Type'\""):
        with pytest.raises(QueryError, match="is no type"):
            parse_type(text)
