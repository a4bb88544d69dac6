"""What the declaration of an aggregate or a decider may hold; each check names what is wrong and what to do."""

from typing import Any, NoReturn

from typing_extensions import Format, get_annotations

from cassorm.errors import AggregateError
from cassorm.events.payload import shown

_FIXED = frozenset(
    {"id", "version", "uncommitted_events", "append_id", "emit", "raise_event", "mark_committed", "from_events"}
)
"""What a subclass must not override."""


def check_type_name(name: object, where: str) -> None:
    """Refuse a name that cannot be the type of a stream.

    Raises:
        AggregateError: names it.
    """
    if not (isinstance(name, str) and 1 <= len(name) <= 200 and name.isprintable()):
        raise AggregateError(
            f"the aggregate type {shown(name)} is no printable text of 1 to 200 characters",
            where=where,
            remedy="Give a name such as 'Order'",
        )


def check_schema_version(schema_version: object, where: str) -> None:
    """Refuse a schema version that is no whole number from 1.

    Raises:
        AggregateError: names it.
    """
    if isinstance(schema_version, bool) or not isinstance(schema_version, int) or not 1 <= schema_version < 2**31:
        raise AggregateError(
            f"snapshot_schema_version {shown(schema_version)} is not a whole number from 1",
            where=where,
            remedy="Count schema versions 1, 2, 3",
        )


def check_names(cls: type, api: type) -> None:
    """Refuse fields and methods of an aggregate class that hide what its base class `api` needs.

    Raises:
        AggregateError: names the first, and what to do.
    """
    annotations = get_annotations(cls, format=Format.FORWARDREF)
    for name in (name for name in annotations if not name.startswith("_") and hasattr(api, name)):
        _refuse(cls, name, "is a name of Aggregate or of pydantic's models", f"Call the field {name}_")
    for name in _FIXED & vars(cls).keys():
        _refuse(cls, name, "is a name of Aggregate", "Call it something else")


def check_state(cls: Any) -> None:
    """Refuse fields and options of an aggregate class that a blank aggregate or a snapshot could not hold.

    Raises:
        AggregateError: names the first, and what to do.
    """
    for option in ("frozen", "validate_assignment"):
        if cls.model_config.get(option):
            _refuse(cls, "model_config", f"sets {option}", "Remove it: handlers set fields from validated events")
    if cls.model_config.get("extra") != "forbid":
        _refuse(cls, "model_config", "allows fields that are not declared", "Leave extra='forbid'")
    for name in cls.__private_attributes__:
        _refuse(cls, name, "is private and would be missing from snapshots", "Make it a field, or annotate it ClassVar")
    for name, info in cls.__pydantic_fields__.items():
        if info.is_required():
            _refuse(
                cls, name, "has no default, so there is no blank aggregate to fold into", f"Write {name}: ... = ..."
            )
        if info.exclude:
            _refuse(cls, name, "is excluded and would be missing from snapshots", "Remove exclude=True")


def _refuse(cls: type, name: str, problem: str, remedy: str) -> NoReturn:
    raise AggregateError(problem, where=f"{cls.__qualname__}.{name}", remedy=remedy)
