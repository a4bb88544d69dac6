"""CQL types as values: read from text, checked, written back, and matched with Python's."""

import difflib
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from cassorm.cql.identifiers import RESERVED, check_name, quote
from cassorm.cql.tokens import Token, tokens
from cassorm.errors import QueryError

# What the drivers give for each native type; `duration` comes as a class of the driver's own.
_PYTHON: dict[str, Any] = {
    "ascii": str,
    "bigint": int,
    "blob": bytes,
    "boolean": bool,
    "counter": int,
    "date": date,
    "decimal": Decimal,
    "double": float,
    "duration": object,
    "float": float,
    "inet": str,
    "int": int,
    "smallint": int,
    "text": str,
    "time": time,
    "timestamp": datetime,
    "timeuuid": UUID,
    "tinyint": int,
    "uuid": UUID,
    "varint": int,
}
NATIVE_TYPES = frozenset(_PYTHON)

_CQL: dict[Any, str] = {
    str: "text",
    int: "bigint",
    bytes: "blob",
    bool: "boolean",
    float: "double",
    date: "date",
    datetime: "timestamp",
    time: "time",
    Decimal: "decimal",
    UUID: "uuid",
    IPv4Address: "inet",
    IPv6Address: "inet",
}
_ALIASES = {"varchar": "text"}
_COLLECTIONS = {"list": 1, "set": 1, "map": 2}
# Nobody means more; a text of ten thousand "list<" would exhaust the stack.
_DEEPEST = 32
_LONGEST_SHOWN = 80
_LONGEST_SIZE = 5
_CONTAINERS = frozenset({*_COLLECTIONS, "tuple", "vector", "frozen"})
_PYTHON_CONTAINERS: dict[Any, str] = {list: "list", set: "set", frozenset: "set", dict: "map", tuple: "tuple"}


@dataclass(frozen=True, slots=True)
class CqlType:
    """One CQL type, such as `map<text, frozen<list<int>>>`; `str()` gives its text.

    `name` is a native type, `list`, `set`, `map`, `tuple`, `vector`, the name of a user type, or (in single quotes)
    a class on the server. What can only be frozen is marked frozen: tuples, and everything inside something frozen.

    Raises:
        QueryError: CQL has no such type; the error says what to write.
    """

    name: str
    args: tuple["CqlType", ...] = ()
    size: int | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.name == "tuple" and not self.frozen:
            object.__setattr__(self, "frozen", True)
        if self.name == "vector":
            object.__setattr__(self, "frozen", False)
        if self.frozen or self.name == "vector":
            object.__setattr__(self, "args", tuple(_frozen(arg) for arg in self.args))
        _check(self)

    def __str__(self) -> str:
        if self.is_custom or self.is_native:
            return self.name
        inner = [str(arg) for arg in self.args] + ([str(self.size)] if self.size is not None else [])
        text = f"{self.name}<{', '.join(inner)}>" if inner else quote(self.name, what="user type")
        return f"frozen<{text}>" if self.frozen else text

    @property
    def is_native(self) -> bool:
        """Whether it is a type without parts."""
        return self.name in NATIVE_TYPES

    @property
    def is_collection(self) -> bool:
        """Whether it is a list, set or map, frozen or not."""
        return self.name in _COLLECTIONS

    @property
    def is_custom(self) -> bool:
        """Whether it is a class on the server, named in single quotes."""
        return self.name.startswith("'")

    @property
    def is_user_type(self) -> bool:
        """Whether it is a user type, frozen or not."""
        return not (self.is_native or self.is_custom or self.name in _CONTAINERS)

    @property
    def is_multicell(self) -> bool:
        """Whether its parts are stored, and can be changed, one by one: neither key nor part of another type."""
        return not self.frozen and (self.is_collection or self.is_user_type)

    def user_types(self) -> frozenset[str]:
        """The names of the user types in it."""
        inner = frozenset(name for arg in self.args for name in arg.user_types())
        return inner | {self.name} if self.is_user_type else inner

    def names(self) -> Iterator[str]:
        """The names of all types in it, its own first."""
        yield self.name
        for arg in self.args:
            yield from arg.names()


