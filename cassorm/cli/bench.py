"""`cassorm bench`: the public API beside the bare driver, and what whole streams cost, on any Cassandra or ScyllaDB."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cassorm.bench.feed_append import FeedAppend, feed_append
from cassorm.bench.feed_catchup import Catchup, Idle, feed_catchup, feed_idle
from cassorm.bench.feed_lag import Lag, feed_lag
from cassorm.bench.feed_report import FeedReport
from cassorm.bench.machine import machine, versions
from cassorm.bench.measured import Measured
from cassorm.bench.place import Place, loop_factory, open_place
from cassorm.bench.report import Report, as_json_data, make_report, save
from cassorm.bench.runner import Progress as Tell
from cassorm.bench.runner import Runner
from cassorm.bench.scan import Scanned, scan
from cassorm.bench.soak import Soaked, soak
from cassorm.bench.stream_report import StreamReport
from cassorm.bench.streams import Load, Replay, load, replay
from cassorm.bench.workload import Workload, load_workload
from cassorm.cli.output import NEGATIVE, Json, columns, data, note, run
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError

app = typer.Typer(add_completion=False)


class What(StrEnum):
    """What is measured."""

    WRITE = "write"
    APPEND = "append"
    READ = "read"
    ORM = "orm"
    REPLAY = "replay"
    LOAD = "load"
    SCAN = "scan"
    FEED = "feed"
    SOAK = "soak"


class Part(StrEnum):
    """What is measured of the feed."""

    APPEND = "append"
    LAG = "lag"
    CATCHUP = "catchup"
    IDLE = "idle"
    READ = "read"


COMPARED: Mapping[What, Measured] = {What.WRITE: "write", What.APPEND: "append", What.READ: "read", What.ORM: "orm"}
STREAMS: Mapping[What, Callable[[Place, Workload, Tell], Awaitable[Load | Replay | Scanned]]] = {
    What.REPLAY: replay,
    What.LOAD: load,
    What.SCAN: scan,
}
FEEDS: Mapping[Part, Callable[[Place, Workload, Tell], Awaitable[FeedAppend | Lag | Catchup | Idle]]] = {
    Part.APPEND: feed_append,
    Part.LAG: feed_lag,
    Part.CATCHUP: feed_catchup,
    Part.IDLE: feed_idle,
}


Reported = Report | StreamReport | FeedReport


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    hosts: str | None
    local: bool
    workload: Workload
    replication: int


@app.command()
def bench(
    what: Annotated[What, typer.Argument(help="What to measure.", show_default=False)],
    part: Annotated[Part | None, typer.Argument(help="What of the feed.", show_default=False)] = None,
    *,
    hosts: Annotated[
        str | None, typer.Option(help="Hosts to connect to, with commas; else CASSORM_HOSTS.", metavar="HOST:PORT")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Start a node for it.")] = False,
    workload: Annotated[
        Path | None, typer.Option(help="What to do, as YAML; see benchmarks/workloads.", metavar="FILE")
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Seconds of load before the first figure.", min=0, max=3600)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds: shows that it works, and no speed.")] = False,
    replication: Annotated[int, typer.Option(help="Copies of the benchmark's keyspace.", min=1)] = 1,
    results: Annotated[
        Path | None, typer.Option(help="Write all figures to this file, as JSON.", metavar="FILE")
    ] = None,
    minutes: Annotated[float, typer.Option(help="How long to soak.", min=0.1)] = 10,
    nodes: Annotated[int, typer.Option(help="Nodes to start for a soak; three are killed as well.", min=1, max=5)] = 1,
    history: Annotated[
        Path | None, typer.Option(help="Write all that a soak did to this file, as JSON lines.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the public API beside the bare driver, on any Cassandra or ScyllaDB.

    write, append, read and orm compare statements, in turns on one node that was warmed up; what was written is counted
    afterwards. scan reads a whole table, replay a long stream of events; load loads an aggregate with a very long
    stream and a snapshot.

    feed append sets appends with a feed beside appends without; feed lag tells when their effect can be read, feed
    catchup how fast a subscription comes from the beginning to the present, feed idle what one costs that waits. feed
    read sets finders of a read model beside the bare driver, as orm does models.

    soak kills and stops writers, workers and nodes of its own (or of a cluster with --hosts, whose nodes it leaves alone)
    for some minutes, and compares what was told, what stands and what was made of it: nothing may be lost or doubled.

    Everything happens in a keyspace of its own, dropped in the end. Exit code 1: the figures are void, and why.
    """
    if what is What.SOAK:
        _soak(hosts, nodes, minutes, history, as_json=as_json)
        return
    if local and hosts is not None:
        raise ConfigurationError("--local and --hosts are both there", where="cassorm bench", remedy="Give one of them")
    if (what is What.FEED) != (part is not None):
        raise ConfigurationError(
            f"{what.value} {'has no part ' + part.value if part is not None else 'needs a part'}",
            where="cassorm bench",
            remedy=f"Measure `feed` with one of {', '.join(Part)}, and anything else without",
        )
    found = load_workload(workload) if workload is not None else Workload()
    found = found.quick() if quick else found
    if warmup is not None:
        found = found.model_copy(update={"warmup_seconds": warmup})
    asked = Asked(hosts, local, found, replication)
    # What a store says of the cluster at its start is for `cassorm doctor`: here it would stand between the figures.
    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    report = run(_measuring(what, part, asked), loop_factory=loop_factory())
    values = as_json_data(report)
    if results is not None:
        save(values, results)
    data(values, "\n".join([columns(*report.table()), "", *report.remarks()]), as_json=as_json)
    if report.void is not None:
        note(f"void: {report.void}")
        raise typer.Exit(NEGATIVE)


