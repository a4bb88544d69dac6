"""How statements are sent: what a query says, else what its model says, else the session's settings."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cassorm.driver.consistency import Consistency
from cassorm.errors import QueryError


def read_options(where: str, **options: Any) -> dict[str, Any]:
    """Those that were given, for a read.

    Raises:
        QueryError: one is none that a read can have.
    """
    if options.get("consistency") is Consistency.ANY:
        raise QueryError("a read at ANY", where=where, remedy="That level is for writes: use ONE")
    return _given(where, options)


def write_options(where: str, **options: Any) -> dict[str, Any]:
    """Those that were given, for a write.

    Raises:
        QueryError: one is none that a write can have.
    """
    consistency = options.get("consistency")
    if isinstance(consistency, Consistency) and consistency.is_serial:
        raise QueryError(
            f"a write at {consistency.name}",
            where=where,
            remedy=f"Give serial_consistency={consistency.name}: `consistency` is that of the write behind the condition",
        )
    return _given(where, options)


def joined(said: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is `given`, and what a model has `said` where nothing is."""
    return {**said, **{name: value for name, value in given.items() if value is not None}}


def joined_for_write(where: str, said: Mapping[str, Any], given: Mapping[str, Any], *, once: bool) -> dict[str, Any]:
    """The same for a write; `once` is for one that done twice is not the same as done once.

    Raises:
        QueryError: such a write is said to be idempotent.
    """
    if not once:
        return joined(said, given)
    if given.get("idempotent"):
        raise QueryError(
            "what cannot be repeated is said to be idempotent",
            where=where,
            remedy="Leave `idempotent` out: conditions, counters and items of lists do not take effect twice alike",
        )
    made = joined(said, given)
    made.pop("idempotent", None)
    return made


def _given(where: str, options: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("consistency", "serial_consistency"):
        level = options.get(name)
        if level is None:
            continue
        if not isinstance(level, Consistency):
            raise QueryError(f"{level!r} as {name}", where=where, remedy="Give Consistency.LOCAL_QUORUM, say")
        if name == "serial_consistency" and not level.is_serial:
            raise QueryError(f"{level.name} as {name}", where=where, remedy="Give SERIAL or LOCAL_SERIAL")
    timeout = options.get("timeout")
    if timeout is not None and (not isinstance(timeout, timedelta) or timeout <= timedelta(0)):
        raise QueryError(f"a timeout of {timeout!r}", where=where, remedy="Give a timedelta above zero")
    return {name: value for name, value in options.items() if value is not None}
