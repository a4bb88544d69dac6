"""`cassorm schema diff` and `plan` against a live keyspace."""

import json
from pathlib import Path

import pytest

from cassorm.driver.session import Session
from cassorm.schema.load import load
from cassorm.schema.plan import compare_live
from tests.cluster.commands import cassorm

pytestmark = pytest.mark.cluster

FILE = """\
tables:
  orders:
    fields: {id: uuid, at: timestamp, total: decimal, shipped_at: timestamp}
    key: [id, at]
    clustering_order: {at: desc}
    indexes: [total]
    options: {gc_grace_seconds: 3600}
  lines: {fields: {id: uuid, n: int}, key: [id, n]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(FILE)
    return path


async def test_differences_are_a_table_and_exit_code_1_until_the_plan_has_been_run(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, file: Path
) -> None:
    k = cassorm_keyspace
    await cassorm_session.ddl(
        f"CREATE TABLE {k}.orders (id uuid, at timestamp, total text, note text, PRIMARY KEY (id, at))"
    )
    code, out, err = await cassorm("diff", str(file), "--keyspace", k, hosts=cassandra_hosts)
    assert code == 1
    assert [line.split("  ", 1)[0] for line in out.splitlines()] == [f"{k}.orders"] * 6 + [f"{k}.lines"]
    assert [" ".join(line.split()[1:]) for line in out.splitlines()] == [
        "wrong type total is text, expected decimal (needs a new table and a copy of the rows)",
        "missing column shipped_at timestamp",
        "wrong order at ASC, expected DESC (needs a new table and a copy of the rows)",
        "missing index orders_total_idx on total",
        "extra column note text",
        "wrong option gc_grace_seconds is not set, expected 3600",
        "missing table 2 columns",
    ]
    assert err == f"7 differences. Next: cassorm schema plan {file}\n"

    code, out, err = await cassorm("plan", str(file), "--keyspace", k, hosts=cassandra_hosts)
    assert code == 1
    safe, _, impossible = out.partition("-- impossible\n")
    assert safe.startswith("-- safe\n")
    assert f"ALTER TABLE {k}.orders ADD shipped_at timestamp;" in safe
    assert f"cassorm schema copy {k}.orders {k}.orders_2" in impossible
    assert err.startswith("6 changes: 4 safe, 2 impossible.")

    await cassorm_session.ddl(f"DROP TABLE {k}.orders")
    await cassorm_session.ddl(
        f"CREATE TABLE {k}.orders (id uuid, at timestamp, total decimal, note text, PRIMARY KEY (id, at)) WITH CLUSTERING ORDER BY (at DESC)"
    )
    wanted = load(file).in_keyspace(k)
    for change in await compare_live(cassorm_session, wanted, extra=True):
        assert change.effect == ("loses data" if change.difference.kind == "extra column" else "safe")
        for step in change.steps:
            await cassorm_session.ddl(step.text)
    assert await compare_live(cassorm_session, wanted, extra=True, whole=True) == []

    code, out, err = await cassorm("diff", str(file), "--keyspace", k, "--whole", hosts=cassandra_hosts)
    assert (code, out, err) == (0, "", "no differences\n")
    code, out, _ = await cassorm("plan", str(file), "--keyspace", k, "--json", hosts=cassandra_hosts)
    assert (code, json.loads(out)) == (0, {"changes": []})


async def test_what_is_not_there_is_a_difference_a_bad_file_2_and_no_cluster_3(
    cassandra_hosts: list[str], file: Path, tmp_path: Path
) -> None:
    code, out, _ = await cassorm("diff", str(file), "--keyspace", "no_such", "--json", hosts=cassandra_hosts)
    assert code == 1
    assert [found["kind"] for found in json.loads(out)["differences"]] == [
        "missing keyspace",
        "missing table",
        "missing table",
    ]
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: t\nfeilds: {}\n")
    code, out, err = await cassorm("diff", str(bad), hosts=["127.0.0.1:1"])
    assert (code, out) == (2, "")
    assert "bad.yaml:2: unknown key feilds" in err
    code, out, err = await cassorm("diff", str(file), "--keyspace", "k", hosts=["127.0.0.1:1"])
    assert (code, out) == (3, "")
