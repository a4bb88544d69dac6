"""Ten thousand names and texts that try to be more than that: each is refused by an error of ours, or is one name."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from pydantic import create_model

from cassorm.cql import statements
from cassorm.cql.dialect import for_engine
from cassorm.cql.identifiers import RESERVED
from cassorm.cql.tokens import Token, tokens
from cassorm.errors import CassormError
from cassorm.orm.context import current_keyspace
from cassorm.orm.database import schema_of
from cassorm.orm.fields import CK, PK, Col, ck, col, pk
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.query import get_text
from cassorm.orm.user_types import Udt
from cassorm.orm.writes import insert_compiled
from cassorm.schema.ddl import (
    add_field,
    alter_option,
    alter_replication,
    create_keyspace,
    create_type,
    drop,
    schema_statements,
    table_statements,
)
from cassorm.schema.load import load
from cassorm.schema.table import Column, Index, Table, UserType, View

CASSANDRA = for_engine("cassandra", "5.0.9")
PIECES = [
    *(
        "'",
        '"',
        "''",
        '""',
        ";",
        "--",
        "//",
        "/*",
        "*/",
        "$$",
        "\\",
        "\n",
        "\r",
        "\t",
        "\0",
        "{",
        "}",
        "(",
        ")",
        "?",
        ":x",
        "%s",
    ),
    *(" ", ".", ",", "=", "*", "\u2028", "\u200b", "\ufeff", "\xe4", "\u212a", "\uff11", "\u0131", "\ud800"),
    *(
        "DROP TABLE victim",
        " OR 1=1",
        " IF EXISTS",
        " ALLOW FILTERING",
        "; TRUNCATE victim; ",
        "APPLY BATCH",
        "USING TTL 1",
    ),
    *("a", "Bc", "d_e", "_", "0", "9z", "x" * 20, "select", "where", "Token", "NaN"),
]
GOOD = [
    *sorted(RESERVED),
    "Mixed",
    "UPPER",
    "_under",
    "0digit",
    "9",
    "_",
    "a" * 48,
    "Order_By",
    "class",
    "count",
    "get",
]
COUNT = 10_000


def odd(chance: random.Random) -> str:
    """A name: one that CQL can have, quoted or not, or one that would be more than a name."""
    if chance.random() < 0.3:
        return chance.choice(GOOD)
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 4)))


def cut(texts: Iterable[str]) -> list[list[Token]]:
    """The tokens of statements."""
    return [list(tokens(text)) for text in texts]


def said(text: str) -> list[tuple[str, str]]:
    """The tokens of a statement."""
    return [(token.kind, token.text) for token in tokens(text)]


def renamed(template: Iterable[Token], names: dict[str, str]) -> list[tuple[str, str]]:
    """The tokens of a statement, with these names, each as the one token that it has to be, in the place of others."""
    found: list[tuple[str, str]] = []
    for token in template:
        name = names.get(token.value)
        if name is None:
            found.append((token.kind, token.text))
        elif token.kind == "string":
            found.append(("string", "'" + name.replace("'", "''") + "'"))
        else:
            bare = name.isascii() and name == name.lower() and name[0].isalpha() and name not in RESERVED
            found.append(("word", name) if bare else ("quoted", f'"{name}"'))
    return found


def table(**names: str) -> Table:
    given = {
        "keyspace": "z_keyspace",
        "table": "z_table",
        "key": "z_key",
        "column": "z_column",
        "index": "z_index",
    } | names
    return Table(
        keyspace=given["keyspace"],
        name=given["table"],
        columns=(Column(given["key"], "int"), Column(given["column"], "text")),
        partition_key=(given["key"],),
        comment=given.get("comment", "z_comment"),
        indexes=(Index(given["column"], given["index"], "sai", options={"z_option": given.get("option", "z_value")}),),
        views=(View(given.get("view", "z_view"), (given["column"],), ((given["key"], "asc"),)),),
        options={"caching": {"z_caching": given.get("caching", "z_cached")}, "speculative_retry": "z_retry"},
    )


def table_texts(**names: str) -> list[str]:
    return [
        *table_statements(table(**names), CASSANDRA),
        alter_option(table(**names), "comment", names.get("comment", "z_comment"), CASSANDRA),
    ]


def keyspace_texts(**names: str) -> list[str]:
    name = names.get("keyspace", "z_keyspace")
    copies = {names.get("datacenter", "z_datacenter"): 3}
    return [create_keyspace(name, copies), alter_replication(name, {"z_other": 1}), drop("TABLE", "z_table", name)]


def type_texts(**names: str) -> list[str]:
    kind = UserType(names.get("type", "z_type"), (Column(names.get("field", "z_field"), "int"),), "z_keyspace")
    return [create_type(kind, CASSANDRA), add_field(kind, Column(names.get("added", "z_added"), "set<int>"), CASSANDRA)]


def statement_texts(**names: str) -> list[str]:
    given = {part: names.get(part, f"z_{part}") for part in ("table", "column", "keyspace")}
    values, where = {given["column"]: 1}, [(given["column"], "=", 2)]
    target: Any = {"table": given["table"], "keyspace": given["keyspace"]}
    made = [
        statements.select(
            columns=[given["column"]], where=where, order_by={given["column"]: "desc"}, limit=1, **target
        ),
        statements.insert(values=values, if_not_exists=True, **target),
        statements.update(values=values, where=where, conditions=where, **target),
        statements.delete(columns=[given["column"]], where=where, **target),
    ]
    return [each.text for each in [*made, statements.batch(made[1:])]]


# What is said, and in which of its names or texts anything may stand: any text in some, names in the others.
SAID: list[tuple[Callable[..., list[str]], dict[str, str]]] = [
    (table_texts, {part: f"z_{part}" for part in ("keyspace", "table", "key", "column", "index", "view")}),
    (table_texts, {"comment": "z_comment", "option": "z_value", "caching": "z_cached"}),
    (keyspace_texts, {"keyspace": "z_keyspace", "datacenter": "z_datacenter"}),
    (type_texts, {part: f"z_{part}" for part in ("type", "field", "added")}),
    (statement_texts, {part: f"z_{part}" for part in ("table", "column", "keyspace")}),
]


def test_ten_thousand_names_and_texts_are_one_token_each_or_refused() -> None:
    chance = random.Random(1)
    templates = {make: cut(make()) for make, _ in SAID}
    accepted = refused = 0
    while accepted + refused < COUNT:
        ((make, parts),) = chance.choices(SAID, weights=(1, 1, 3, 4, 4))
        part, name = chance.choice(list(parts)), odd(chance)
        if (part, name) == ("datacenter", "class"):  # the way to name the strategy
            continue
        try:
            texts = make(**{part: name})
        except CassormError:
            refused += 1
            continue
        accepted += 1
        renames = {parts[part]: name}
        assert [said(text) for text in texts] == [renamed(each, renames) for each in templates[make]], (part, name)
    assert min(accepted, refused) > COUNT // 10


def test_names_of_models_are_one_token_each_in_all_that_is_ever_sent_of_them() -> None:
    chance = random.Random(2)
    plain = {
        part: f"z_{part}" for part in ("keyspace", "table", "key", "order", "column", "map", "type", "field", "view")
    }
    templates = cut(model_texts(**plain))
    accepted = 0
    for _ in range(120):
        names = dict(zip(plain, chance.sample(sorted(set(GOOD) | set(plain.values())), len(plain)), strict=True))
        if chance.random() < 0.3:
            names[chance.choice(list(names))] = odd(chance)
        try:
            texts = list(model_texts(**names))
        except CassormError:
            continue
        accepted += 1
        renames = {f"z_{part}": name for part, name in names.items()}
        assert [said(text) for text in texts] == [renamed(each, renames) for each in templates], names
    assert accepted > 60


def model_texts(**names: str) -> Iterator[str]:
    """Everything that is ever sent of a model with these names."""
    nested = create_model(
        "Nested", __base__=Udt, __cls_kwargs__={"type_name": names["type"]}, f=(int, col(name=names["field"]))
    )
    view = View(names["view"], (names["column"],), ((names["key"], "asc"), (names["order"], "asc")))
    kind = create_model(
        "Made",
        __base__=Model,
        __cls_kwargs__={"keyspace": names["keyspace"], "table": names["table"], "views": [view]},
        a=(PK[int], pk(name=names["key"])),
        b=(CK[int], ck(name=names["order"], order="desc")),
        c=(Col[str], col(name=names["column"], index=SAI(name="z_index"))),
        d=(Col[dict[str, int]], col(name=names["map"], default_factory=dict)),
        e=(Col[nested | None], col(default=None, name="z_nested")),
    )
    made: Any = kind
    plan, row = plan_of(made), (made.a == 1, made.b == 2)
    yield from schema_statements(schema_of([made]), CASSANDRA)
    yield insert_compiled(plan, made(a=1, b=2, c="x"), if_not_exists=True, ttl=5).text
    yield get_text(plan, None)
    changes = (made.c.set("x"), made.d["k"].set(1), made.d.put({"a": 1}), made.d.drop("b"))
    yield made.update(*changes).where(*row).only_if(made.c == "y", made.d["k"] == 1).compiled().text
    yield made.delete(made.c).where(*row).if_exists().compiled().text
    query = made.where(made.a.in_([1, 2]), made.b > 1)
    yield query.limit(3).statement()[0]
    yield query.values(made.b.max(), made.c).allow_filtering().statement()[0]
    yield made.where(made.a == 1).order_by(made.b.asc()).per_partition_limit(2).statement()[0]


@pytest.mark.parametrize("name", ['x"; DROP TABLE victim; --', "x'", "", "a b", "é", "a\n", "a\0", "\u212a", "a" * 49])
def test_a_keyspace_of_the_context_is_a_name_or_refused(name: str) -> None:
    token = current_keyspace.set(name)
    try:
        for run in (
            lambda: Plain.where(Plain.id == 1).statement(),
            lambda: Plain.update(Plain.text.set("x")).where(Plain.id == 1).compiled(),
            lambda: insert_compiled(plan_of(Plain), Plain(id=1)),
            lambda: get_text(plan_of(Plain), name),
            lambda: schema_of([Plain], name),
        ):
            with pytest.raises(CassormError) as refused:
                run()
            assert refused.value.remedy
    finally:
        current_keyspace.reset(token)


class Plain(Model):
    id: PK[int]
    text: Col[str] = col(default="")


def test_names_and_texts_of_schema_dicts_are_one_token_each_or_refused() -> None:
    chance = random.Random(3)

    def texts(**names: str) -> list[str]:
        given = {part: names.get(part, f"z_{part}") for part in ("column", "index", "view", "type", "comment")}
        schema = load(
            {
                "fields": {"id": "int", given["column"]: "text", "other": f'frozen<"{given["type"]}">'},
                "types": {given["type"]: {"part": "int"}},
                "key": ["id"],
                "indexes": [{"column": given["column"], "name": given["index"]}],
                "materialized_views": {given["view"]: {"select": ["*"], "key": [given["column"], "id"]}},
                "comment": given["comment"],
            },
            names.get("table", "z_table"),
        )
        return list(schema_statements(schema, CASSANDRA))

    template, refused = cut(texts()), 0
    for _ in range(500):
        part, name = chance.choice(["column", "index", "view", "type", "comment", "table"]), odd(chance)
        try:
            found = texts(**{part: name})
        except CassormError:
            refused += 1
            continue
        assert [said(text) for text in found] == [renamed(each, {f"z_{part}": name}) for each in template], (part, name)
    assert 100 < refused < 400
