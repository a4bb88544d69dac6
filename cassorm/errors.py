"""Every exception of cassorm, one tree.

```
CassormError
|- ConfigurationError         a setting, an unsupported engine or version
|  `- DevNodeError            the development node: Java, jars, ports, start, packet filter
|- QueryError                 refused before anything was sent
|- ClusterError               the cluster or the way to it; the driver's exception is `__cause__`
|  |- UnavailableError        SAFE: a plain statement, or an LWT that was never sent
|  `- OutcomeUnknownError     SAME_IDS: sent and unanswered; it may still take effect
|- SchemaError
|  |- SchemaFileError         a schema file or dict: file, line, remedy
|  |- SchemaDriftError        a live table of another shape: every difference
|  `- MigrationError          a migration that failed, was changed, or is held by another deployer
|- ModelError                 a model class that is declared wrongly
|- RowError                   a stored row that does not fit its model
|  `- RowCountError           one row was asked for; there was none, or more
|- StaleRowError              RELOAD: the row has changed since it was read
|- UniqueError                another row holds the value of a unique column
|  `- ClaimPendingError       SAFE: another row is being written with it, or was until a crash
|- EventStoreError
|  |- ConflictError           RELOAD: another writer was first
|  |- StreamNotFoundError     no such stream
|  |- StreamClosedError       the stream takes no further events
|  |- StreamTypeError         the stream belongs to another aggregate type
|  |- ClockError              SAFE: a clock runs too far ahead; nothing was appended
|  |- StoreSettingsError      local settings against the store's own
|  `- CatalogError            an event class or payload that cannot be stored or loaded
|- SubscriptionError          SAFE: a subscription is not as far as it should be
|- ProjectionError            a projection that is used wrongly, or an event that it cannot take
`- AggregateError             an aggregate or decider that is declared or used wrongly
```

Every error says what was wrong, where, and what to do next; it carries the same facts as attributes and tells by
`retry` whether the same call may be made again.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar


class Retry(Enum):
    """What a caller may do after an error."""

    NEVER = "never"
    """The same call will fail again: something has to be changed first."""
    SAFE = "safe"
    """The very same call may be made again: it had no effect, or repeating it has no further effect."""
    RELOAD = "reload"
    """Load again, decide again, then append."""
    SAME_IDS = "same_ids"
    """Send the very same append again, with the same append id: it takes effect at most once."""


class CassormError(Exception):
    """What was wrong (`problem`), where it stood (`where`) and what to do (`remedy`)."""

    retry: ClassVar[Retry] = Retry.NEVER

    def __init__(self, problem: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        text = f"{where}: {problem}" if where else problem
        super().__init__(f"{text}. {remedy}" if remedy else text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by state: errors cross process borders in tests and workers."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[CassormError], args: tuple[Any, ...], state: dict[str, Any]) -> CassormError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(CassormError):
    """A setting is missing, wrong or contradicts another; or the engine is not supported."""


class DevNodeError(ConfigurationError):
    """The development node cannot do what was asked: Java, jars, ports, start-up or packet filter."""


class QueryError(CassormError):
    """Refused before anything was sent."""


class ClusterError(CassormError):
    """The cluster, or the way to it, failed; the driver's own exception is `__cause__`."""


class UnavailableError(ClusterError):
    """Not enough nodes answered a plain statement, or a statement was never sent: call again."""

    retry = Retry.SAFE


class OutcomeUnknownError(ClusterError):
    """A conditional statement was sent and not answered: it may have taken effect, or still take effect.

    `append_id` is set by the event store: send the same append with it, and it takes effect at most once.

    Source: docs/explanation/append.md.
    """

    retry = Retry.SAME_IDS

    def __init__(
        self, problem: str, *, where: str | None = None, remedy: str | None = None, append_id: object = None
    ) -> None:
        self.append_id = append_id
        super().__init__(problem, where=where, remedy=remedy)


class SchemaError(CassormError):
    """A schema that cannot be read, does not fit the engine, or differs from the live one.

    `part` is the part of the table that is wrong, such as `("columns", "total")`; empty when it is the whole.
    """

    def __init__(
        self, problem: str, *, where: str | None = None, remedy: str | None = None, part: Sequence[str] = ()
    ) -> None:
        self.part = tuple(part)
        super().__init__(problem, where=where, remedy=remedy)


class SchemaFileError(SchemaError):
    """A schema file or dict is wrong at `file`, line `line` (counted from 1; None for a dict)."""

    def __init__(self, problem: str, *, file: str | None = None, line: int | None = None, remedy: str) -> None:
        self.file = file
        self.line = line
        where = file if line is None else f"{file or 'schema'}:{line}"
        super().__init__(problem, where=where, remedy=remedy)


class SchemaDriftError(SchemaError):
    """A live table has another shape than the wanted one; `differences` lists each."""

    def __init__(self, table: str, differences: Sequence[str], *, remedy: str) -> None:
        self.table = table
        self.differences = tuple(differences)
        listed = "; ".join(self.differences)
        super().__init__(f"exists with another shape: {listed}", where=table, remedy=remedy)


