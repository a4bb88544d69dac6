"""`cassorm schema` against a live cluster: output, and exit codes."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from cassorm.driver.session import Session
from cassorm.schema.introspect import introspect

pytestmark = pytest.mark.cluster

FILE = """\
tables:
  orders: {fields: {id: uuid, total: decimal}, key: id, indexes: [total]}
  lines: {fields: {id: uuid, n: int}, key: [id, n]}
"""


async def cassorm(*arguments: str, hosts: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cassorm", "schema", *arguments, "--hosts", ",".join(hosts), stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(FILE)
    return path


async def test_apply_creates_what_is_missing_and_a_dry_run_nothing(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, file: Path
) -> None:
    arguments = ["apply", str(file), "--keyspace", cassorm_keyspace]
    code, out, err = await cassorm(*arguments, "--dry-run", hosts=cassandra_hosts)
    assert (code, err) == (0, "3 statements would be run; nothing was changed\n")
    assert out.startswith(f"CREATE TABLE IF NOT EXISTS {cassorm_keyspace}.orders (")
    assert await introspect(cassorm_session, cassorm_keyspace) == {}

    code, out, err = await cassorm(*arguments, hosts=cassandra_hosts)
    assert (code, out, err) == (0, "orders\norders_total_idx\nlines\n", "3 created\n")
    code, out, err = await cassorm(*arguments, "--json", hosts=cassandra_hosts)
    assert (code, json.loads(out)) == (0, {"created": [], "steps": [], "differences": {}})
    assert err == "nothing to do: everything is there\n"


async def test_a_difference_is_exit_code_1_and_changes_nothing(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, file: Path
) -> None:
    await cassorm_session.ddl(f"CREATE TABLE {cassorm_keyspace}.orders (id uuid PRIMARY KEY, total int)")
    arguments = ["apply", str(file), "--keyspace", cassorm_keyspace]
    code, out, err = await cassorm(*arguments, hosts=cassandra_hosts)
    assert code == 1
    assert out == f"{cassorm_keyspace}.orders  column total is int, expected decimal\n"
    assert err == "1 difference; nothing was changed\n"
    assert set(await introspect(cassorm_session, cassorm_keyspace)) == {"orders"}


async def test_replication_creates_a_keyspace_that_does_not_exist(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, file: Path
) -> None:
    name = f"{cassorm_keyspace}_new"
    try:
        code, _, err = await cassorm("apply", str(file), "--keyspace", name, hosts=cassandra_hosts)
        assert code == 2
        assert f"keyspace {name}: does not exist" in err
        code, out, _ = await cassorm(
            "apply", str(file), "--keyspace", name, "--replication", "1", hosts=cassandra_hosts
        )
        assert (code, out.split()[0]) == (0, name)
        code, out, _ = await cassorm("show", "--keyspace", name, "--format", "json", hosts=cassandra_hosts)
        shown = json.loads(out)
        assert (code, shown["keyspace"], set(shown["tables"])) == (0, name, {"orders", "lines"})
        assert shown["replication"] == {cassorm_session.datacenter: 1}
    finally:
        await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


async def test_a_bad_file_is_exit_code_2_and_an_unreachable_cluster_3(tmp_path: Path, file: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: t\nfeilds: {}\n")
    code, out, err = await cassorm("apply", str(bad), hosts=["127.0.0.1:1"])
    assert (code, out) == (2, "")
    assert f"{bad}:2: unknown key feilds. Did you mean fields?" in err
    code, out, err = await cassorm("apply", str(file), "--keyspace", "k", hosts=["127.0.0.1:1"])
    assert (code, out) == (3, "")
    assert "127.0.0.1:1" in err