def parse_type(text: str) -> CqlType:
    """The type that `text` writes, in one form for all spellings: `varchar` is `text`, a tuple is frozen.

    A name that CQL does not know is taken for a user type; `check_known` tells whether it is one.

    Raises:
        QueryError: the text is no CQL type; the error says what to write.
    """
    if not isinstance(text, str):
        raise QueryError(f"{text!r} is no CQL type", remedy="Write a type as text, such as list<int>")
    return _parsed(text)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> CqlType:
    parser = _Parser(text)
    parsed = parser.type()
    parser.end()
    return parsed


def check_known(cql_type: CqlType, user_types: Collection[str] = ()) -> None:
    """Return when every user type in `cql_type` is one of `user_types`.

    Raises:
        QueryError: a name is neither a CQL type nor one of `user_types`; names that come near are suggested.
    """
    for name in sorted(cql_type.user_types() - set(user_types)):
        raise _unknown(name, user_types)


def python_type(cql_type: CqlType) -> Any:
    """The Python type of the values that a row holds for `cql_type`: `dict[str, list[int]]`; `Any` for a user type."""
    if cql_type.is_native:
        return _PYTHON[cql_type.name]
    args = tuple(python_type(arg) for arg in cql_type.args)
    match cql_type.name:
        case "list" | "vector":
            return list[args[0]]  # type: ignore[valid-type]  # built at run time
        case "set":
            return set[args[0]]  # type: ignore[valid-type]
        case "map":
            return dict[args[0], args[1]]  # type: ignore[valid-type]
        case "tuple":
            return tuple[args]  # type: ignore[valid-type]
        case _:
            return Any


