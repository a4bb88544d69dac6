"""The tables of an event store, as values; docs/explanation/append.md tells what each column is for."""

from dataclasses import dataclass

from cassorm.schema.table import Column, Table

LAYOUT = 2
"""The version of these tables, kept in the store's settings."""
FEED_TTL_S = 7 * 24 * 3600
"""How long a pointer is kept unless a store says otherwise."""
BELL_S = 30
"""The length of a partition of bells in seconds."""


@dataclass(frozen=True, slots=True)
class TableNames:
    """What the tables of a store are called in their keyspace.

    The settings are shared by all stores of a keyspace, a row each. The tables of the feed belong to one store alone:
    those of a store whose `events` have a name of their own begin with it.
    """

    events: str = "events"
    snapshots: str = "snapshots"
    settings: str = "event_store"

    @property
    def feed(self) -> str:
        """Pointers to appends."""
        return self._own("feed")

    @property
    def marks(self) -> str:
        """Closing marks of the feed's shards."""
        return self._own("feed_watermark")

    @property
    def checkpoints(self) -> str:
        """Checkpoints of subscriptions."""
        return self._own("checkpoints")

    @property
    def workers(self) -> str:
        """Signs of life of workers."""
        return self._own("workers")

    @property
    def bells(self) -> str:
        """Bells that writers ring."""
        return self._own("bells")

    @property
    def subscriptions(self) -> str:
        """What is asked of subscriptions."""
        return self._own("subscriptions")

    @property
    def parked(self) -> str:
        """Events that subscriptions could not handle."""
        return self._own("parked_events")

    def _own(self, name: str) -> str:
        return name if self.events == "events" else f"{self.events}_{name}"


def events_table(names: TableNames, keyspace: str | None, id_type: str) -> Table:
    """A partition a stream, a row an event, oldest first; what belongs to the stream as a whole is static."""
    return Table(
        keyspace=keyspace,
        name=names.events,
        columns=(
            Column("aggregate_id", id_type),
            Column("version", "int"),
            Column("event_id", "uuid"),
            Column("append_id", "uuid"),
            Column("event_type", "text"),
            Column("schema_version", "int"),
            Column("encoding", "text"),
            Column("data", "blob"),
            Column("metadata", "text"),
            Column("timestamp", "timestamp"),
            Column("pos", "bigint"),
            Column("aggregate_type", "text", static=True),
            Column("head", "int", static=True),
            Column("last_pos", "bigint", static=True),
            Column("fence", "int", static=True),
            Column("first", "int", static=True),
            Column("closed", "boolean", static=True),
        ),
        partition_key=("aggregate_id",),
        clustering=(("version", "asc"),),
        profile="append-only",
        comment="cassorm: event streams",
    )


def snapshots_table(names: TableNames, keyspace: str | None, id_type: str) -> Table:
    """Folded states beside their streams, newest first."""
    return Table(
        keyspace=keyspace,
        name=names.snapshots,
        columns=(
            Column("aggregate_id", id_type),
            Column("version", "int"),
            Column("event_id", "uuid"),
            Column("schema_version", "int"),
            Column("encoding", "text"),
            Column("data", "blob"),
            Column("timestamp", "timestamp"),
        ),
        partition_key=("aggregate_id",),
        clustering=(("version", "desc"),),
        profile="latest-few",
        comment="cassorm: snapshots of streams",
    )


def settings_table(names: TableNames, keyspace: str | None) -> Table:
    """The settings that every client of a store shares: one row a store, written once by an LWT."""
    return Table(
        keyspace=keyspace,
        name=names.settings,
        columns=(
            Column("id", "text"),
            Column("store_id", "uuid"),
            Column("layout", "int"),
            Column("shards", "int"),
            Column("hash", "text"),
            Column("bucket_s", "int"),
            Column("feed", "boolean"),
            Column("serial", "text"),
            Column("home_dc", "text"),
            Column("id_type", "text"),
            Column("feed_ttl_s", "int"),
            Column("workers_in", "text"),
        ),
        partition_key=("id",),
        profile="lwt-only",
        comment="cassorm: settings shared by all clients of an event store",
    )


def feed_table(names: TableNames, keyspace: str | None, id_type: str, ttl_s: int) -> Table:
    """A row an append, written before its events: where to find them. Never updated nor deleted, gone by its TTL."""
    return Table(
        keyspace=keyspace,
        name=names.feed,
        columns=(
            Column("shard", "int"),
            Column("bucket", "bigint"),
            Column("pos", "bigint"),
            Column("aggregate_id", id_type),
            Column("append_id", "uuid"),
            Column("from_version", "int"),
            Column("to_version", "int"),
            Column("prev_pos", "bigint"),
            Column("aggregate_type", "text"),
            Column("event_types", "text"),
        ),
        partition_key=("shard", "bucket"),
        clustering=(("pos", "asc"), ("aggregate_id", "asc")),
        options={"default_time_to_live": ttl_s},
        profile="time-window",
        comment="cassorm: pointers to appends, by shard and time",
    )


