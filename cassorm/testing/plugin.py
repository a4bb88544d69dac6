"""The pytest plugin: `cassandra_hosts`, `cassorm_session`, `cassorm_keyspace` and `event_store`.

pytest loads this module in every run of every project that has cassorm installed. So it stays small: the driver and the
development node are imported when a test first asks for a node.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from cassorm.testing import hosts
from cassorm.testing.fixtures import session_fixtures

_FIXTURE = "cassandra_hosts"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the choice of a container."""
    group = parser.getgroup("cassorm")
    group.addoption(
        "--cassorm-container",
        metavar="ENGINE[:TAG]",
        help="Without CASSORM_HOSTS, run the tests on this engine's image in Docker instead of a development node: "
        f"{' or '.join(hosts.IMAGES)}, with a tag of your choice.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the async fixtures, on the event loop that the tests run on."""
    container = config.getoption("--cassorm-container")
    if container is not None and container.partition(":")[0] not in hosts.IMAGES:
        raise pytest.UsageError(f"--cassorm-container {container}: the engines are {', '.join(hosts.IMAGES)}")
    config.pluginmanager.register(session_fixtures(config), "cassorm-session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what a node needs before the first test, whose own time limit would end a long download."""
    config = session.config
    wanted = any(_FIXTURE in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not config.option.collectonly and not _named_hosts() and not config.getoption("--cassorm-container"):
        with _uncaptured(config):
            hosts.prepare_node()


@pytest.fixture(scope="session")
def cassandra_hosts(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Contact points for the whole run: CASSORM_HOSTS, else a container when asked for, else a development node."""
    if named := _named_hosts():
        yield named
        return
    container = request.config.getoption("--cassorm-container")
    running = hosts.container(container) if container else hosts.node()
    with running as found:
        yield found


def _named_hosts() -> list[str]:
    return [host.strip() for host in os.environ.get("CASSORM_HOSTS", "").split(",") if host.strip()]


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Let a progress bar through to the terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    disabled: AbstractContextManager[None] = capture.global_and_fixture_disabled() if capture else nullcontext()
    return disabled
