"""Creating what is missing on a live cluster, and refusing what is otherwise."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cassorm.cql.identifiers import RESERVED
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, SchemaDriftError, SchemaError
from cassorm.schema import ddl
from cassorm.schema.apply import apply, ensure_keyspace, ensure_tables
from cassorm.schema.diff import differences, type_differences
from cassorm.schema.introspect import introspect, introspect_keyspace, introspect_schema, introspect_types
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.load import load
from cassorm.schema.plan import plan
from cassorm.schema.table import Column, Index, Table, UserType, View

pytestmark = pytest.mark.cluster

TYPES = (
    UserType("person", (Column("home", "frozen<address>"), Column("tags", "frozen<set<text>>"))),
    UserType("address", (Column("street", "text"), Column("Order", "int"))),
)
ORDERS = Table(
    name="orders",
    columns=(
        Column("id", "uuid"),
        Column("day", "date"),
        Column("placedAt", "timestamp"),
        Column("order", "int"),
        Column("owner", "text", static=True),
        Column("status", "text"),
        Column("tags", "map<text, int>"),
        Column("path", "frozen<list<text>>"),
        Column("ship_to", "frozen<person>"),
        Column("loose", "person"),
        Column("pair", "tuple<int, frozen<list<text>>>"),
        Column("lines", "list<frozen<map<text, decimal>>>"),
        *(
            Column(f"a_{kind}", kind)
            for kind in [
                "ascii",
                "bigint",
                "blob",
                "boolean",
                "decimal",
                "double",
                "duration",
                "float",
                "inet",
                "smallint",
                "time",
                "tinyint",
                "varint",
            ]
        ),
    ),
    partition_key=("id", "day"),
    clustering=(("placedAt", "desc"), ("order", "asc")),
    profile="append-only",
    options={"gc_grace_seconds": 3600, "caching": {"keys": "NONE", "rows_per_partition": 10}},
    comment="it's the customer's; DROP TABLE x",
    indexes=(
        Index("status"),
        Index("tags", target="keys"),
        Index("tags", target="entries"),
        Index("path"),
        Index("day"),
    ),
)
COUNTS = Table(
    name="Counts", columns=(Column("id", "int"), Column("Seen", "counter")), partition_key=("id",), profile="lwt-only"
)
SHOP = Schema((ORDERS, COUNTS), TYPES)
BY_STATUS = View(
    "by_status", ("status",), (("id", "asc"), ("day", "desc"), ("placedAt", "asc"), ("order", "asc")), ("path",)
)


BY_N = View("by_n", ("n",), (("at", "desc"), ("id", "asc")))


def simple(**changes: Any) -> Table:
    parts: dict[str, Any] = {
        "name": "simple",
        "columns": (
            Column("id", "uuid"),
            Column("at", "timestamp"),
            Column("n", "int"),
            Column("s", "text", static=True),
        ),
        "partition_key": ("id",),
        "clustering": (("at", "desc"),),
    }
    return Table(**{**parts, **changes})


async def test_what_is_created_is_what_was_wanted_and_creating_twice_is_a_no_op(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    wanted = SHOP.in_keyspace(cassorm_keyspace)
    created = await apply(cassorm_session, wanted, options=True)
    assert created == ["address", "person", "orders", *(index.name for index in ORDERS.indexes), "Counts"]
    assert await apply(cassorm_session, wanted, options=True) == []
    assert (await plan(cassorm_session, wanted)).steps == ()

    live = await introspect(cassorm_session, cassorm_keyspace)
    assert set(live) == {"orders", "Counts"}
    for table in wanted:
        asked = ddl.resolve(table, cassorm_session.dialect)
        found = live[table.name]
        assert differences(asked, found, options=True) == []
        assert sorted(found.columns, key=lambda column: column.name) == sorted(
            asked.columns, key=lambda column: column.name
        )
        assert set(found.indexes) == set(asked.indexes)
        assert found.comment == asked.comment
    types = await introspect_types(cassorm_session, cassorm_keyspace)
    assert [type_differences(kind, types[kind.name]) for kind in wanted.types] == [[], []]


async def test_a_live_keyspace_is_written_as_cql_that_makes_the_same_again(
    cassorm_session: Session, cassorm_keyspace: str, tmp_path: Path
) -> None:
    await apply(cassorm_session, SHOP.in_keyspace(cassorm_keyspace))
    live = await introspect_schema(cassorm_session, cassorm_keyspace)
    file = tmp_path / "live.cql"
    file.write_text(ddl.script(live, cassorm_session.dialect))
    assert load(file) == live
    assert await apply(cassorm_session, load(file), options=True) == []


async def test_materialized_views_are_created_and_known_again(cassorm_session: Session, cassorm_keyspace: str) -> None:
    all_columns = simple(
        name="plain",
        columns=(Column("id", "uuid"), Column("at", "timestamp"), Column("n", "int")),
        views=(View("by_n", ("n",), (("at", "desc"), ("id", "asc")), comment="it's"),),
    )
    tables = [
        replace(ORDERS, views=(BY_STATUS,), keyspace=cassorm_keyspace),
        replace(all_columns, keyspace=cassorm_keyspace),
    ]
    try:
        created = await ensure_tables(cassorm_session, tables, types=SHOP.in_keyspace(cassorm_keyspace).types)
    except ClusterError as error:
        if "disabled" not in str(error):
            raise
        pytest.skip("materialized views are switched off in this cluster")
    assert {"by_status", "by_n"} <= set(created)
    live = await introspect(cassorm_session, cassorm_keyspace)
    assert set(live) == {"orders", "plain"}
    for table in tables:
        assert differences(table, live[table.name]) == []
    assert live["plain"].views[0].columns == ("*",)
    assert live["plain"].views[0].comment == "it's"
    assert live["orders"].views[0].clustering == BY_STATUS.clustering


async def test_every_word_of_cql_can_name_a_column_and_a_table(cassorm_session: Session, cassorm_keyspace: str) -> None:
    words = sorted({*RESERVED, *_OTHER_WORDS.split()})
    columns = (Column("id", "int"), *(Column(word, "int") for word in words))
    tables = [
        Table(keyspace=cassorm_keyspace, name=name, columns=columns, partition_key=("id",))
        for name in ("select", "key")
    ]
    assert await ensure_tables(cassorm_session, tables) == ["select", "key"]
    live = await introspect(cassorm_session, cassorm_keyspace)
    assert {column.name for column in live["select"].columns} == {"id", *words}


_OTHER_WORDS = """
    aggregate all as ascii between bigint blob boolean called cidrs clustering compact contains count counter custom
    date datacenters decimal distinct double exists filtering finalfunc float frozen function functions group hashed
    identity inet initcond input int internals json key keys keyspaces language level like list login map masked member
    nologin nosuperuser options partition password per permission permissions returns role roles sfunc smallint static
    storage stype superuser text time timestamp timeuuid tinyint trigger ttl tuple type user users uuid values varchar
    varint vector writetime maxwritetime ann let then end transaction commit rollback bypass cache timeout service_level
