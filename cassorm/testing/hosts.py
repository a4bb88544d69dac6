"""A node for a test run: a development node on a thread of its own, or a container."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from cassorm.errors import CassormError, ConfigurationError

IMAGES = {"cassandra": "cassandra:5.0", "scylla": "scylladb/scylla:2025.4"}
"""The images that `--cassorm-container` starts, by engine."""

_CQL_PORT = 9042
_SCYLLA_COMMAND = "--smp 1 --memory 1G --overprovisioned 1 --developer-mode 1 --skip-wait-for-gossip-to-settle 0"
_READY = {"cassandra": "Startup complete", "scylla": "Starting listening for CQL clients"}
_CASSANDRA_ENVIRONMENT = {
    "JVM_OPTS": "-Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.initial_token=0",
    "HEAP_NEWSIZE": "128M",
    "MAX_HEAP_SIZE": "1024M",
}


_QUICK_SCHEMA = ("-Dcassandra.test.flush_local_schema_changes=false",)
"""Tables are created in a third of the time. A node that is killed forgets them then; this one is gone with the tests."""


def prepare_node() -> None:
    """Fetch what a development node needs; what goes wrong here is raised by `node`."""
    from cassorm.devnode.kit import prepare_kit  # noqa: PLC0415 - only runs that use a node pay for it

    def prepare() -> None:
        with contextlib.suppress(CassormError):
            asyncio.run(prepare_kit())

    # A thread of its own: in this one a plugin may have an event loop.
    thread = threading.Thread(target=prepare, name="cassorm-prepare-node")
    thread.start()
    thread.join()


@contextmanager
def node() -> Iterator[list[str]]:
    """The contact points of a development node that runs as long as the block.

    Raises:
        DevNodeError: it cannot be started; the error says why and what to do.
    """
    from cassorm.devnode.cluster import DevNode  # noqa: PLC0415 - as above

    started: Future[list[str]] = Future()
    ended: Future[None] = Future()
    ending = threading.Event()

    async def run() -> None:
        async with DevNode(jvm=_QUICK_SCHEMA) as running:
            started.set_result(running.hosts)
            await asyncio.to_thread(ending.wait)

    def hold() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            (ended if started.done() else started).set_exception(error)
        else:
            ended.set_result(None)

    # The node is async, the fixture is not: so that it serves tests of any kind, on any event loop.
    thread = threading.Thread(target=hold, name="cassorm-node")
    thread.start()
    try:
        yield started.result()
    finally:
        ending.set()
        thread.join()
    ended.result()


@contextmanager
def container(engine: str) -> Iterator[list[str]]:
    """The contact points of a container that runs as long as the block; `engine` may name a tag.

    Raises:
        ConfigurationError: testcontainers is not installed.
    """
    name, _, tag = engine.partition(":")
    image = f"{IMAGES[name].partition(':')[0]}:{tag}" if tag else IMAGES[name]
    with _container(name, image) as running:
        yield [f"{running.get_container_host_ip()}:{running.get_exposed_port(_CQL_PORT)}"]


def _container(engine: str, image: str) -> Any:
    try:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - an extra of its own
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415 - an extra of its own
    except ImportError as error:
        raise ConfigurationError(
            f"testcontainers is not installed: {error}",
            where=f"--cassorm-container {engine}",
            remedy="Run `pip install 'cassorm[containers]'`, or name a cluster with CASSORM_HOSTS",
        ) from error
    made = DockerContainer(image).with_exposed_ports(_CQL_PORT).waiting_for(LogMessageWaitStrategy(_READY[engine]))
    if engine == "scylla":
        return made.with_command(_SCYLLA_COMMAND)
    return made.with_envs(**_CASSANDRA_ENVIRONMENT)
