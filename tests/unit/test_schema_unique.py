"""Unique columns as part of a table: their lookup tables, what is refused, and how they are told in a live keyspace."""

from dataclasses import replace
from typing import Any

import pytest

from cassorm.cli.model_source import model_source
from cassorm.cql.dialect import for_engine
from cassorm.errors import ModelError, SchemaError, SchemaFileError
from cassorm.orm.fields import CK, PK, Col, Counter, Version, col
from cassorm.orm.model import Model, table_of
from cassorm.orm.model_plan import plan_of
from cassorm.schema import ddl
from cassorm.schema.describe import describe
from cassorm.schema.dump import dump
from cassorm.schema.keyspace import Schema
from cassorm.schema.load import load
from cassorm.schema.table import Column, Table
from cassorm.schema.unique import lookup_table, with_lookups, without_lookups

USERS = Table(
    name="users",
    keyspace="app",
    columns=(Column("id", "uuid"), Column("at", "timestamp"), Column("tenant", "text"), Column("email", "text")),
    partition_key=("id",),
    clustering=(("at", "desc"),),
    unique=(("email",), ("tenant", "email")),
)
FORM: dict[str, Any] = {"fields": {"id": "uuid", "email": "text", "tags": "set<text>"}, "key": ["id"]}


def test_the_values_are_the_key_of_the_lookup_table_which_holds_the_key_of_their_row() -> None:
    assert lookup_table(USERS, ("tenant", "email")) == Table(
        name="users_by_tenant_email_unique",
        keyspace="app",
        columns=(
            Column("tenant", "text"),
            Column("email", "text"),
            Column("owner", "frozen<tuple<uuid, timestamp>>"),
            Column("claim", "uuid"),
            Column("state", "text"),
        ),
        partition_key=("tenant", "email"),
        profile="lwt-only",
        comment="which row of users holds each tenant, email",
    )


def test_a_long_name_is_cut_and_stays_one_of_its_own() -> None:
    table = replace(USERS, name="u" * 40, unique=())
    names = {lookup_table(table, unique).name for unique in (("email",), ("tenant",), ("tenant", "email"))}
    assert {len(name) for name in names} == {48}
    assert len(names) == 3


def test_lookup_tables_are_created_with_their_table_and_taken_for_what_they_are_when_found() -> None:
    made = with_lookups(Schema((USERS,)))
    assert [table.name for table in made] == ["users", "users_by_email_unique", "users_by_tenant_email_unique"]
    text = ddl.script(Schema((USERS,)), for_engine("cassandra", "5.0"))
    assert text.count("CREATE TABLE") == 3
    live = {table.name: replace(table, unique=(), options={}, comment="") for table in made}
    assert list(without_lookups(live).values()) == [replace(USERS, comment="")]
    other = replace(live["users_by_email_unique"], columns=(*USERS.columns[3:], Column("owner", "uuid")))
    assert set(without_lookups(live | {other.name: other})) == {"users", other.name}


def test_files_and_dicts_say_which_columns_are_unique() -> None:
    (table,) = load({**FORM, "unique": ["email"]}, "users")
    assert table.unique == (("email",),)
    again = load({**dump(USERS)}).tables[0]
    assert again == USERS
    assert "  unique tenant, email" in describe(Schema((USERS,)))


@pytest.mark.parametrize(
    ("unique", "problem"),
    [
        (["mail"], "unique column mail is no column. Declare it"),
        (["tags"], "unique column tags is not frozen. Write frozen<set<text>>"),
        ([["id", "email"]], "unique id, email, which holds the key. Remove it"),
        (["email", "email"], "unique email is there twice"),
        ([["email", "email"]], "column email is there twice"),
        ([[]], "unique of no column"),
        ([3], "3 is no column, nor a list of them"),
    ],
)
def test_what_cannot_be_unique_is_refused_with_the_remedy(unique: Any, problem: str) -> None:
    with pytest.raises(SchemaFileError, match=problem):
        load({**FORM, "unique": unique}, "users")


def test_names_that_the_lookup_table_needs_and_two_lookup_tables_of_one_name_are_refused() -> None:
    with pytest.raises(
        SchemaError, match=r"unique column owner: its lookup table has a column of that name. Rename it"
    ):
        replace(USERS, columns=(*USERS.columns, Column("owner", "text")), unique=(("owner",),))
    columns = (*USERS.columns, Column("tenant_email", "text"))
    with pytest.raises(SchemaError, match="lookup table users_by_tenant_email_unique is there twice"):
        replace(USERS, columns=columns, unique=(("tenant_email",), ("tenant", "email")))
    taken = {"fields": {"id": "int"}, "key": "id"}
    with pytest.raises(SchemaFileError, match="table users_by_email_unique is declared twice"):
        load({"tables": {"users": {**FORM, "unique": ["email"]}, "users_by_email_unique": taken}})


class User(Model, unique=[("tenant", "login")]):
    id: PK[int]
    tenant: Col[str]
    login: Col[str] = col(name="Login")
    email: Col[str | None] = col(default=None, unique=True)


def test_a_class_says_it_of_a_field_or_of_several_and_conditions_guard_its_rows() -> None:
    assert table_of(User).unique == (("email",), ("tenant", "Login"))
    assert plan_of(User).lwt_only
    (email, login) = plan_of(User).unique
    assert (email.lookup, [each.attribute for each in login.fields]) == ("user_by_email_unique", ["tenant", "login"])


def test_a_generated_class_says_the_same() -> None:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(model_source(Schema((table_of(User),))), "generated.py", "exec"), module)
    assert set(table_of(module["User"]).unique) == set(table_of(User).unique)


def test_a_class_cannot_make_unique_what_has_no_place_in_a_lookup_table() -> None:
    with pytest.raises(ModelError, match=r"unique column tags is not frozen. Write frozen<list<text>>"):

        class Tagged(Model):
            id: PK[int]
            tags: Col[list[str]] = col(default_factory=list, unique=True)

    with pytest.raises(ModelError, match="unique column x is no column"):

        class Unknown(Model, unique=["x"]):
            id: PK[int]


def test_versions_unique_columns_and_the_profile_make_a_table_lwt_only() -> None:
    class Versioned(Model):
        id: PK[int]
        rev: Version[int]

    class Profiled(Model, profile="lwt-only"):
        id: PK[int]

    class Said(Model, lwt_only=True):
        id: PK[int]
        n: CK[int]

    class Counted(Model, profile="lwt-only"):
        id: PK[int]
        hits: Counter

    class Plain(Model):
        id: PK[int]

    assert [plan_of(model).lwt_only for model in (Versioned, Profiled, Said, User)] == [True] * 4
    assert [plan_of(model).lwt_only for model in (Counted, Plain)] == [False] * 2
