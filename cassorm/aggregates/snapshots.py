"""Snapshots: when one is due, how it is sealed against damage, and how it is written without holding up a save.

Source: docs/explanation/snapshots.md.
"""

import asyncio
import logging
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cassorm.aggregates.kind import Kind, UnfaithfulError
from cassorm.errors import AggregateError, ConfigurationError
from cassorm.events.store import EventStore, Snapshot, Stream

_log = logging.getLogger("cassorm.aggregates")
_REMEMBERED = 1_000
"""How many snapshots that could not be used are remembered, so that each is logged once."""


@dataclass(frozen=True, kw_only=True)
class SnapshotPolicy:
    """When a snapshot is written, and how many are kept.

    Raises:
        ConfigurationError: a number or a time that cannot be.
    """

    every: int | None = 10
    """At each multiple of so many events; None: never for their number."""
    max_replay: int | None = 100
    """When more events than this lie behind the newest snapshot: at a save, and at a load too."""
    slower_than: timedelta | None = None
    """When a load took longer than this."""
    keep: int = 2
    """How many stay per stream and schema version."""
    background: bool = True
    """Whether a save returns before its snapshot is written."""
    max_pending: int = 64
    """How many are written at the same time; a snapshot that finds no place is left out."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, shown_as in (("every", "snapshot_frequency"), ("max_replay", "max_events_before_snapshot")):
            if getattr(self, name) is not None:
                _check_count(shown_as, getattr(self, name), "Pass a whole number from 1, or None to switch it off")
        _check_count("snapshots_kept", self.keep, "Keep at least one")
        _check_count("max_pending", self.max_pending, "Allow at least one")
        if self.slower_than is not None and not (
            isinstance(self.slower_than, timedelta) and self.slower_than > timedelta(0)
        ):
            raise ConfigurationError(
                f"snapshot_slower_than is {self.slower_than!r}",
                where="AggregateRepository",
                remedy="Pass a timedelta above zero, or None to switch it off",
            )

    def due_after_save(self, version: int, newest: int) -> bool:
        """Tell whether a state at `version` is worth a snapshot when the newest is at version `newest`.

        A multiple of `every` was crossed since: an append of seven events may jump over it.
        """
        if self.every is not None and version // self.every > newest // self.every:
            return True
        return self.max_replay is not None and version - newest >= self.max_replay

    def due_after_load(self, version: int, newest: int, took: timedelta) -> bool:
        """Tell whether a state that was just loaded is worth a snapshot, so that the next load is cheaper."""
        if version <= newest:
            return False
        if self.max_replay is not None and version - newest > self.max_replay:
            return True
        return self.slower_than is not None and took > self.slower_than


def seal(stream: Stream, version: int, event_id: UUID, schema_version: int, data: bytes) -> Snapshot:
    """Return a snapshot whose encoding names a checksum over all of it."""
    encoding = f"json crc32={_checksum(stream, version, event_id, schema_version, data):08x}"
    now = datetime.now(UTC)
    # Milliseconds: what a CQL timestamp keeps.
    timestamp = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return Snapshot(version, event_id, schema_version, encoding, data, timestamp)


def check_seal(stream: Stream, snapshot: Snapshot) -> None:
    """Refuse a snapshot that is not as it was sealed.

    Raises:
        ValueError: it is damaged, or of an encoding that is not known.
    """
    checksum = _checksum(stream, snapshot.version, snapshot.event_id, snapshot.schema_version, snapshot.data)
    if snapshot.encoding != f"json crc32={checksum:08x}":
        raise ValueError(f"its encoding is {snapshot.encoding!r}, its checksum {checksum:08x}")


class SnapshotKeeper:
    """Writes the snapshots of one repository; a failure is logged and counted, never raised."""

    def __init__(self, store: EventStore, kind: Kind[Any], policy: SnapshotPolicy) -> None:
        self.policy = policy
        self.written = 0
        """How many were written."""
        self.failed = 0
        """How many could not be written, or would not have come back equal."""
        self.skipped = 0
        """How many found no place among `max_pending`, or one of their stream still being written."""
        self.ignored = 0
        """How many were found at a load and could not be used."""
        self._store = store
        self._kind = kind
        self._tasks: dict[Stream, asyncio.Task[None]] = {}
        self._unfaithful = False
        self._complained: set[tuple[Stream, int]] = set()
        self._closed = False

    async def keep(self, stream: Stream, version: int, event_id: UUID, state: Any) -> bool:
        """Encode a state now and write it, in the background unless the policy says otherwise.

        Returns False when it was skipped, so that the next save may try again.
        """
        if not self._kind.kept:
            return True
        if stream in self._tasks or len(self._tasks) >= self.policy.max_pending:
            self.skipped += 1
            return False
        try:
            snapshot = self.encode(stream, version, event_id, state)
        except UnfaithfulError as error:
            self.failed += 1
            if not self._unfaithful:
                self._unfaithful = True
                _log.warning("no snapshots of %s: its state does not come back equal: %s", self._kind.name, error)
            return True
        if self.policy.background and not self._closed:
            task = asyncio.get_running_loop().create_task(self._try_to_write(stream, snapshot))
            self._tasks[stream] = task
            task.add_done_callback(lambda _: self._tasks.pop(stream, None))
        else:
            await self._try_to_write(stream, snapshot)
        return True

    def encode(self, stream: Stream, version: int, event_id: UUID, state: Any) -> Snapshot:
        """Return the snapshot of a state.

        Raises:
            UnfaithfulError: it would not come back equal.
        """
        data = self._kind.encode(stream, version, state)
        return seal(stream, version, event_id, self._kind.schema_version, data)

    async def write(self, stream: Stream, snapshot: Snapshot) -> None:
        """Write a snapshot and delete the oldest of its own schema version.

        Those of other schema versions are left to the processes that use them.
        """
        await self._store.save_snapshot(stream, snapshot)
        self.written += 1
        own = [
            found.version
            for found in await self._store.snapshots(stream)
            # Above it stands what a faster writer left, or what belongs to no stream: neither counts against this one.
            if found.schema_version == self._kind.schema_version and found.version <= snapshot.version
        ]
        if len(own) > self.policy.keep:
            await self._store.delete_snapshots(stream, own[self.policy.keep :])

    def ignore(self, stream: Stream, snapshot: Snapshot, why: str) -> None:
        """Note a snapshot that cannot be used; it may be met at every load, and is logged at the first."""
        self.ignored += 1
        one = (stream, snapshot.version)
        if one in self._complained:
            return
        if len(self._complained) >= _REMEMBERED:
            self._complained.clear()
        self._complained.add(one)
        _log.warning(
            "snapshot of %s %s at version %d is ignored: %s",
            self._kind.name,
            stream,
            snapshot.version,
            " ".join(why.splitlines()[:2]),
        )

    def cannot_read(self, stream: Stream, error: Exception) -> None:
        """Note that the snapshots of a stream could not be read."""
        self.failed += 1
        _log.warning("snapshots of %s %s cannot be read; replaying: %s", self._kind.name, stream, error)

    async def close(self) -> None:
        """Wait until every snapshot under way is written; later ones are written before their save returns."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _try_to_write(self, stream: Stream, snapshot: Snapshot) -> None:
        try:
            await self.write(stream, snapshot)
        except Exception as error:
            self.failed += 1
            _log.warning(
                "snapshot of %s %s at version %d failed: %s",
                self._kind.name,
                stream,
                snapshot.version,
                error,
                exc_info=error,
            )


def cannot_keep(kind: Kind[Any], stream: Stream, error: Exception | None) -> AggregateError:
    """Return the error of a snapshot that was asked for and cannot be made."""
    if error is None:
        return AggregateError(
            "has no snapshots: the type of its state is not declared",
            where=f"decider {kind.name}",
            remedy="Pass state=TheType to Decider",
        )
    return AggregateError(
        f"{error}",
        where=f"snapshot of {kind.name} {stream}",
        remedy="Declare the fields' real types (Decimal, UUID, tuple[...]) rather than Any",
    )


def _checksum(stream: Stream, version: int, event_id: UUID, schema_version: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{stream} {version} {event_id} {schema_version} ".encode()))


def _check_count(name: str, value: object, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}", where="AggregateRepository", remedy=remedy)