def cql_type(annotation: Any) -> CqlType:
    """The CQL type that holds values of a Python type: `int` is `bigint`, `list[set[str]]` is `list<frozen<set<text>>>`.

    `X | None` is the type of X, since every CQL column may be null; a string enumeration is `text`.

    Raises:
        QueryError: no CQL type is that of the annotation; declare the column's type.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return cql_type(args[0])
    if origin in (Union, types.UnionType):
        present = [arg for arg in args if arg is not type(None)]
        if len(present) == 1:
            return cql_type(present[0])
    elif annotation in _CQL:
        return CqlType(_CQL[annotation])
    elif origin in _PYTHON_CONTAINERS and args and Ellipsis not in args:
        inner = tuple(_frozen(cql_type(arg)) for arg in args)
        return CqlType(_PYTHON_CONTAINERS[origin], inner)
    elif isinstance(annotation, type) and issubclass(annotation, Enum) and issubclass(annotation, str):
        return CqlType("text")
    raise QueryError(f"no CQL type is that of {annotation!r}", remedy="Declare the column's CQL type")


def _frozen(cql_type: CqlType) -> CqlType:
    if cql_type.is_collection or cql_type.is_user_type:
        return replace(cql_type, frozen=True)
    return cql_type


def _check(cql_type: CqlType) -> None:
    name, args = cql_type.name, cql_type.args
    if name in _CONTAINERS:
        _check_container(cql_type)
    elif args or cql_type.size is not None:
        raise QueryError(f"{name!r} takes no parameters", remedy="Write its name alone")
    elif cql_type.is_user_type:
        check_name(name, what="user type")
    elif cql_type.frozen:
        raise QueryError(f"frozen<{name}>: only collections, tuples and user types freeze", remedy=f"Write {name}")


def _check_container(cql_type: CqlType) -> None:
    name, args = cql_type.name, cql_type.args
    takes = _COLLECTIONS.get(name, 1)
    if name == "frozen" or (len(args) != takes and name != "tuple") or not args:
        number = {1: "one type", 2: "two types"}[takes]
        raise QueryError(
            f"{name!r} of {len(args)} types",
            remedy=f"Give {name} {'one or more types' if name == 'tuple' else number}, as in {_EXAMPLES[name]}",
        )
    if (name == "vector") != (cql_type.size is not None) or (cql_type.size is not None and cql_type.size < 1):
        raise QueryError(f"{name!r} of size {cql_type.size}", remedy=f"Write {_EXAMPLES[name]}")
    for arg in args:
        if arg.is_multicell:
            written = f"{name}<{', '.join(map(str, args))}>"
            raise QueryError(f"{arg} inside {written} is not frozen", remedy=f"Write frozen<{arg}> for it")
        if arg.name == "counter":
            raise QueryError(f"a counter inside {name}", remedy="Counters stand in columns of their own: use bigint")
    if name in ("set", "map") and args[0].name == "duration":
        raise QueryError(f"a duration as {'element' if name == 'set' else 'key'} of a {name}", remedy="Use bigint")


_EXAMPLES = {
    "frozen": "frozen<list<int>>",
    "list": "list<int>",
    "set": "set<text>",
    "map": "map<text, int>",
    "tuple": "tuple<int, text>",
    "vector": "vector<float, 3>",
}


def near_types(name: str, user_types: Collection[str] = ()) -> list[str]:
    """The names of types that come near to `name`, the nearest first."""
    known = sorted({*NATIVE_TYPES, *_CONTAINERS, *_ALIASES, *user_types})
    return difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)


def _unknown(name: str, user_types: Collection[str]) -> QueryError:
    near = near_types(name, user_types)
    remedy = f"Did you mean {' or '.join(near)}?" if near else "Use a type of CQL."
    return QueryError(f"unknown type {name!r}", remedy=f"{remedy} A user type has to be declared under `types`")


class _Parser:
    """Recursive descent over the tokens of one type."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text.strip():
            raise QueryError(f"{text!r} is no CQL type", remedy="Write a type, such as text or list<int>")
        self._text = text
        self._rest = list(tokens(text))[::-1]

    def type(self, depth: int = 0, *, frozen: bool = False) -> CqlType:
        token = self._next()
        if token.kind == "string":
            return CqlType(token.text)
        if token.kind not in ("word", "quoted") or depth > _DEEPEST:
            raise self._wrong()
        name = token.value
        if token.kind == "quoted":
            check_name(name, what="type")
        else:
            name = _ALIASES.get(name, name)
            if name in RESERVED and name not in _CONTAINERS:
                raise self._wrong()
            if self._accept("<"):
                return self._parameters(name, depth + 1, frozen=frozen)
        return CqlType(name, frozen=frozen and name not in NATIVE_TYPES)

    def _parameters(self, name: str, depth: int, *, frozen: bool) -> CqlType:
        freezes = frozen or name in ("frozen", "tuple", "vector")
        args, size = [self.type(depth, frozen=freezes)], None
        while self._accept(","):
            if self._rest and self._rest[-1].kind == "number":
                size = self._size(self._next())
                break
            args.append(self.type(depth, frozen=freezes))
        if not self._accept(">"):
            raise self._wrong()
        if name == "frozen" and len(args) == 1 and size is None:
            return args[0] if args[0].name == "vector" else replace(args[0], frozen=True)
        return CqlType(name, tuple(args), size, frozen=frozen)

    def _size(self, token: Token) -> int:
        if not token.text.isdecimal() or len(token.text) > _LONGEST_SIZE:
            raise self._wrong()
        return int(token.text)

    def end(self) -> None:
        if self._rest:
            raise self._wrong()

    def _next(self) -> Token:
        if not self._rest:
            raise self._wrong()
        return self._rest.pop()

    def _accept(self, symbol: str) -> bool:
        if self._rest and self._rest[-1].kind == "symbol" and self._rest[-1].text == symbol:
            self._rest.pop()
            return True
        return False

    def _wrong(self) -> QueryError:
        shown = self._text if len(self._text) <= _LONGEST_SHOWN else f"{self._text[:_LONGEST_SHOWN]}..."
        return QueryError(f"{shown!r} is no CQL type", remedy="Write a type, such as text or map<text, int>")