class MigrationError(SchemaError):
    """Migrations cannot go on: `file` is the one that it is about, `statement` its statement, counted from 1.

    Both are None where the lock is what stands in the way.
    """

    def __init__(
        self, problem: str, *, where: str, remedy: str, file: str | None = None, statement: int | None = None
    ) -> None:
        self.file = file
        self.statement = statement
        super().__init__(problem, where=where, remedy=remedy)


class ModelError(CassormError):
    """A model class, or a field of it, that is declared wrongly: change the class."""


class RowError(CassormError):
    """A stored row does not fit its model; `key` are the row's key columns by name."""

    def __init__(
        self, problem: str, *, where: str | None = None, remedy: str | None = None, key: Mapping[str, Any] | None = None
    ) -> None:
        self.key = dict(key or {})
        super().__init__(problem, where=where, remedy=remedy)


class RowCountError(RowError):
    """Exactly one row was asked for; `found` is 0, or 2 for any higher number."""

    def __init__(self, where: str, *, found: int) -> None:
        self.found = found
        super().__init__(
            "no row" if found == 0 else "more than one row",
            where=where,
            remedy="Ask with first() for a row or None"
            if found == 0
            else "Give the whole primary key, or ask with first()",
        )


class StaleRowError(CassormError):
    """The row is not as it was read: another writer was first; nothing was written.

    `found` is what stands there by column, as far as the server tells; empty when there is no such row.
    """

    retry = Retry.RELOAD

    def __init__(self, where: str, *, found: Mapping[str, Any], problem: str) -> None:
        self.found = dict(found)
        super().__init__(problem, where=where, remedy="Read the row again, decide again, and save it then")


class UniqueError(CassormError):
    """Another row holds the value of a unique column; nothing was written unless the message says so.

    `columns` are the fields whose values together are taken, `owner` is the key of the row that holds them. The value
    itself is not in the message: it is often one that logs must not keep.
    """

    def __init__(
        self, where: str, *, columns: Sequence[str], owner: Mapping[str, Any], problem: str, remedy: str
    ) -> None:
        self.columns = tuple(columns)
        self.owner = dict(owner)
        super().__init__(problem, where=where, remedy=remedy)


class ClaimPendingError(UniqueError):
    """Another row is being written with the value of a unique column, or was until a crash: call again a little later."""

    retry = Retry.SAFE


class EventStoreError(CassormError):
    """An event, a stream or the store itself does not fit what was asked."""


class ConflictError(EventStoreError):
    """The stream is not at the expected version; nothing was written.

    `stream`, `expected` (a version, or the name of an expectation) and `actual` (the version that stands there).
    """

    retry = Retry.RELOAD

    def __init__(self, stream: object, *, expected: object, actual: int) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"expected version {expected}, found {actual}; nothing was written",
            where=f"stream {stream}",
            remedy="Load the stream again, decide again and append at the version found",
        )


class StreamNotFoundError(EventStoreError):
    """The stream has no events."""

    def __init__(self, stream: object, aggregate_type: str | None = None) -> None:
        self.stream = stream
        self.aggregate_type = aggregate_type
        super().__init__(
            "does not exist",
            where=f"{aggregate_type or 'stream'} {stream}",
            remedy="Check the id and the keyspace; to begin it, append with NO_STREAM or execute with create=True",
        )


class StreamClosedError(EventStoreError):
    """The stream was closed: it takes no further events; nothing was written."""

    def __init__(self, stream: object, version: int) -> None:
        self.stream = stream
        self.version = version
        super().__init__(
            f"is closed at version {version}; nothing was written",
            where=f"stream {stream}",
            remedy="Begin a new stream that refers to it",
        )


class StreamTypeError(EventStoreError):
    """The stream belongs to another aggregate type; nothing was written.

    `stream`, `asked` (the aggregate type asked for) and `actual` (the stream's own; None when it was begun without).
    """

    def __init__(self, stream: object, *, asked: str, actual: str | None) -> None:
        self.stream = stream
        self.asked = asked
        self.actual = actual
        super().__init__(
            f"is a stream of {actual or 'no aggregate type'}, not of {asked}; nothing was written",
            where=f"stream {stream}",
            remedy="Check the id; ids are unique across aggregate types",
        )


class ClockError(EventStoreError):
    """A position would lie too far in the future, since a clock is wrong; nothing was appended."""

    retry = Retry.SAFE


class StoreSettingsError(EventStoreError):
    """A local setting differs from the store's own, which every client must share."""

    def __init__(self, setting: str, *, store: object, local: object, where: str, remedy: str) -> None:
        self.setting = setting
        self.store = store
        self.local = local
        super().__init__(f"{setting} is {store!r} in the store and {local!r} here", where=where, remedy=remedy)


class CatalogError(EventStoreError):
    """An event class or a payload that cannot be stored or loaded equal."""


class SubscriptionError(CassormError):
    """A subscription has not come as far as it should have by now: `subscription`, and where it stands."""

    retry = Retry.SAFE

    def __init__(self, problem: str, *, subscription: str, where: str | None = None, remedy: str | None = None) -> None:
        self.subscription = subscription
        super().__init__(problem, where=where or f"subscription {subscription}", remedy=remedy)


class ProjectionError(CassormError):
    """A projection is used wrongly, its mapping has changed, or an event is one that it cannot take."""


class AggregateError(CassormError):
    """An aggregate, a decider or a command is declared or used wrongly."""