def marks_table(names: TableNames, keyspace: str | None) -> Table:
    """How far each shard of the feed is closed to writers, and how far it is resolved for readers."""
    return Table(
        keyspace=keyspace,
        name=names.marks,
        columns=(
            Column("shard", "int"),
            Column("begun", "bigint"),
            Column("closing", "bigint"),
            Column("resolved_upto", "bigint"),
            Column("owner", "uuid"),
            Column("epoch", "int"),
        ),
        partition_key=("shard",),
        profile="lwt-only",
        comment="cassorm: closing marks of the feed's shards",
    )


def checkpoints_table(names: TableNames, keyspace: str | None) -> Table:
    """How far each subscription has come in each shard, and who carries it on."""
    return Table(
        keyspace=keyspace,
        name=names.checkpoints,
        columns=(
            Column("subscription", "text"),
            Column("shard", "int"),
            Column("pos", "bigint"),
            Column("owner", "uuid"),
            Column("epoch", "int"),
            Column("scan_upto", "bigint"),
            Column("scan_token", "bigint"),
        ),
        partition_key=("subscription", "shard"),
        profile="lwt-only",
        comment="cassorm: checkpoints of subscriptions",
    )


def workers_table(names: TableNames, keyspace: str | None) -> Table:
    """The signs of life of those who own shards and checkpoints."""
    return Table(
        keyspace=keyspace,
        name=names.workers,
        columns=(
            Column("scope", "text"),
            Column("worker", "uuid"),
            Column("beat", "int"),
            Column("revision", "int"),
            Column("subscriptions", "frozen<set<text>>"),
        ),
        partition_key=("scope",),
        clustering=(("worker", "asc"),),
        profile="latest-few",
        comment="cassorm: signs of life of workers",
    )


def bells_table(names: TableNames, keyspace: str | None) -> Table:
    """Which stores something came to, for workers that look at most of theirs rarely."""
    return Table(
        keyspace=keyspace,
        name=names.bells,
        columns=(Column("bucket", "bigint"), Column("store", "text"), Column("rung", "uuid")),
        partition_key=("bucket",),
        clustering=(("store", "asc"),),
        profile="latest-few",
        options={"default_time_to_live": 4 * BELL_S, "gc_grace_seconds": 4 * BELL_S},
        comment="cassorm: stores that something has come to",
    )


def subscriptions_table(names: TableNames, keyspace: str | None) -> Table:
    """What operators ask of subscriptions, for all workers to read at each sign of life."""
    return Table(
        keyspace=keyspace,
        name=names.subscriptions,
        columns=(
            Column("scope", "text"),
            Column("subscription", "text"),
            Column("paused", "boolean"),
            Column("begun_again", "uuid"),
        ),
        partition_key=("scope",),
        clustering=(("subscription", "asc"),),
        profile="latest-few",
        comment="cassorm: what is asked of subscriptions",
    )


def parked_table(names: TableNames, keyspace: str | None, id_type: str) -> Table:
    """Events that a subscription could not handle, with what went wrong; oldest first within a stream."""
    return Table(
        keyspace=keyspace,
        name=names.parked,
        columns=(
            Column("subscription", "text"),
            Column("shard", "int"),
            Column("aggregate_id", id_type),
            Column("version", "int"),
            Column("event_type", "text"),
            Column("pos", "bigint"),
            Column("error", "text"),
            Column("attempts", "int"),
        ),
        partition_key=("subscription", "shard"),
        clustering=(("aggregate_id", "asc"), ("version", "asc")),
        profile="latest-few",
        comment="cassorm: events that subscriptions could not handle",
    )


def crew_tables(keyspace: str) -> tuple[Table, ...]:
    """The tables of the workers that serve several stores, in a keyspace that these name as `workers_in`."""
    return (workers_table(TableNames(), keyspace), bells_table(TableNames(), keyspace))


def store_tables(
    names: TableNames, keyspace: str | None, id_type: str, feed_ttl_s: int = FEED_TTL_S
) -> tuple[Table, ...]:
    """All tables of a store, in the order in which they are created."""
    return (
        settings_table(names, keyspace),
        events_table(names, keyspace, id_type),
        snapshots_table(names, keyspace, id_type),
        feed_table(names, keyspace, id_type, feed_ttl_s),
        marks_table(names, keyspace),
        checkpoints_table(names, keyspace),
        workers_table(names, keyspace),
        subscriptions_table(names, keyspace),
        parked_table(names, keyspace, id_type),
    )
