"""`cassorm projections`: workers that carry projections and subscriptions, and what their operators ask of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from cassorm.cli.connection import Hosts, count, settings_for
from cassorm.cli.output import NEGATIVE, Json, columns, data, note, run
from cassorm.cli.projection_module import names_of, offered, open_store, open_stores
from cassorm.cli.projection_workers import Workers, carry
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError, QueryError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.feed_status import FeedStatus, feed_status, subscribed
from cassorm.events.parking import ParkedEvent, Parking, Replayed
from cassorm.projections.projections import Projections
from cassorm.projections.rebuild import RebuildProgress

app = typer.Typer(add_completion=False, no_args_is_help=True)

KeyspaceOption = Annotated[
    str | None, typer.Option("--keyspace", help="The keyspace of the event store; else CASSORM_KEYSPACE.")
]
EventsTable = Annotated[str, typer.Option("--events", help="The table of events, where it has a name of its own.")]
Modules = Annotated[
    list[str], typer.Argument(help="Modules that hold projections and subscriptions.", metavar="MODULE...")
]
ModuleOption = Annotated[
    list[str], typer.Option("--module", "-m", help="A module that holds projections or subscriptions; may be repeated.")
]
Name = Annotated[str, typer.Argument(help="A projection, or a subscription.", metavar="NAME")]
_ERROR_WIDTH: Final = 100
_LETTING_GO_S: Final = 10.0


@app.callback()
def _projections() -> None:
    """Run projections and subscriptions, and look after them."""


@app.command("run")
def run_(
    modules: Modules,
    *,
    workers: Annotated[int, typer.Option(help="How many processes share the work.", min=1, max=256)] = 1,
    keyspace: Annotated[
        list[str] | None,
        typer.Option(
            "--keyspace",
            help="The keyspace of the event store; else CASSORM_KEYSPACE. May be repeated, or a pattern (tenant_*): "
            "these workers serve all of them.",
        ),
    ] = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Carry the projections and subscriptions of modules until SIGINT or SIGTERM; then hand over and end.

    Tables that are missing are created. Several of these commands, on any number of machines, share the work.
    """
    things = offered(modules)  # what is wrong with a module is said once, before anything is started
    settings = settings_for(hosts)
    if workers == 1:
        run(_carry(settings, keyspace or (), events, things, child=child))
        return
    arguments = [*modules, "--events", events]
    for one in keyspace or ():
        arguments += ["--keyspace", one]
    arguments += ["--hosts", hosts] if hosts else []
    code = run(Workers(workers, ["projections", "run", *arguments, "--child"]).run())
    if code:
        raise typer.Exit(code)


