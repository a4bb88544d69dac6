"""Events whose JSON need not be read again to know that it comes back equal: their values are of plain types.

Reading it again is most of what an append spends on a payload. It can be left out when every field is declared as one
plain type without validators, constraints or serializers, and every value is of exactly that type.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from cassorm.events.event import Event

_Check = Callable[[Any], bool]


def _short(value: int) -> bool:
    return -(2**63) <= value < 2**63


# What each kind of a core schema takes, and which values of that type come back equal.
_PLAIN: Mapping[str, tuple[type, _Check | None]] = {
    "str": (str, None),
    "bool": (bool, None),
    "uuid": (UUID, None),
    "int": (int, _short),
    "float": (float, math.isfinite),
    "decimal": (Decimal, Decimal.is_finite),
}
_CHECKS: Mapping[type, _Check] = {kind: check for kind, check in _PLAIN.values() if check is not None}
_NOTHING = type(None)
_CONFIGURED: dict[str, Any] = {**dict(Event.__pydantic_core_schema__).get("config", {}), "title": None}
"""How every event is configured, title aside: a class that says otherwise may do anything."""

Fields = tuple[tuple[str, frozenset[type]], ...]
_known: dict[type[Event], Fields | None] = {}


def comes_back(event: Event) -> bool:
    """Tell whether the event's JSON certainly loads as an equal event; False says that it has to be tried."""
    cls = type(event)
    try:
        fields = _known[cls]
    except KeyError:
        fields = _known[cls] = _fields(cls)
    if fields is None or event.__pydantic_extra__:
        return False
    values = event.__dict__
    if len(values) != len(fields):
        return False
    for name, kinds in fields:
        value = values.get(name, values)
        kind = type(value)
        if kind not in kinds:
            return False
        check = _CHECKS.get(kind)
        if check is not None and not check(value):
            return False
    return True


def _fields(cls: type[Event]) -> Fields | None:
    """The names and types of a class's fields; None when they are not all plain."""
    schema: Any = cls.__pydantic_core_schema__
    if not isinstance(schema, dict) or schema.get("type") != "model" or schema.get("schema", {}).get("fields") is None:
        return None
    known = {"cls", "config", "custom_init", "metadata", "ref", "root_model", "schema", "type"}
    if not schema.keys() <= known or schema.get("custom_init") or schema.get("root_model"):
        return None
    if {**schema.get("config", {}), "title": None} != _CONFIGURED:
        return None
    inner = schema["schema"]
    if not inner.keys() <= {"computed_fields", "fields", "model_name", "type"} or inner.get("computed_fields"):
        return None
    found = []
    for name, field in inner["fields"].items():
        kinds = _kinds(field["schema"]) if field.keys() <= {"metadata", "schema", "type"} else None
        if kinds is None:
            return None
        found.append((name, frozenset(kinds)))
    return tuple(found)


def _kinds(schema: Mapping[str, Any]) -> list[type] | None:
    """The types of the values that a field's schema takes as they are; None when it is not plain."""
    kind = schema.get("type")
    if kind == "default" and schema.keys() <= {"type", "schema", "default", "default_factory"}:
        return _kinds(schema["schema"])
    if kind == "nullable" and schema.keys() == {"type", "schema"}:
        inner = _kinds(schema["schema"])
        return None if inner is None else [*inner, _NOTHING]
    found = _PLAIN.get(str(kind)) if schema.keys() == {"type"} else None
    return None if found is None else [found[0]]