def _soak(hosts: str | None, nodes: int, minutes: float, history: Path | None, *, as_json: bool) -> None:
    async def run_soak(folder: Path) -> Soaked:
        if hosts is not None:
            return await soak(Settings(hosts=hosts).hosts, folder, minutes=minutes, history=history)
        from cassorm.devnode import DevCluster  # noqa: PLC0415 - needs the extra `node`, which other clusters do not

        async with DevCluster(nodes=nodes, profile="durable") as cluster:
            return await soak(cluster.hosts, folder, minutes=minutes, cluster=cluster, history=history)

    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="cassorm-soak-") as folder:
        soaked = run(run_soak(Path(folder)), loop_factory=loop_factory())
    data(asdict(soaked), "\n".join(soaked.lines()), as_json=as_json)
    if soaked.void is not None:
        raise typer.Exit(NEGATIVE)


def _measuring(what: What, part: Part | None, asked: Asked) -> Coroutine[Any, Any, Reported]:
    if part is Part.READ:
        return _compare("feed read", asked)
    if part is not None:
        return _feed(part, asked)
    return _compare(COMPARED[what], asked) if what in COMPARED else _streams(what, asked)


async def _compare(what: Measured, asked: Asked) -> Reported:
    started, here = datetime.now(UTC), machine()
    async with _settings(asked) as settings, _place(settings, asked) as at:
        # Needs a driver: `connect` has said so by now if there is none.
        from cassorm.bench.baseline import Bare  # noqa: PLC0415

        bare = await asyncio.to_thread(Bare, settings, datacenter=at.session.datacenter, nodes=at.engine.nodes)
        try:
            with _bar(what) as tell:
                outcome = await Runner(at.session, bare, asked.workload, at.keyspace, tell).run(what)
        finally:
            await asyncio.to_thread(bare.close)
    return make_report(
        what,
        outcome,
        started=started,
        machine=here,
        versions=versions(),
        engine=at.engine,
        workload=asked.workload,
    )


async def _streams(what: What, asked: Asked) -> Reported:
    started, here = datetime.now(UTC), machine()
    async with _settings(asked) as settings, _place(settings, asked) as at:
        with _bar(what) as tell:
            figures = await STREAMS[what](at, asked.workload, tell)
    return StreamReport(what.value, started, here, versions(), at.engine, asked.workload, figures)


async def _feed(part: Part, asked: Asked) -> Reported:
    started, here = datetime.now(UTC), machine()
    async with _settings(asked) as settings, _place(settings, asked) as at:
        with _bar(f"feed {part.value}") as tell:
            figures = await FEEDS[part](at, asked.workload, tell)
    return FeedReport(f"feed {part.value}", started, here, versions(), at.engine, asked.workload, figures)


def _place(settings: Settings, asked: Asked) -> AbstractAsyncContextManager[Place]:
    return open_place(settings, local=asked.local, replication=asked.replication)


@asynccontextmanager
async def _settings(asked: Asked) -> AsyncIterator[Settings]:
    """How to reach the cluster, which is a node of our own with `--local`."""
    if not asked.local:
        # Not into a keyspace: the benchmark has its own.
        settings = Settings(**({} if asked.hosts is None else {"hosts": asked.hosts}))
        yield settings.model_copy(update={"keyspace": None})
        return
    from cassorm.devnode import DevNode  # noqa: PLC0415 - needs the extra `node`, which other clusters do not

    async with DevNode(profile="bench") as node:
        yield Settings(hosts=tuple(node.hosts), keyspace=None)


@contextmanager
def _bar(what: str) -> Iterator[Tell]:
    """A progress bar on stderr; nothing at all where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _, __: None
        return
    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda doing, done: bar.update(task, description=f"{what}: {doing}", completed=done)