async def _carry(settings: Settings, keyspaces: Sequence[str], events: str, things: Any, *, child: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("cassorm").setLevel(logging.INFO)
    async with open_stores(settings, keyspaces, events) as stores:
        await carry(stores, things, child=child)


@app.command()
def status(
    modules: Annotated[
        list[str] | None, typer.Argument(help="Modules that tell what should be there.", metavar="[MODULE...]")
    ] = None,
    *,
    keyspace: KeyspaceOption = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Show where each subscription stands: who carries it, how far it is behind, what is parked. Takes three seconds.

    Exit code 1: a subscription that is not paused has shards without an owner, or something is parked.
    """
    things = offered(modules or [])

    async def look(store: CassandraEventStore) -> list[FeedStatus]:
        return await feed_status(store, await things.all(store) if modules else [])

    found = run(_in_store(settings_for(hosts), keyspace, events, look))
    header = ("subscription", "state", "shards", "workers", "behind", "events", "per s", "parked")
    rows = [
        (
            one.subscription,
            _state(one, named=bool(modules)),
            f"{one.carried}/{one.shards}",
            one.workers,
            _seconds(one.behind.total_seconds()),
            one.behind_events,
            f"{one.rate:.0f}",
            one.parked,
        )
        for one in found
    ]
    data([asdict(one) for one in found], columns(header, rows), as_json=as_json)
    bad = [one for one in found if _alarming(one) and (one.known or not modules)]
    note(
        f"{count(len(found), 'subscription')}, {len(bad)} to look after"
        if found
        else "no subscription was ever carried"
    )
    if bad:
        raise typer.Exit(NEGATIVE)


def _alarming(one: FeedStatus) -> bool:
    return bool(one.parked) or (one.carried < one.shards and not one.paused)


def _state(one: FeedStatus, *, named: bool) -> str:
    if one.paused:
        return "paused"
    if not one.carried:
        return "not carried" if one.known or not named else "gone"
    if one.carried < one.shards:
        return "shards without owner"
    return "follows" if one.scanned == 1 else f"catches up {one.scanned:.0%}"


@app.command()
def parked(
    name: Annotated[str | None, typer.Argument(help="A projection, or a subscription.", metavar="[NAME]")] = None,
    *,
    limit: Annotated[int, typer.Option(help="List so many; all are counted.", min=0)] = 1000,
    keyspace: KeyspaceOption = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """List the events that subscriptions could not handle, with their errors. Exit code 1: there are some."""

    async def look(store: CassandraEventStore) -> tuple[int, list[ParkedEvent]]:
        names = await subscribed(store) if name is None else await names_of(store, name)
        listed: list[ParkedEvent] = []
        number = 0
        for one in names:
            async for event in Parking(store).parked(one):
                number += 1
                if number <= limit:
                    listed.append(event)
        return number, listed

    number, listed = run(_in_store(settings_for(hosts), keyspace, events, look))
    now = datetime.now(UTC)
    rows = [
        (
            one.subscription,
            one.stream,
            one.version,
            one.event_type,
            one.attempts,
            _seconds((now - one.parked_at).total_seconds()),
            _short(one.error),
        )
        for one in listed
    ]
    header = ("subscription", "stream", "version", "event", "attempts", "parked for", "error")
    data([_plain(one) for one in listed], columns(header, rows), as_json=as_json)
    note(count(number, "parked event"))
    if number:
        raise typer.Exit(NEGATIVE)


@app.command("replay-parked")
def replay_parked(
    name: Name,
    module: ModuleOption,
    *,
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    keyspace: KeyspaceOption = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Handle parked events again, each stream from its lowest version on; forget what succeeds. Exit code 1: not all did."""
    things = offered(module)

    async def replay(store: CassandraEventStore) -> Replayed:
        carried = {one.name: one for one in await things.all(store)}
        names = [one for one in carried if one == name or one.rpartition("@")[0] == name]
        if not names:
            raise QueryError(
                f"has no subscription {name!r}",
                where=f"module {', '.join(module)}",
                remedy=f"Use one of {', '.join(carried)}",
            )
        at = None if stream is None else _stream(stream, store.settings.id_type)
        total = Replayed()
        for one in names:
            done = await Parking(store).replay(carried[one], at)
            total.handled += done.handled
            total.failed += done.failed
        return total

    done = run(_in_store(settings_for(hosts), keyspace, events, replay))
    rows = [(one.subscription, one.stream, one.version, _short(one.error)) for one in done.failed]
    data(
        {"handled": done.handled, "failed": [_plain(one) for one in done.failed]},
        columns(("subscription", "stream", "version", "error"), rows),
        as_json=as_json,
    )
    note(f"{count(done.handled, 'event')} handled, {count(len(done.failed), 'stream')} still parked")
    if done.failed:
        raise typer.Exit(NEGATIVE)


@app.command()
def pause(name: Name, *, keyspace: KeyspaceOption = None, events: EventsTable = "events", hosts: Hosts = None) -> None:
    """Let all workers stop carrying a subscription, within two seconds; it goes on from where it was."""

    async def ask(store: CassandraEventStore) -> list[str]:
        names = await names_of(store, name)
        await asyncio.gather(*map(store.feed.pause, names))
        return names

    for one in run(_in_store(settings_for(hosts), keyspace, events, ask)):
        note(f"{one} is paused; go on with: cassorm projections resume {name}")


@app.command()
def resume(name: Name, *, keyspace: KeyspaceOption = None, events: EventsTable = "events", hosts: Hosts = None) -> None:
    """Let workers carry a subscription on."""

    async def ask(store: CassandraEventStore) -> list[str]:
        names = await names_of(store, name)
        await asyncio.gather(*map(store.feed.resume, names))
        return names

    for one in run(_in_store(settings_for(hosts), keyspace, events, ask)):
        note(f"{one} goes on")


@app.command()
def reset(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Begin it again.")] = False,
    keyspace: KeyspaceOption = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
) -> None:
    """Begin a subscription again: every event comes once more. Rows of read models and totals stay right."""

    async def ask(store: CassandraEventStore) -> list[str]:
        names = await names_of(store, name)
        if not yes:
            raise ConfigurationError(
                "every event would be handled again, with all that its handler does",
                where=f"subscription {', '.join(names)}",
                remedy="Add --yes",
            )
        await asyncio.gather(*(_begin_again(store, one) for one in names))
        return names

    for one in run(_in_store(settings_for(hosts), keyspace, events, ask)):
        note(f"{one} begins again")


async def _begin_again(store: CassandraEventStore, name: str) -> None:
    """Reset a subscription while nobody carries it: who carries it and has nothing to do would not notice."""
    feed, shards = store.feed, range(store.settings.shards)
    paused = name in await feed.paused()
    await feed.pause(name)
    try:
        with suppress(TimeoutError):  # an owner that is dead lets go of nothing
            async with asyncio.timeout(_LETTING_GO_S):
                while any(one.owner for one in (await feed.checkpoints(name, shards)).values()):  # noqa: ASYNC110 - workers tell it by their checkpoints alone
                    await asyncio.sleep(0.1)
        await feed.reset(name)
    finally:
        if not paused:
            await feed.resume(name)


@app.command()
def rebuild(
    name: Annotated[str, typer.Argument(help="A projection.", metavar="NAME")],
    module: ModuleOption,
    *,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Drop the tables of former generations at the end.")
    ] = False,
    keyspace: KeyspaceOption = None,
    events: EventsTable = "events",
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Build a projection anew beside the one that is read, then switch to it; called again, it goes on where it was."""
    things = offered(module)

    async def build(store: CassandraEventStore) -> tuple[int, list[str]]:
        projections = Projections(store, things.projections)
        with _rebuilding(name) as progress:
            generation = await projections.rebuild(name, progress=progress)
        return generation.number, await projections.drop_retired(name) if drop_old else []

    number, dropped = run(_in_store(settings_for(hosts), keyspace, events, build))
    data({"projection": name, "generation": number, "dropped": dropped}, "", as_json=as_json)
    note(f"{name}: generation {number} is read now" + (f"; dropped {', '.join(dropped)}" if dropped else ""))


@contextmanager
def _rebuilding(name: str) -> Iterator[Callable[[RebuildProgress], None]]:
    """A progress bar on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*parts, console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0, told="")

        def show(at: RebuildProgress) -> None:
            left = "" if at.left is None else f", {_seconds(at.left.total_seconds())} left"
            bar.update(task, completed=at.scanned, told=f"{at.events_per_s:,.0f} events/s{left}")

        yield show


async def _in_store(
    settings: Settings, keyspace: str | None, events: str, ask: Callable[[CassandraEventStore], Awaitable[Any]]
) -> Any:
    async with open_store(settings, keyspace, events) as store:
        return await ask(store)


def _stream(text: str, id_type: str) -> UUID | str:
    if id_type == "text":
        return text
    try:
        return UUID(text)
    except ValueError:
        raise QueryError(f"{text!r} is no stream id", where="--stream", remedy="Give a UUID") from None


def _seconds(seconds: float) -> str:
    """`0.4 s`, `3.5 min`, `2.1 h`, `4.0 d`."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _short(error: str) -> str:
    line = " ".join(error.split())
    return line if len(line) <= _ERROR_WIDTH else f"{line[: _ERROR_WIDTH - 3]}..."


def _plain(event: ParkedEvent) -> dict[str, object]:
    return event._asdict() | {"stream": str(event.stream), "parked_at": event.parked_at.isoformat()}