"""


async def test_what_is_missing_after_a_crash_half_way_is_added(cassorm_session: Session, cassorm_keyspace: str) -> None:
    bare = simple(keyspace=cassorm_keyspace)
    assert await ensure_tables(cassorm_session, [bare]) == ["simple"]
    indexed = replace(bare, indexes=(Index("n"),))
    assert await ensure_tables(cassorm_session, [indexed]) == ["simple_n_idx"]
    assert await ensure_tables(cassorm_session, [indexed]) == []
    assert await ensure_tables(cassorm_session, [bare]) == []


async def test_a_table_of_another_shape_is_refused_with_every_difference_and_left_as_it_is(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    await ensure_tables(cassorm_session, [simple(keyspace=cassorm_keyspace, indexes=(Index("n", "by_n"),))])
    other = simple(
        keyspace=cassorm_keyspace,
        columns=(
            Column("id", "uuid"),
            Column("at", "timestamp"),
            Column("n", "bigint"),
            Column("s", "text"),
            Column("new", "int"),
        ),
        clustering=(("at", "asc"),),
        indexes=(Index("s", "by_n"), Index("at")),
    )
    first = Table(keyspace=cassorm_keyspace, name="first", columns=(Column("id", "int"),), partition_key=("id",))
    with pytest.raises(SchemaDriftError) as caught:
        await ensure_tables(cassorm_session, [first, other])
    assert caught.value.table == f"{cassorm_keyspace}.simple"
    assert caught.value.differences == (
        "column n is int, expected bigint",
        "column s is static, expected not static",
        "missing column new int",
        "clustering order of at is desc, expected asc",
        "index by_n is on n (sai), expected s"
        if cassorm_session.dialect.sai
        else "index by_n is on n (secondary), expected s",
    )
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("See `cassorm schema plan`")
    live = await introspect(cassorm_session, cassorm_keyspace)
    assert set(live) == {"simple"}
    assert len(live["simple"].indexes) == 1


async def test_missing_columns_come_with_the_statement_that_adds_them(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    await ensure_tables(cassorm_session, [simple(keyspace=cassorm_keyspace)])
    wanted = simple(keyspace=cassorm_keyspace)
    wanted = replace(wanted, columns=(*wanted.columns, Column("order", "int"), Column("t", "text", static=True)))
    with pytest.raises(SchemaDriftError) as caught:
        await ensure_tables(cassorm_session, [wanted])
    table = f"{cassorm_keyspace}.simple"
    assert caught.value.remedy == f'Run ALTER TABLE {table} ADD "order" int; ALTER TABLE {table} ADD t text STATIC'
    for statement in caught.value.remedy.removeprefix("Run ").split("; "):
        await cassorm_session.ddl(statement)
    assert await ensure_tables(cassorm_session, [wanted]) == []


async def test_a_type_of_another_shape_is_refused(cassorm_session: Session, cassorm_keyspace: str) -> None:
    await apply(cassorm_session, Schema(types=TYPES).in_keyspace(cassorm_keyspace))
    other = UserType(
        "address", (Column("street", "int"), Column("Order", "int"), Column("new", "int")), cassorm_keyspace
    )
    with pytest.raises(SchemaDriftError, match="field street is text, expected int; missing field new int"):
        await ensure_tables(cassorm_session, [], types=[other])


async def test_options_are_compared_when_that_is_asked_for(cassorm_session: Session, cassorm_keyspace: str) -> None:
    table = simple(keyspace=cassorm_keyspace, options={"gc_grace_seconds": 60}, profile="latest-few")
    await ensure_tables(cassorm_session, [table])
    assert await ensure_tables(cassorm_session, [replace(table, profile="append-only")], options=True) == []
    other = replace(table, options={"gc_grace_seconds": 61})
    assert await ensure_tables(cassorm_session, [other]) == []
    with pytest.raises(SchemaDriftError, match="option gc_grace_seconds is 60, expected 61"):
        await ensure_tables(cassorm_session, [other], options=True)


async def test_what_cannot_be_created_is_refused_before_anything_is(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    good = simple(keyspace=cassorm_keyspace)
    odd = simple(keyspace=cassorm_keyspace, name="odd", options={"synchronous_updates": True, "memtable": "x"})
    typed = Table(
        keyspace=cassorm_keyspace,
        name="odd",
        columns=(Column("id", "int"), Column("a", "adress")),
        partition_key=("id",),
    )
    for bad, problem in [
        (odd, "has no option"),
        (typed, "unknown type 'adress'"),
        (simple(keyspace="no_such_keyspace"), "keyspace no_such_keyspace: does not exist"),
        (simple(), "simple: belongs to no keyspace"),
    ]:
        with pytest.raises(SchemaError, match=problem) as caught:
            await ensure_tables(cassorm_session, [good, bad])
        assert caught.value.remedy
    assert await introspect(cassorm_session, cassorm_keyspace) == {}


async def test_what_the_server_refuses_is_raised_with_its_message(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    bad = simple(keyspace=cassorm_keyspace, options={"compaction": {"class": "NoSuchStrategy"}})
    with pytest.raises(ClusterError, match="NoSuchStrategy"):
        await ensure_tables(cassorm_session, [bad])


async def test_a_keyspace_is_created_once(cassorm_session: Session, cassorm_keyspace: str) -> None:
    name = f"{cassorm_keyspace}_X"
    try:
        assert await introspect_keyspace(cassorm_session, name) is None
        assert await ensure_keyspace(cassorm_session, name, 1)
        assert not await ensure_keyspace(cassorm_session, name, 3)
        copies = {cassorm_session.datacenter: 1}
        assert await introspect_keyspace(cassorm_session, name) == Keyspace(name, copies)
        assert await apply(cassorm_session, Schema(keyspaces=(Keyspace(name, 1),))) == []
        with pytest.raises(SchemaDriftError, match=r"replication is .*: 1.*, expected .*: 3"):
            await apply(cassorm_session, Schema(keyspaces=(Keyspace(name, 3),)))
    finally:
        await cassorm_session.ddl(f'DROP KEYSPACE IF EXISTS "{name}"')
    with pytest.raises(SchemaError, match="is no keyspace name"):
        await ensure_keyspace(cassorm_session, "a; DROP KEYSPACE b")


class TestTwoAtOnce:
    """Both succeed, whoever is first."""

    async def test_two_sessions(
        self, cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
    ) -> None:
        async with connect(cassandra_hosts) as other:
            for turn in range(5):
                name = f"{cassorm_keyspace}_{turn}"
                wanted = replace(SHOP, keyspaces=(Keyspace(name, 1),)).in_keyspace(name)
                try:
                    created = await asyncio.gather(
                        *(apply(session, wanted) for session in (cassorm_session, other, cassorm_session))
                    )
                    assert set().union(*created) >= {name, "orders", "Counts", "address"}
                    live = await introspect(other, name)
                    assert [differences(table, live[table.name]) for table in wanted] == [[], []]
                    insert = f'UPDATE {name}."Counts" SET "Seen" = "Seen" + 1 WHERE id = 1'
                    await asyncio.gather(cassorm_session.execute(insert), other.execute(insert))
                finally:
                    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")

    async def test_two_processes(
        self, cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
    ) -> None:
        for turn in range(2):
            name = f"{cassorm_keyspace}_p{turn}"
            try:
                ended = await asyncio.gather(*(_process(cassandra_hosts, name) for _ in range(2)))
                assert ended == [(0, "done"), (0, "done")]
                assert set(await introspect(cassorm_session, name)) == {"simple", "other"}
            finally:
                await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")

    async def test_of_two_shapes_one_is_created_and_the_other_refused(
        self, cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
    ) -> None:
        shapes = [simple(keyspace=cassorm_keyspace, clustering=(("at", order),)) for order in ("asc", "desc")]
        async with connect(cassandra_hosts) as other:
            ended = await asyncio.gather(
                *(
                    ensure_tables(session, [shape])
                    for session, shape in zip((cassorm_session, other), shapes, strict=True)
                ),
                return_exceptions=True,
            )
        refused = [error for error in ended if isinstance(error, SchemaDriftError)]
        assert len(refused) == 1, ended
        assert ["simple"] in ended
        assert refused[0].differences[0].startswith("clustering order of at is")


class Between:
    """A session whose first look at the columns is over before a statement, and whose look at the tables begins after."""

    def __init__(self, session: Session, statement: str) -> None:
        self._session = session
        self._statement = statement
        self._run = asyncio.Event()

    async def execute(self, text: str, *args: Any, **kwargs: Any) -> Any:
        if "system_schema.columns" not in text:
            await self._run.wait()
            return await self._session.execute(text, *args, **kwargs)
        found = await self._session.execute(text, *args, **kwargs)
        if not self._run.is_set():
            await self._session.ddl(self._statement)
            self._run.set()
        return found


class TestHalfSeen:
    """The server applies one change of the schema table by table, and is read table by table."""

    async def test_a_table_seen_without_its_columns_is_looked_at_again(
        self, cassorm_session: Session, cassorm_keyspace: str
    ) -> None:
        wanted = simple(keyspace=cassorm_keyspace)
        between: Any = Between(cassorm_session, ddl.create_table(wanted, cassorm_session.dialect))
        found = await introspect(between, cassorm_keyspace)
        assert differences(wanted, found["simple"]) == []

    async def test_so_is_a_view(self, cassorm_session: Session, cassorm_keyspace: str) -> None:
        wanted = simple(keyspace=cassorm_keyspace, columns=simple().columns[:3], views=(BY_N,))
        await ensure_tables(cassorm_session, [replace(wanted, views=())])
        [text] = [step.text for step in (await plan(cassorm_session, Schema((wanted,)))).steps]
        between: Any = Between(cassorm_session, text)
        found = await introspect(between, cassorm_keyspace)
        assert differences(wanted, found["simple"]) == []


_PROCESS = """
import asyncio, sys
from cassorm.driver.connect import connect
from cassorm.schema.apply import ensure_keyspace, ensure_tables
from tests.cluster.test_schema_apply import simple

async def main(keyspace, hosts):
    async with connect(hosts) as db:
        print("ready", flush=True)
        sys.stdin.readline()
        await ensure_keyspace(db, keyspace, 1)
        await ensure_tables(db, [simple(keyspace=keyspace), simple(keyspace=keyspace, name="other", profile="latest-few")])
        print("done", flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2:]))
"""


async def _process(hosts: list[str], keyspace: str) -> tuple[int, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROCESS, keyspace, *hosts, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.write(b"go\n")
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode().strip()
