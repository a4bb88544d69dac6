"""Who and why: metadata that a context carries into every event appended within it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cassorm.errors import CatalogError

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who caused an event (`user_id`), in which story (`correlation_id`), by what (`causation_id`), and the rest."""

    user_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def encode(self) -> str | None:
        """Return the JSON that is stored; None when there is nothing to store.

        Raises:
            CatalogError: a value in `extra` would not come back equal from JSON.
        """
        if self == NO_METADATA:
            return None
        for name in ("user_id", "correlation_id", "causation_id"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise CatalogError(f"{name} {value!r} is no string", where="metadata", remedy="Pass str(...) of it")
        known = {"u": self.user_id, "c": self.correlation_id, "b": self.causation_id}
        document: dict[str, Any] = {key: value for key, value in known.items() if value is not None}
        if self.extra:
            document["x"] = dict(self.extra)
        try:
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            text.encode()
        except (TypeError, ValueError) as error:
            raise CatalogError(
                f"{dict(self.extra)!r} cannot be stored as JSON ({error})",
                where="metadata",
                remedy="Use text, numbers, booleans, None, lists and dicts with text keys",
            ) from error
        if json.loads(text) != document:
            raise CatalogError(
                f"{dict(self.extra)!r} does not come back equal from JSON",
                where="metadata",
                remedy="Use lists for tuples and text for dict keys",
            )
        return text

    @classmethod
    def decode(cls, text: str | None) -> "Metadata":
        """Return the metadata that `encode` stored as `text`."""
        if text is None:
            return NO_METADATA
        document = json.loads(text)
        return cls(document.get("u"), document.get("c"), document.get("b"), MappingProxyType(document.get("x", {})))


NO_METADATA = Metadata()

_current: ContextVar[Metadata] = ContextVar("cassorm_event_metadata", default=NO_METADATA)


_cause_position: ContextVar[int] = ContextVar("cassorm_cause_position", default=0)


def cause_position() -> int:
    """Return the position of the event that what is appended now comes from; 0 when there is none."""
    return _cause_position.get()


@contextmanager
def behind(position: int) -> Iterator[None]:
    """Give what is appended within the block later positions than this one."""
    token = _cause_position.set(max(position, _cause_position.get()))
    try:
        yield
    finally:
        _cause_position.reset(token)


def current_metadata() -> Metadata:
    """Return what the present context carries."""
    return _current.get()


@contextmanager
def event_context(
    *, user_id: str | None = None, correlation_id: str | None = None, causation_id: str | None = None, **extra: Any
) -> Iterator[Metadata]:
    """Carry metadata into every event appended within the block; what is not given is kept from the outer block.

    Tasks started within the block carry it as well: it is a context variable.
    """
    outer = _current.get()
    inner = Metadata(
        outer.user_id if user_id is None else user_id,
        outer.correlation_id if correlation_id is None else correlation_id,
        outer.causation_id if causation_id is None else causation_id,
        MappingProxyType({**outer.extra, **extra}) if extra else outer.extra,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)
