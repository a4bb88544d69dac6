"""The CQL of the event store, as text that is prepared once."""

from functools import lru_cache

from cassorm.cql.identifiers import quote_table
from cassorm.events.tables import TableNames

PREPARED_BATCH = 32
"""Up to this many events an append is one prepared statement; above, a BATCH message of prepared statements."""

EVENT_COLUMNS = "version, event_id, append_id, event_type, schema_version, encoding, data, metadata, timestamp, pos"
STATE_COLUMNS = ("head", "last_pos", "fence", "closed", "aggregate_type", "first")
_STATE = ", ".join(STATE_COLUMNS)
_SNAPSHOT = "version, event_id, schema_version, encoding, data, timestamp"


class Queries:
    """Every statement of one store; its tables' names are checked and quoted here, once.

    Raises:
        QueryError: a name that CQL cannot take.
    """

    def __init__(self, keyspace: str, names: TableNames) -> None:
        events = quote_table(names.events, keyspace)
        snapshots = quote_table(names.snapshots, keyspace)
        one = "WHERE aggregate_id = ?"
        slice_ = f"{one} AND version >= ? AND version <= ?"
        self.advance = (
            f"UPDATE {events} SET head = ?, last_pos = ?, aggregate_type = ? {one} "
            "IF head = ? AND fence = ? AND closed = ?"
        )
        self.insert = (
            f"INSERT INTO {events} (aggregate_id, version, event_id, append_id, event_type, schema_version, encoding, "
            "data, metadata, timestamp, pos) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        # With conditions on static columns alone the server reads the first live row; this makes it a read by name.
        self.insert_first = f"{self.insert} IF NOT EXISTS"
        self.state = f"SELECT DISTINCT {_STATE}, aggregate_id FROM {events} {one}"
        self.rows = f"SELECT version, append_id, event_id, pos FROM {events} {slice_}"
        self.first_page = f"SELECT {EVENT_COLUMNS}, {_STATE} FROM {events} {slice_}"
        self.forwards = f"SELECT {EVENT_COLUMNS} FROM {events} {slice_}"
        self.backwards = f"{self.forwards} ORDER BY version DESC"
        self.save_snapshot = f"INSERT INTO {snapshots} (aggregate_id, {_SNAPSHOT}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self.snapshots = f"SELECT {_SNAPSHOT} FROM {snapshots} {one} LIMIT ?"
        self.delete_snapshot = f"DELETE FROM {snapshots} {one} AND version = ?"
        self.append = lru_cache(maxsize=PREPARED_BATCH)(self._append)

    def _append(self, count: int) -> str:
        """Return the whole batch for `count` events."""
        inserts = "".join(f"; {self.insert}" for _ in range(count - 1))
        return f"BEGIN BATCH {self.advance}; {self.insert_first}{inserts}; APPLY BATCH"
