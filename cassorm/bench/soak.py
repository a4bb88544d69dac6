"""A soak of the feed: writers and workers as processes, killed and stopped at random, and nothing may be lost or doubled.

It ends by comparing what the writers were told with the streams, and the streams with what was delivered, folded and
added up. It fails as well when too little went wrong on the way to prove anything.
"""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID, uuid4

from cassorm.bench.soak_account import Account, Found, account
from cassorm.bench.soak_process import ROWS, TOTALS, Plan
from cassorm.cql.identifiers import quote_keyspace
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import ClusterError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.schema.apply import ensure_tables
from cassorm.schema.table import Column, Table

SHARDS = 8
STREAMS = 240
WRITERS, WORKERS = 2, 3
_CALM_S = 90
_BEGIN_S = 60
"""How long the first processes may take to begin; the time of the soak counts from then on."""
"""So long the end may take: workers catch up, and nothing that was sent can land any more."""


@dataclass
class Member:
    """One place in the crew: a process, and the journals of all that had it before."""

    role: str
    number: int
    process: asyncio.subprocess.Process | None = None
    generation: int = 0
    stopped: bool = False


@dataclass
class Crew:
    """The processes of a soak."""

    folder: Path
    hosts: list[str]
    keyspace: str
    streams: list[str]
    ends_at: float
    members: list[Member] = field(default_factory=list)
    kills: int = 0
    pauses: int = 0

    def journals(self, member: Member) -> list[Path]:
        """Where the processes of a place have written, the present one last."""
        place = f"{member.role}-{member.number}"
        return [self.folder / f"{place}-{generation}.jsonl" for generation in range(1, member.generation + 1)]

    @property
    def at_work(self) -> list[Member]:
        """Whoever has begun to write, and is not stopped."""
        return [member for member in self.members if not member.stopped and self.journals(member)[-1].exists()]

    async def start(self, member: Member) -> None:
        """Start the next process of a place."""
        predecessors = self.journals(member)
        member.generation += 1
        plan = Plan(
            process=f"{member.role}-{member.number}-{member.generation}",
            hosts=self.hosts,
            keyspace=self.keyspace,
            streams=self.streams,
            journal=str(self.journals(member)[-1]),
            predecessors=[str(journal) for journal in predecessors],
            lasts_s=max(0.0, self.ends_at - monotonic()) + _BEGIN_S,
        )
        member.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cassorm.bench.soak_process", member.role, json.dumps(asdict(plan))
        )

    async def kill(self, member: Member) -> None:
        """Kill a member, and put another in its place."""
        assert member.process is not None  # noqa: S101 - started
        member.process.kill()
        await member.process.wait()
        self.kills += 1
        await self.start(member)

    async def pause(self, member: Member, seconds: float) -> None:
        """Stop a member for a while."""
        process = member.process
        assert process is not None  # noqa: S101 - started
        member.stopped = True
        self.pauses += 1
        try:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            member.stopped = False

    async def end(self, role: str, grace_s: float) -> None:
        """Tell all of a role to end, and wait; whoever does not is killed."""
        ending = [member.process for member in self.members if member.role == role and member.process is not None]
        for process in ending:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in ending:
            try:
                async with asyncio.timeout(grace_s):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak did, and what came of it."""

    minutes: float
    nodes: int
    kills: int
    pauses: int
    node_kills: int
    account: Account
    faults: list[str]
    """What was lost, skipped or doubled."""
    doubts: list[str]
    """What did not happen often enough for this to prove anything."""

    @property
    def void(self) -> str | None:
        """Why it failed; None when it did not."""
        return "; ".join([*self.faults, *self.doubts]) or None

    def lines(self) -> list[str]:
        """What a reader is told."""
        counts = {
            "minutes": f"{self.minutes:g}",
            "processes killed": self.kills,
            "processes stopped": self.pauses,
            "nodes killed or stopped": self.node_kills,
            **asdict(self.account),
        }
        table = [f"{name.replace('_', ' '):28s} {value}" for name, value in counts.items()]
        return [
            *table,
            *(f"FAULT: {fault}" for fault in self.faults),
            *(f"proved too little: {d}" for d in self.doubts),
        ]


class Nodes:
    """What can be done to the cluster's nodes while it is soaked; nothing where they are not ours."""

    def __init__(self, cluster: object | None) -> None:
        self._nodes = tuple(getattr(cluster, "nodes", ()))
        self.hurt = 0

    async def hurt_one(self) -> None:
        """Kill or stop one of three for some seconds, and bring it back; one of fewer is left alone."""
        if len(self._nodes) < 3:
            return
        node = random.choice(self._nodes)  # noqa: S311 - guards nothing
        self.hurt += 1
        if random.random() < 0.5:  # noqa: S311
            await node.pause()
            await asyncio.sleep(random.uniform(2, 15))  # noqa: S311
            await node.resume()
        else:
            await node.kill()
            await asyncio.sleep(random.uniform(1, 10))  # noqa: S311
            await node.start()


