"""What happened: the `Event` classes that users write, and `Recorded`, an event as it stands in its stream."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cassorm.errors import CatalogError
from cassorm.events.catalog import Catalog, check_fields
from cassorm.events.metadata import Metadata, behind, event_context

type_catalog: Catalog["Event"] = Catalog()
"""Every event class that was imported, by name and schema version."""

_FAITHFUL = ConfigDict(
    frozen=True,
    extra="forbid",
    ser_json_bytes="base64",  # the JSON of a payload has to come back as the very same value
    val_json_bytes="base64",
    ser_json_inf_nan="constants",
    protected_namespaces=(),
)


class Value(BaseModel):
    """A value inside an event (an address, an order line): frozen, and its JSON comes back equal, bytes included."""

    model_config = _FAITHFUL


class Event(BaseModel):
    """A fact in the past tense; its fields are the payload.

    ```python
    class OrderPlaced(Event, name="OrderPlaced", schema_version=1):
        customer: str
        total: Decimal
    ```

    `name` is the class's own name unless given, `schema_version` is 1. Both are stored with each event: a class may
    be renamed or moved as long as they stay. A class with `abstract=True` is not entered in the catalog.

    Raises:
        CatalogError: at class definition, when another class has this name and schema version, or a field cannot
            come back equal from JSON; the message names the field and what to use instead.
    """

    model_config = _FAITHFUL
    __event_type__: ClassVar[str] = ""
    __schema_version__: ClassVar[int] = 0

    def __init_subclass__(cls, **_: Any) -> None:
        """Take the keywords that `__pydantic_init_subclass__` reads once the fields are known."""
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, name: str | None = None, schema_version: int = 1, abstract: bool = False, **kwargs: Any
    ) -> None:
        """Enter the class in the catalog."""
        super().__pydantic_init_subclass__(**kwargs)
        cls.__event_type__ = name or cls.__name__
        cls.__schema_version__ = schema_version
        if abstract:
            return
        if not cls.__event_type__.isprintable() or len(cls.__event_type__) > 200:
            raise CatalogError(
                f"the event name {cls.__event_type__!r} is not printable text of at most 200 characters",
                where=cls.__qualname__,
                remedy="Give a name such as name='OrderPlaced'",
            )
        if isinstance(schema_version, bool) or not isinstance(schema_version, int) or schema_version < 1:
            raise CatalogError(
                f"schema_version {schema_version!r} is not a whole number from 1",
                where=cls.__qualname__,
                remedy="Count schema versions 1, 2, 3",
            )
        check_fields(cls)
        type_catalog.add(cls.__event_type__, schema_version, cls)


@dataclass(slots=True)
class Recorded:
    """An event in its stream.

    `version` counts from 1 within the stream; `position` is in microseconds and rises within the stream; `timestamp`
    is when the append was begun, in UTC, by the writer's clock.
    """

    stream: UUID | str
    aggregate_type: str | None
    version: int
    event: Event
    event_id: UUID
    append_id: UUID
    event_type: str
    schema_version: int
    timestamp: datetime
    metadata: Metadata
    position: int

    @property
    def user_id(self) -> str | None:
        """Who caused it, if it was said."""
        return self.metadata.user_id

    @property
    def correlation_id(self) -> str:
        """The id of the whole story this event belongs to: as carried on, else the id of its append."""
        return self.metadata.correlation_id or str(self.append_id)

    @property
    def causation_id(self) -> str | None:
        """The id of the command or event that caused it, if it was said."""
        return self.metadata.causation_id

    @property
    def extra(self) -> Mapping[str, Any]:
        """Whatever else the context carried."""
        return self.metadata.extra


@contextmanager
def caused_by(recorded: Recorded) -> Iterator[Metadata]:
    """Carry on the story of `recorded`: its user and correlation id, with its event id as the cause.

    What is appended within the block stands behind it in the order of positions as well.
    """
    with (
        behind(recorded.position),
        event_context(
            user_id=recorded.user_id, correlation_id=recorded.correlation_id, causation_id=str(recorded.event_id)
        ) as metadata,
    ):
        yield metadata
