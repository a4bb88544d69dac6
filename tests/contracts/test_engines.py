"""Which engines the contract suites of this run met."""

import pytest

from cassorm import Session, connect
from tests.contracts.conftest import SCYLLA_HOSTS

pytestmark = pytest.mark.cluster


async def test_the_contracts_are_held_on_a_real_engine(cassorm_session: Session) -> None:
    assert cassorm_session.dialect.name in ("cassandra", "scylla")


@pytest.mark.skipif(
    not SCYLLA_HOSTS, reason="CASSORM_SCYLLA_HOSTS names no ScyllaDB: the contracts are not shown on it"
)
async def test_the_contracts_are_held_on_scylladb() -> None:
    async with connect(SCYLLA_HOSTS) as session:
        assert session.dialect.name == "scylla"
