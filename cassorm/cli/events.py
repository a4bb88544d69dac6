"""`cassorm events`: the event store as its operators see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cassorm.cli.connection import Hosts, count, open_session, settings_for
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.cli.projection_module import open_store
from cassorm.driver.settings import Settings
from cassorm.events.audit import REMEDIES, Audit, AuditFinding
from cassorm.events.audit import audit as compare
from cassorm.events.inquiry import moment_of
from cassorm.events.tables import TableNames

app = typer.Typer(add_completion=False, no_args_is_help=True)

Keyspace = Annotated[str, typer.Argument(help="The keyspace of the event store.", metavar="KEYSPACE")]
EventsTable = Annotated[str, typer.Option("--events", help="The table of events, where it has a name of its own.")]


@app.callback()
def _events() -> None:
    """Look after event stores."""


@app.command()
def audit(
    keyspace: Keyspace,
    *,
    events: EventsTable = "events",
    parallel: Annotated[int, typer.Option(help="Token ranges under way at once.", min=1, max=64)] = 4,
    limit: Annotated[int, typer.Option(help="List so many findings; all are counted.", min=0)] = 1000,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Compare the events of a store with its feed and its checkpoints, beside running applications; nothing is changed.

    Exit code 0: all is as it should be; 1: something is not; 2: there is no such store; 3: the cluster cannot be reached.
    """
    listed = _Listed(limit, as_json=as_json)
    with _progress_bar(f"{keyspace}.{events}") as progress:
        looking = _audit(settings_for(hosts), keyspace, events, found=listed, progress=progress, parallel=parallel)
        seen = run(looking)
    if as_json:
        looked = {
            "streams": seen.streams,
            "events": seen.events,
            "pointers": seen.pointers,
            "checkpoints": seen.checkpoints,
        }
        data(looked | {"found": dict(seen.kinds), "listed": listed.rows}, "", as_json=True)
    looked_at = (
        f"{count(seen.streams, 'stream')}, {count(seen.events, 'event')}, {count(seen.pointers, 'pointer')}, "
        f"{count(seen.checkpoints, 'checkpoint')}"
    )
    if not seen.kinds:
        note(f"{looked_at}: nothing is missing")
        return
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(seen.kinds.items()))
    note(f"{looked_at}: {count(seen.kinds.total(), 'finding')} ({kinds})")
    for kind in sorted(seen.kinds):
        note(f"{kind}: {REMEDIES[kind]}")
    raise typer.Exit(NEGATIVE)


@app.command()
def index(
    keyspace: Keyspace,
    *,
    events: EventsTable = "events",
    create: Annotated[bool, typer.Option("--create", help="Create its tables, where they are missing.")] = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Tell up to when the index of events by type and date is complete: what `get_events_by_type` and its like ask.

    `cassorm projections run` keeps it from the moment on when its tables are there. Exit code 1: there is none, or it is
    not filled yet.
    """
    exists, upto = run(_index(settings_for(hosts), keyspace, events, create=create))
    moment = None if upto is None else moment_of(upto).isoformat(timespec="milliseconds")
    data({"exists": exists, "upto": upto, "moment": moment}, moment or "", as_json=as_json)
    if not exists:
        note(f"there is no index; next: cassorm events index {keyspace} --create")
    elif upto is None:
        note("it is not filled yet; next: cassorm projections run MODULE")
    if upto is None:
        raise typer.Exit(NEGATIVE)


async def _index(settings: Settings, keyspace: str, events: str, *, create: bool) -> tuple[bool, int | None]:
    async with open_store(settings, keyspace, events) as store:
        if create:
            await store.index.create()
        exists = await store.index.exists()
        return exists, await store.index.upto() if exists else None


class _Listed:
    """Lists findings as they come, and keeps no more than are to be listed."""

    def __init__(self, limit: int, *, as_json: bool) -> None:
        self.rows: list[dict[str, object]] = []
        self._left = limit
        self._as_json = as_json

    def __call__(self, found: AuditFinding) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        if self._as_json:
            values = {name: value for name, value in asdict(found).items() if value is not None}
            stream = {} if found.stream is None else {"stream": str(found.stream)}
            self.rows.append(values | stream)
        else:
            typer.echo(f"{found.kind.ljust(10)}  {found.where}: {found.what}")


@contextmanager
def _progress_bar(what: str) -> Iterator[Callable[[Audit], None]]:
    """A progress bar on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*parts, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda seen: bar.update(task, total=seen.ranges, completed=seen.ranges_done)


async def _audit(
    settings: Settings,
    keyspace: str,
    events: str,
    *,
    found: _Listed,
    progress: Callable[[Audit], None],
    parallel: int,
) -> Audit:
    async with open_session(settings) as session:
        return await compare(
            session, keyspace, TableNames(events=events), found=found, progress=progress, parallel=parallel
        )