async def soak(
    hosts: Sequence[str], folder: Path, *, minutes: float, cluster: object | None = None, history: Path | None = None
) -> Soaked:
    """Soak a cluster for so many minutes, in a keyspace of its own, dropped in the end."""
    keyspace = f"cassorm_soak_{uuid4().hex[:8]}"
    async with connect(hosts, request_timeout=timedelta(seconds=10)) as session:
        nodes = Nodes(cluster)
        async with CassandraEventStore(session, keyspace=keyspace, shards=SHARDS) as store:
            await ensure_tables(session, _tables(keyspace))
            streams = [uuid4() for _ in range(STREAMS)]
            crew = Crew(folder, list(hosts), keyspace, [str(one) for one in streams], monotonic() + minutes * 60)
            async with _processes(crew):
                await _begun(crew)
                crew.ends_at = monotonic() + minutes * 60
                await _storm(crew, nodes)
                await crew.end("write", 40)
                found = await _calm(store, session, crew, streams)
                await crew.end("work", 20)
            done = await asyncio.to_thread(account, folder, found, history)
    async with connect(hosts) as session:
        await session.ddl(f"DROP KEYSPACE IF EXISTS {quote_keyspace(keyspace)}")
    return Soaked(
        minutes,
        max(1, len(getattr(cluster, "nodes", ()))),
        crew.kills,
        crew.pauses,
        nodes.hurt,
        done.account,
        done.faults,
        _doubts(crew, done.account),
    )


@asynccontextmanager
async def _processes(crew: Crew) -> AsyncIterator[None]:
    crew.members = [Member("write", n) for n in range(WRITERS)] + [Member("work", n) for n in range(WORKERS)]
    try:
        for member in crew.members:
            await crew.start(member)
        yield
    finally:
        for member in crew.members:
            if member.process is not None and member.process.returncode is None:
                member.process.kill()
                await member.process.wait()


async def _begun(crew: Crew) -> None:
    """Return when every process has written something, or has had long enough for it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_BEGIN_S):
            while len(crew.at_work) < len(crew.members):  # noqa: ASYNC110 - files, that other processes write
                await asyncio.sleep(0.1)


async def _storm(crew: Crew, nodes: Nodes) -> None:
    """Hurt this one and that one until the time is over; what is stopped goes on in the end."""
    pauses: set[asyncio.Task[None]] = set()
    hurting: asyncio.Task[None] | None = None
    while monotonic() < crew.ends_at - 5:
        await asyncio.sleep(random.uniform(1.0, 4.0))  # noqa: S311 - guards nothing
        for member in crew.members:
            if member.process is not None and member.process.returncode not in (None, 0):
                await crew.start(member)  # it could not begin: the cluster did not answer
        at_work = crew.at_work
        if not at_work:
            continue
        member = random.choice(at_work)  # noqa: S311
        if random.random() < 0.55:  # noqa: S311
            await crew.kill(member)
        else:
            # Shorter and longer than the lease.
            task = asyncio.create_task(crew.pause(member, random.choice((0.3, 1.0, 3.0, 6.0))))  # noqa: S311
            pauses.add(task)
            task.add_done_callback(pauses.discard)
        if (hurting is None or hurting.done()) and random.random() < 0.1:  # noqa: S311
            hurting = asyncio.create_task(nodes.hurt_one())
    await asyncio.gather(*pauses)
    if hurting is not None:
        await hurting
    await asyncio.sleep(max(0.0, crew.ends_at - monotonic()))


async def _calm(store: CassandraEventStore, session: Session, crew: Crew, streams: Sequence[UUID]) -> Found:
    """Return what stands when nothing can land any more and the workers have had time to come to the end.

    Closing raises the fence of whatever was announced and does not stand: so once all shards are resolved up to a
    moment after the last writer has ended, nothing that was sent before can land.
    """
    ended = await store.feed.node_clock()
    deadline = monotonic() + _CALM_S
    feed = store.feed
    while monotonic() < deadline:
        await asyncio.sleep(0.5)
        with suppress(ClusterError):
            marks = await feed.standings(range(SHARDS))
            # An idle shard is closed rarely: what was announced there is settled all the same.
            left = [
                pointer
                for shard, mark in marks.items()
                for pointer in await feed.pointers(shard, mark.resolved_upto, ended + 60_000_000)
            ]
            found = [await feed.checkpoints(name, range(SHARDS)) for name in ("deliveries", "rows", "totals")]
            behind = [
                shard
                for shard, mark in marks.items()
                for checkpoints in found
                if shard not in checkpoints or checkpoints[shard].pos < mark.resolved_upto
            ]
            if not left and not behind:
                break
    return await Found.read(store, session, crew.keyspace, streams)


def _doubts(crew: Crew, seen: Account) -> list[str]:
    least = {
        "appends": (seen.appended, 10_000),
        "kills": (crew.kills, 20),
        "fences applied": (seen.fences, 1),
        "positions abandoned": (seen.abandoned, 1),
        "takeovers": (seen.takeovers, 1),
        "redeliveries": (seen.redelivered, 1),
        "unknown outcomes resolved": (seen.resolved, 1),
    }
    return [f"{count} {name}, at least {wanted} needed" for name, (count, wanted) in least.items() if count < wanted]


def _tables(keyspace: str) -> list[Table]:
    return [
        Table(
            keyspace=keyspace,
            name=ROWS,
            columns=(Column("stream", "uuid"), Column("applied", "int"), Column("total", "bigint")),
            partition_key=("stream",),
            clustering=(),
        ),
        Table(
            keyspace=keyspace,
            name=TOTALS,
            columns=(
                Column("shard", "int"),
                Column("applied", "bigint"),
                Column("events", "bigint"),
                Column("total", "bigint"),
            ),
            partition_key=("shard",),
            clustering=(),
        ),
    ]
