"""What the session's statements were prepared for, and word that it has changed under them.

A statement is bytes by the types that its columns had when it was prepared. When a table is dropped and made anew, or
a column comes back with another type, the same text stands for other bytes: a server that was told of it by somebody
else takes what was meant for an int as a text. So whatever may have changed a table marks its statements as stale, and
the session prepares these again before it sends them.
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any
from weakref import WeakSet

from cassorm.driver.prepared import Prepared

Outline = tuple[Any, ...]
"""Columns as values that can be compared: keyspace, table, name and type of each, with the fields of user types."""


def outline(columns: Sequence[Any]) -> Outline:
    """The outline of columns as the driver describes them."""
    return tuple((*column[:3], _outline(column[3])) for column in columns)


def _outline(kind: Any) -> Outline:
    parts = [*kind.subtypes, *filter(None, [getattr(kind, "subtype", None)])]
    return (
        kind.typename,
        getattr(kind, "fieldnames", None),
        getattr(kind, "vector_size", None),
        *(_outline(part) for part in parts if hasattr(part, "subtypes")),
    )


class KnownStatements:
    """The statements of one session; the driver's threads and ours call it."""

    def __init__(self) -> None:
        self.changes = 0
        self._all: WeakSet[Prepared] = WeakSet()
        self._lock = Lock()

    def add(self, prepared: Prepared, since: int) -> None:
        """Watch over `prepared`, whose preparation began when `changes` was `since`."""
        with self._lock:
            for each in self._all:
                if each.handle.query_id == prepared.handle.query_id and each.handle.bound != prepared.handle.bound:
                    each.stale = True
            self._all.add(prepared)
            # Nobody knows on which side of a change in the meantime it was prepared.
            prepared.stale = self.changes != since

    def is_other(self, query_id: bytes, columns: Sequence[Any]) -> bool:
        """Whether a statement that had to be prepared again takes other parameters now than it did."""
        found = outline(columns)
        with self._lock:
            outdated = [each for each in self._all if each.handle.query_id == query_id and each.handle.bound != found]
            for each in outdated:
                each.stale = True
        return bool(outdated)

    def changed(self, event: Mapping[str, Any]) -> None:
        """Take word of a schema change, as the driver gives it."""
        keyspace, table = event.get("keyspace"), event.get("table")
        with self._lock:
            self.changes += 1
            for each in self._all:
                if (keyspace, table) in each.handle.tables or (
                    table is None and any(name == keyspace for name, _ in each.handle.tables)
                ):
                    each.stale = True

    def all_changed(self) -> None:
        """Take word that changes may have been missed."""
        with self._lock:
            self.changes += 1
            for each in self._all:
                each.stale = True

    def listen_to(self, control: Any, version_on: Callable[[Any], object]) -> None:
        """Have the driver's control connection tell of what anybody changes, and when it may have missed something.

        `version_on` gives the version of the schema on a connection; None when it does not answer.
        """
        handle, replace = control._handle_schema_change, control._set_new_connection
        version = version_on(control.get_connections()[0])

        def told(event: Mapping[str, Any]) -> None:
            nonlocal version
            version = None
            self.changed(event)
            handle(event)

        def replaced(connection: Any) -> None:
            nonlocal version
            before, version = version, version_on(connection)
            if version is None or version != before:
                self.all_changed()
            replace(connection)

        control._handle_schema_change, control._set_new_connection = told, replaced
