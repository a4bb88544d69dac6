"""What can be indexed, and by which kind of index."""

from collections.abc import Mapping

from cassorm.cql.types import CqlType
from cassorm.errors import QueryError


def kind_for(cql: CqlType, kind: str | None, target: str | None, options: Mapping[str, str]) -> str | None:
    """The kind of an index on a column of this type; None is left to the engine.

    Raises:
        QueryError: no server makes such an index; the error says what to do instead.
    """
    if "duration" in cql.names():
        raise QueryError(f"of {cql}", remedy="Durations have no order and no index: remove it, or store a bigint")
    if cql.is_user_type and not cql.frozen:
        raise QueryError(f"of {cql}, which is not frozen", remedy=f"Write frozen<{cql}>, or remove the index")
    if cql.name == "vector":
        _check_vector(cql, kind, options)
    if not any(part.name == "blob" for part in _indexed(cql, target)):
        return kind
    if kind == "sai":
        raise QueryError(f"of {cql}, which is none for SAI", remedy="Leave the kind open, or make it secondary")
    return kind or "secondary"


def _check_vector(cql: CqlType, kind: str | None, options: Mapping[str, str]) -> None:
    if kind not in (None, "sai"):
        return
    if cql.args[0].name != "float":
        raise QueryError(f"of {cql}", remedy="What is nearest is found among vectors of float alone: use these")
    if cql.size == 1 and options.get("similarity_function", "cosine").lower() == "cosine":
        raise QueryError(
            f"of {cql} by the cosine", remedy='A single number has no direction: say similarity_function="euclidean"'
        )


def _indexed(cql: CqlType, target: str | None) -> tuple[CqlType, ...]:
    """The types of what the index looks at."""
    if not cql.is_collection or cql.frozen:
        return (cql,)
    return {"keys": cql.args[:1], "entries": cql.args}.get(target or "values", cql.args[-1:])
