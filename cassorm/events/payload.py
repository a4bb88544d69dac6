"""Payloads as JSON: `load(dump(event)) == event`, or the event is refused before anything is sent."""

import math
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from cassorm.errors import CatalogError
from cassorm.events.event import Event, type_catalog
from cassorm.events.plain import comes_back

JSON: Final = "json"
"""The name stored in the column `encoding`."""


def dump(event: Event) -> bytes:
    """Return the JSON of the event's fields.

    Raises:
        CatalogError: no event, or its JSON would not load as an equal event.
    """
    cls = type(event)
    if Event not in cls.__mro__:  # `isinstance` asks pydantic's metaclass, for a tenth of this function's time
        raise CatalogError(
            f"{shown(event)} is no event", where="append", remedy="Pass instances of classes derived from cassorm.Event"
        )
    try:
        # No warnings: whatever they could tell, the comparison below finds, and they cost twice the rest of this line.
        data = cls.__pydantic_serializer__.to_json(event, by_alias=False, round_trip=True, warnings=False)
        if comes_back(event):
            return data
        loaded = cls.__pydantic_validator__.validate_json(data, extra="ignore", by_alias=False, by_name=True)
    except (PydanticSerializationError, ValidationError, RecursionError, UnicodeError) as error:
        raise CatalogError(
            f"{shown(event)} has no JSON that loads again ({_first_line(error)})",
            where=f"event {cls.__event_type__}",
            remedy="Use types that JSON can hold; declare the field's real type rather than Any",
        ) from error
    if not _loads_equal(loaded, event):
        raise CatalogError(
            f"{shown(event)} would come back from JSON as {shown(loaded)}",
            where=f"event {cls.__event_type__}, field {_difference(loaded, event)}",
            remedy="Declare the field's real type (Decimal, UUID, tuple[...]) rather than Any or a base class",
        )
    return data


def load(event_type: str, schema_version: int, encoding: str, data: bytes | str) -> Event:
    """Return the event that `dump` wrote.

    Raises:
        CatalogError: no such class, its fields no longer take the stored payload, or an encoding of a newer cassorm.
    """
    cls = type_catalog.find(event_type, schema_version)
    if encoding != JSON:
        raise CatalogError(
            f"payload encoding {encoding!r} is not known",
            where=f"event type {event_type!r}, schema version {schema_version}",
            remedy="Read it with the cassorm version that wrote it, or a newer one",
        )
    try:
        event: Event = cls.__pydantic_validator__.validate_json(data, extra="ignore", by_alias=False, by_name=True)
    except ValidationError as error:
        raise CatalogError(
            f"the stored payload does not fit the class {cls.__qualname__} ({_first_line(error)})",
            where=f"event type {event_type!r}, schema version {schema_version}",
            remedy="Give the changed class the next schema_version and keep one that fits the old payload",
        ) from error
    return event


def _loads_equal(loaded: Event, event: Event) -> bool:
    """Tell whether what was loaded is the event: fields first, a third of the price of a model's own `==`."""
    try:
        if type(loaded) is type(event) and loaded.__dict__ == event.__dict__:
            return True
    except ArithmeticError:  # a signalling NaN
        return False
    return same(loaded, event)


def same(left: Any, right: Any) -> bool:
    """Tell whether two loaded values are equal, where NaN equals NaN."""
    try:
        if left == right:
            return True
    except ArithmeticError:  # a signalling NaN
        return False
    if isinstance(left, float) and isinstance(right, float):
        return math.isnan(left) and math.isnan(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, BaseModel):
        return same(left.__dict__, right.__dict__) and same(left.__pydantic_extra__, right.__pydantic_extra__)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return False


def shown(value: object) -> str:
    """Return the value's repr, cut to what an error message can hold."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _difference(loaded: Event, event: Event) -> str:
    for name in type(event).model_fields:
        if not same(getattr(loaded, name, None), getattr(event, name, None)):
            return name
    return "?"


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
