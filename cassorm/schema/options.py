"""Table options: which exist, on which engine, and the form in which their values are kept and written."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cassorm.cql.dialect import Dialect
from cassorm.errors import SchemaError
from cassorm.schema.foreign import option_elsewhere

Shape = Literal["text", "int", "float", "boolean", "map", "cdc"]


@dataclass(frozen=True, slots=True)
class Option:
    """What an option's value looks like, the engines that know it, and the first version of Cassandra that does."""

    shape: Shape
    cassandra: tuple[int, ...] | None = (4, 0)
    scylla: bool = True


OPTIONS: dict[str, Option] = {
    "additional_write_policy": Option("text", scylla=False),
    "allow_auto_snapshot": Option("boolean", (4, 1), scylla=False),
    "bloom_filter_fp_chance": Option("float"),
    "caching": Option("map"),
    "cdc": Option("cdc"),
    "compaction": Option("map"),
    "compression": Option("map"),
    "crc_check_chance": Option("float"),
    "default_time_to_live": Option("int"),
    "gc_grace_seconds": Option("int"),
    "incremental_backups": Option("boolean", (4, 1), scylla=False),
    "max_index_interval": Option("int"),
    "memtable": Option("text", (4, 1), scylla=False),
    "memtable_flush_period_in_ms": Option("int"),
    "min_index_interval": Option("int"),
    "paxos_grace_seconds": Option("int", None),
    "read_repair": Option("text", scylla=False),
    "speculative_retry": Option("text"),
    "synchronous_updates": Option("boolean", None),
    "tablets": Option("map", None),
    "tombstone_gc": Option("map", None),
}
# What the server fills in where nothing was said: not shown, and not told from nothing. The compaction and compression
# classes are not here, since a server's configuration may choose other ones.
_DEFAULTS: dict[str, object] = {
    "additional_write_policy": "99p",
    "bloom_filter_fp_chance": 0.01,
    "caching": {"keys": "ALL", "rows_per_partition": "NONE"},
    "crc_check_chance": 1.0,
    "default_time_to_live": 0,
    "gc_grace_seconds": 864_000,
    "max_index_interval": 2048,
    "memtable_flush_period_in_ms": 0,
    "min_index_interval": 128,
    "read_repair": "BLOCKING",
    "speculative_retry": "99p",
}
_DEFAULT_PARTS = {
    "compaction": {"max_threshold": "32", "min_threshold": "4"},
    "compression": {"chunk_length_in_kb": "16"},
}
_LARGEST = 2**31 - 1
_ELSEWHERE = {
    "ttl": "Write default_time_to_live",
    "comment": "Write `comment` beside the options",
    "clustering_order": "Write `clustering_order` beside the options",
    "profile": "Write `profile` beside the options",
}
CLASS_PREFIXES = (
    "org.apache.cassandra.db.compaction.",
    "org.apache.cassandra.io.compress.",
    "org.apache.cassandra.locator.",
)


def normalized(options: Mapping[str, object]) -> dict[str, object]:
    """The options sorted by name, each value in its one form: the values of maps are text, classes have short names.

    Raises:
        SchemaError: an option that no engine knows, or a value of the wrong shape.
    """
    return {name: _value(name, options[name]) for name in sorted(options, key=str)}


def check_supported(name: str, value: object, dialect: Dialect) -> None:
    """Return when the engine knows the option, and the classes that its value names.

    Raises:
        SchemaError: leave the option out, or choose a `profile`, which fits every engine.
    """
    option = OPTIONS[name]
    if dialect.name == "scylla":
        known = option.scylla
    else:
        known = option.cassandra is not None and dialect.version >= option.cassandra
    if not known:
        raise _refused(name, f"{dialect} has no option {name!r}", remedy="Leave it out for this engine")
    if option.shape == "cdc" and isinstance(value, Mapping) != (dialect.name == "scylla"):
        raise _refused(
            name,
            f"{value!r} is not what {dialect} takes",
            remedy="Write true for Cassandra, {enabled: true} for ScyllaDB",
        )
    chosen = value.get("class") if name == "compaction" and isinstance(value, Mapping) else None
    if chosen == "UnifiedCompactionStrategy" and not dialect.ucs:
        raise _refused(name, f"{dialect} has no {chosen}", remedy="Set `profile` instead: it fits every engine")


def without_defaults(options: Mapping[str, object]) -> dict[str, object]:
    """The options less what the server would fill in anyhow."""
    found = {name: value for name, value in normalized(options).items() if _DEFAULTS.get(name) != value}
    for name, parts in _DEFAULT_PARTS.items():
        value = found.get(name)
        if isinstance(value, Mapping):
            found[name] = {key: part for key, part in value.items() if parts.get(key) != part}
    return found


def option_text(name: str, value: object, dialect: Dialect, *, where: str) -> str:
    """`name = value` as the engine's CQL.

    Raises:
        SchemaError: the engine does not know the option, or a class that its value names.
    """
    try:
        check_supported(name, value, dialect)
    except SchemaError as error:
        raise SchemaError(error.problem, where=where, remedy=error.remedy, part=error.part) from None
    if name == "compression" and isinstance(value, Mapping):
        value = {dialect.compressor_key if key == "class" else key: item for key, item in value.items()}
    return f"{name} = {literal(value)}"


def literal(value: object) -> str:
    """A value as CQL: text in single quotes, maps in braces."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Mapping():
            return "{" + ", ".join(f"{literal(str(key))}: {literal(item)}" for key, item in value.items()) + "}"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _value(name: str, value: object) -> object:
    option = OPTIONS.get(name) if isinstance(name, str) else None
    if option is None:
        near = difflib.get_close_matches(str(name), OPTIONS, n=2)
        elsewhere = _ELSEWHERE.get(name) or option_elsewhere(str(name))
        remedy = elsewhere or (f"Did you mean {' or '.join(near)}?" if near else f"Use {', '.join(OPTIONS)}")
        raise _refused(name, f"unknown option {name!r}", remedy=remedy)
    shape = option.shape
    if shape == "cdc":
        shape = "map" if isinstance(value, Mapping) else "boolean"
    match shape, value:
        case "boolean", bool():
            return value
        case "text", str():
            return value
        case "int", int() if not isinstance(value, bool) and 0 <= value <= _LARGEST:
            return value
        case "float", int() | float() if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case "map", Mapping():
            items = {_key(name, str(key), item): _text(name, item) for key, item in value.items()}
            return dict(sorted(items.items()))
    expected = {
        "int": "a whole number from 0 to 2147483647",
        "float": "a number",
        "boolean": "true or false",
        "map": "a map",
    }
    raise _refused(name, f"{value!r} is no value of {name}", remedy=f"Give {expected.get(shape, 'text')}")


def _key(option: str, key: str, value: object) -> str:
    # ScyllaDB and old releases of Cassandra spell the compressor's key differently; an empty one turns compression off.
    return "class" if option == "compression" and key == "sstable_compression" and value else key


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise _refused(name, f"{value!r} inside {name}", remedy="Give text, a number, true or false")
    text = str(value)
    for prefix in CLASS_PREFIXES:
        text = text.removeprefix(prefix)
    return text


def _refused(name: str, problem: str, *, remedy: str) -> SchemaError:
    return SchemaError(problem, remedy=remedy, part=("options", str(name)))
