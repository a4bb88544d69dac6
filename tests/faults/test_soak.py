"""The soak in its shortest form: it finds nothing lost, and says that it has proved too little."""

from pathlib import Path

import pytest

from cassorm.bench.soak import soak

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(200)]


async def test_a_soak_of_some_seconds_loses_nothing_and_is_not_taken_for_a_proof(
    cassandra_hosts: list[str], tmp_path: Path
) -> None:
    history = tmp_path / "history"
    journals = tmp_path / "journals"
    journals.mkdir()
    soaked = await soak(cassandra_hosts, journals, minutes=0.08, history=history)
    assert soaked.faults == []
    assert soaked.account.appended > 0
    assert soaked.account.deliveries >= soaked.account.events > 0
    assert any(doubt.endswith("appends, at least 10000 needed") for doubt in soaked.doubts)
    assert soaked.void is not None
    assert history.read_text().count('"op": "read"') >= 240, "the final state of every stream"
