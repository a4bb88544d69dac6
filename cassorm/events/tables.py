"""The tables of an event store, as values; docs/explanation/append.md tells what each column is for."""

from dataclasses import dataclass

from cassorm.schema.table import Column, Table

LAYOUT = 1
"""The version of these tables, kept in the store's settings."""


@dataclass(frozen=True, slots=True)
class TableNames:
    """What the tables of a store are called in their keyspace."""

    events: str = "events"
    snapshots: str = "snapshots"
    settings: str = "event_store"


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
        ),
        partition_key=("id",),
        profile="lwt-only",
        comment="cassorm: settings shared by all clients of an event store",
    )


def store_tables(names: TableNames, keyspace: str | None, id_type: str) -> tuple[Table, ...]:
    """All tables of a store, in the order in which they are created."""
    return (
        settings_table(names, keyspace),
        events_table(names, keyspace, id_type),
        snapshots_table(names, keyspace, id_type),
    )
