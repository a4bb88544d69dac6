"""`python -m benchmarks.compare` in a few seconds: that everything works and is counted; no test here says how fast."""

import asyncio
import json
import sys

import pytest

from benchmarks.compare.worker import MODULES

pytestmark = pytest.mark.cluster


async def compare(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.compare", "--here", *arguments, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_sides_are_compared_counted_and_who_is_missing_is_named(cassandra_hosts: list[str]) -> None:
    code, out, err = await compare(
        "--hosts", ",".join(cassandra_hosts), "--quick", "--json", "--peers", "cassorm,cqlengine,coodie"
    )
    found = json.loads(out)
    assert code == (found["void"] is not None), err
    assert found["void"] is None or "yardstick" in found["void"], err
    assert found["missing"] == {"coodie": "not installed"}
    assert list(found["cases"]) == ["insert", "get", "page"]
    for sides in found["cases"].values():
        assert set(sides) == {"bare", "cassorm", "cqlengine"}
        for figures in sides.values():
            assert figures["per_s"] > 0
            assert figures["cpu_s_per_1000"] > 0
            assert figures["ratio"] > 0
            assert figures["cpu_ratio"] > 0
    assert [row["side"] for row in found["verified"]] == ["bare", "cassorm", "cqlengine"]
    for row in found["verified"]:
        assert row["counted"] == row["acknowledged"] > 0


async def test_a_peer_that_nobody_knows_is_exit_code_2() -> None:
    code, out, err = await compare("--peers", "cassorm,sqlalchemy")
    assert (code, out) == (2, "")
    assert "no such peer: sqlalchemy" in err
    assert all(name in err for name in MODULES)
