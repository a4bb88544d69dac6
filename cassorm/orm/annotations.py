"""From the annotation of a field to its codec, and from a CQL type to the annotation that fits it."""

import types
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    EmailStr,
    FutureDate,
    FutureDatetime,
    IPvAnyAddress,
    PastDate,
    PastDatetime,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from cassorm.cql.types import CqlType, parse_type
from cassorm.errors import CassormError, ModelError
from cassorm.orm import codec as codecs
from cassorm.orm import values
from cassorm.orm.codec import Codec
from cassorm.orm.markers import CqlName, Freeze, Marker, Options
from cassorm.orm.user_types import Part, of_model, user_type
from cassorm.schema.table import UserType

_CONTAINERS: dict[Any, tuple[str, Any, tuple[type, ...]]] = {
    list: ("list", list, (list, tuple)),
    set: ("set", set, (set, frozenset)),
    frozenset: ("set", frozenset, (frozenset, set)),
}

# What pydantic checks more of than the type of the value.
_PYDANTIC: dict[type, type] = {
    AwareDatetime: datetime,
    EmailStr: str,
    FutureDate: date,
    FutureDatetime: datetime,
    PastDate: date,
    PastDatetime: datetime,
}

_ANNOTATIONS: dict[str, Any] = {
    "ascii": values.Ascii,
    "bigint": int,
    "blob": bytes,
    "boolean": bool,
    "counter": int,
    "date": date,
    "decimal": Decimal,
    "double": float,
    "duration": values.Duration,
    "float": values.Float32,
    "inet": IPv4Address | IPv6Address,
    "int": values.Int,
    "smallint": values.SmallInt,
    "text": str,
    "time": time,
    "timestamp": datetime,
    "timeuuid": values.TimeUUID,
    "tinyint": values.TinyInt,
    "uuid": UUID,
    "varint": values.VarInt,
}


def optional(annotation: Any) -> tuple[Any, bool]:
    """The annotation without None, and whether None was one of its types."""
    plain, metadata = _unwrapped(annotation)
    if get_origin(plain) in (Union, types.UnionType):
        present = [arg for arg in get_args(plain) if arg is not type(None)]
        if len(present) < len(get_args(plain)):
            inner: Any = Union.__getitem__(tuple(present))
            return (Annotated[(inner, *metadata)] if metadata else inner), True
    return annotation, False


def annotation_of(cql: CqlType, models: Mapping[str, type[BaseModel]], *, hashable: bool = False) -> Any:
    """The annotation of values of `cql`; `models` are those of the user types by name.

    `hashable` is for what stands in a set or is a key: tuples for lists, frozen sets.

    Raises:
        ModelError: a type that is a class of the server, a user type without a model, a map where none can be hashed.
    """
    if cql.is_native:
        return _ANNOTATIONS[cql.name]
    if cql.is_user_type and cql.name in models:
        return models[cql.name]
    inside = [hashable or cql.name == "set" or (cql.name == "map" and at == 0) for at in range(len(cql.args))]
    inner = tuple(annotation_of(arg, models, hashable=each) for arg, each in zip(cql.args, inside, strict=True))
    match cql.name:
        case "vector":
            vector = values.Vector(cql.size or 1, cql.args[0].name)
            return Annotated[list[inner[0]], vector]  # type: ignore[valid-type]  # at run time
        case "list":
            return tuple[inner[0], ...] if hashable else list[inner[0]]  # type: ignore[valid-type]
        case "set":
            return frozenset[inner[0]] if cql.frozen else set[inner[0]]  # type: ignore[valid-type]
        case "map" if not hashable:
            return dict[inner[0], inner[1]]  # type: ignore[valid-type]
        case "tuple":
            parts = tuple(part | None for part in inner)
            return tuple[parts]  # type: ignore[valid-type]
    raise ModelError(f"no Python type is that of {cql}", remedy="Use a CQL type, or declare the user type")


class CodecReader:
    """Makes the codecs of one model, and gathers the user types that it uses, each after those it holds."""

    def __init__(self, keyspace: str | None) -> None:
        self.user_types: dict[str, UserType] = {}
        self._keyspace = keyspace
        self._open: list[type[BaseModel]] = []

    def codec(
        self, annotation: Any, wanted: CqlType | None = None, *, frozen: bool = False, truncate: bool = False
    ) -> Codec:
        """The codec of `annotation`, as the CQL type `wanted` where one is named.

        Raises:
            ModelError: no CQL type holds such values, or `wanted` does not.
        """
        plain, metadata = _unwrapped(annotation)
        for part in metadata:
            if isinstance(part, CqlName):
                wanted = _agreed(parse_type(part.text), wanted)
            if isinstance(part, values.Vector):
                wanted = _agreed(parse_type(f"vector<{part.part}, {part.size}>"), wanted)
            frozen = frozen or isinstance(part, Freeze)
        if plain is Any and wanted is not None:
            return self.codec(annotation_of(wanted, {}), wanted, frozen=frozen, truncate=truncate)
        made = self._made(plain, wanted, frozen=frozen or (wanted is not None and wanted.frozen), truncate=truncate)
        if wanted is not None and replace(made.cql, frozen=False) != replace(wanted, frozen=False):
            raise ModelError(f"{shown(annotation)} does not fit {wanted}", remedy=f"Its own type is {made.cql}")
        return made

    def _made(self, plain: Any, wanted: CqlType | None, *, frozen: bool, truncate: bool) -> Codec:
        origin, args = get_origin(plain), get_args(plain)
        if wanted is not None and wanted.name == "vector":
            return self._vector(plain, wanted)
        if origin in (Union, types.UnionType):
            if set(args) <= {IPv4Address, IPv6Address}:
                return codecs.ADDRESS
            raise ModelError(f"{shown(plain)} has several types", remedy="Give the column one type, or one and None")
        if origin is Literal:
            kinds = {type(arg) for arg in args}
            if len(kinds) == 1:
                return self.codec(kinds.pop(), wanted)
        plain = _PYDANTIC.get(plain, plain) if isinstance(plain, type) else plain
        if plain is IPvAnyAddress:
            return codecs.ADDRESS
        if plain is datetime:
            return codecs.timestamp(truncate=truncate)
        if plain in codecs.NATIVE:
            return _native(plain, wanted)
        if isinstance(plain, type) and issubclass(plain, Enum):
            return self._enum(plain, wanted)
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            return self._user_type(plain, frozen=frozen or wanted is None)
        return self._container(plain, wanted, frozen=frozen, truncate=truncate)

    def _container(self, plain: Any, wanted: CqlType | None, *, frozen: bool, truncate: bool) -> Codec:
        origin, args = get_origin(plain), get_args(plain)
        if origin is tuple and args[-1:] == (Ellipsis,):
            return self._sequence("list", tuple, (tuple,), args[:1], wanted, frozen=frozen, truncate=truncate)
        if origin in _CONTAINERS:
            name, make, kinds_ = _CONTAINERS[origin]
            return self._sequence(name, make, kinds_, args, wanted, frozen=frozen, truncate=truncate)
        if origin is dict:
            return self._map(args, wanted, frozen=frozen, truncate=truncate)
        if origin is tuple:
            inner = _inner(wanted, "tuple", len(args))
            parts = tuple(
                self.codec(optional(arg)[0], each, frozen=True, truncate=truncate)
                for arg, each in zip(args, inner, strict=True)
            )
            return codecs.of_tuple(CqlType("tuple", tuple(part.cql for part in parts)), parts)
        raise ModelError(f"no CQL type is that of {shown(plain)}", remedy=_remedy(plain))

    def _enum(self, members: type[Enum], wanted: CqlType | None) -> Codec:
        kinds = {type(member.value) for member in members}
        if len(kinds) != 1:
            raise ModelError(f"{shown(members)} has values of several types", remedy="Give its members values of one")
        return codecs.of_enum(members, self.codec(kinds.pop(), wanted))

    def _sequence(
        self,
        name: str,
        make: Any,
        kinds: tuple[type, ...],
        args: tuple[Any, ...],
        wanted: CqlType | None,
        *,
        frozen: bool,
        truncate: bool,
    ) -> Codec:
        item = self._item(args[0], _inner(wanted, name, 1)[0], truncate=truncate)
        if name == "set":
            _check_hashable(args[0], item, "a set")
        return codecs.of_sequence(CqlType(name, (item.cql,), frozen=frozen), item, make, kinds)

    def _map(self, args: tuple[Any, ...], wanted: CqlType | None, *, frozen: bool, truncate: bool) -> Codec:
        inner = _inner(wanted, "map", 2)
        key = self._item(args[0], inner[0], truncate=False)
        _check_hashable(args[0], key, "the keys of a dict")
        value = self._item(args[1], inner[1], truncate=truncate)
        return codecs.of_map(CqlType("map", (key.cql, value.cql), frozen=frozen), key, value)

    def _item(self, annotation: Any, wanted: CqlType | None, *, truncate: bool) -> Codec:
        plain, nullable = optional(annotation)
        if nullable:
            raise ModelError(
                f"a collection of {shown(annotation)}", remedy=f"CQL keeps no NULL in collections: use {shown(plain)}"
            )
        return self.codec(annotation, wanted, frozen=True, truncate=truncate)

    def _vector(self, plain: Any, wanted: CqlType) -> Codec:
        # The driver reads the parts of a vector by types of its own, which agree with ours for numbers alone.
        if get_origin(plain) is not list:
            raise ModelError(f"a vector of {shown(plain)}", remedy="Annotate it as list[float]")
        item = self._item(get_args(plain)[0], wanted.args[0], truncate=False)
        if item.cql.name not in values.VECTOR_PARTS:
            raise ModelError(
                f"a vector of {item.cql}", remedy=f"Use one of {', '.join(values.VECTOR_PARTS)}, or a list"
            )
        return codecs.of_sequence(wanted, item, list, (list, tuple))

    def _user_type(self, model: type[BaseModel], *, frozen: bool) -> Codec:
        if model in self._open:
            raise ModelError(f"{shown(model)} holds itself", remedy="Break the circle: a user type cannot")
        self._open.append(model)
        parts = [self._part(model, attribute, info) for attribute, info in model.model_fields.items()]
        self._open.pop()
        made = user_type(model, parts, self._keyspace)
        if self.user_types.setdefault(made.name, made) != made:
            raise ModelError(f"two classes are the user type {made.name}", remedy="Give one of them another type_name=")
        return of_model(model, parts, frozen=frozen)

    def _part(self, model: type[BaseModel], attribute: str, info: FieldInfo) -> Part:
        where = f"{model.__name__}.{attribute}: "
        marker, options = said_of(info, f"{model.__name__}.{attribute}")
        if (marker is not None and marker.kind != "regular") or options.index or options.order:
            what = repr(marker) if marker is not None and marker.kind != "regular" else "index= or order="
            raise ModelError(f"{where}{what} in a user type", remedy="Keys, counters and indexes are the table's")
        plain, nullable = optional(annotation_in(info))
        wanted = parse_type(options.type) if options.type else None
        try:
            # A type that may be used unfrozen holds nothing unfrozen itself, unless its field says so.
            frozen = wanted is None or wanted.frozen
            codec = self.codec(plain, wanted, frozen=frozen, truncate=options.truncate)
        except CassormError as error:
            raise ModelError(f"{where}{error.problem}", remedy=error.remedy) from error
        return Part(attribute, options.name or attribute, codec, nullable)


def annotation_in(info: FieldInfo) -> Any:
    """The whole annotation of a field."""
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


def said_of(info: FieldInfo, where: str) -> tuple[Marker | None, Options]:
    """The marker in the annotation of a field, and all that it says about its column.

    Raises:
        ModelError: it has several markers.
    """
    markers = [part for part in info.metadata if isinstance(part, Marker)]
    markers += [part() for part in info.metadata if isinstance(part, type) and issubclass(part, Marker)]
    if len(markers) > 1:
        raise ModelError(f"is {' and '.join(map(repr, markers))}", where=where, remedy="Keep one of them")
    said = [each.options for each in markers] + [part for part in info.metadata if isinstance(part, Options)]
    merged: dict[str, Any] = {}
    for options in said:
        for name in Options.__dataclass_fields__:
            value = getattr(options, name)
            if value is not None and value is not False:
                merged[name] = value
    return (markers[0] if markers else None), Options(**merged)


def shown(annotation: Any) -> str:
    """The annotation as its author wrote it, more or less."""
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    metadata: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, metadata = annotation.__origin__, (*annotation.__metadata__, *metadata)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif _is_alias(annotation):
            annotation = annotation.__value__
        elif _is_alias(get_origin(annotation)):
            annotation = get_origin(annotation).__value__[get_args(annotation)]
        else:
            return annotation, metadata


def _is_alias(annotation: Any) -> bool:
    # The class of `type X = ...` is another one where the language has the statement.
    return isinstance(annotation, TypeAliasType) or type(annotation).__name__ == "TypeAliasType"


def _native(kind: type, wanted: CqlType | None) -> Codec:
    known = codecs.NATIVE[kind]
    if wanted is None:
        return next(iter(known.values()))
    if wanted.name not in known:
        raise ModelError(f"{shown(kind)} does not fit {wanted}", remedy=f"For a {shown(kind)} use {', '.join(known)}")
    return known[wanted.name]


def _inner(wanted: CqlType | None, name: str, count: int) -> tuple[CqlType | None, ...]:
    if wanted is None:
        return (None,) * count
    if wanted.name != name or len(wanted.args) != count:
        raise ModelError(f"a {name} does not fit {wanted}", remedy="Change the annotation, or `type=`")
    return wanted.args


def _check_hashable(annotation: Any, codec: Codec, holder: str) -> None:
    if not codec.hashable:
        raise ModelError(
            f"{shown(annotation)} in {holder}, where Python can have none",
            remedy="Use tuple[..., ...] for a list, frozenset for a set, a model with frozen=True; a dict has no such form",
        )


def _agreed(own: CqlType, wanted: CqlType | None) -> CqlType:
    if wanted not in (None, own):
        raise ModelError(
            f"an annotation that says {own} does not fit {wanted}", remedy="Say it once: there, or by type="
        )
    return own


def _remedy(plain: Any) -> str:
    if getattr(plain, "__name__", "") == "timedelta":
        return "Use Duration, or an int with its unit in the name"
    if plain in (list, set, dict, tuple, frozenset):
        return f"Say of what, as in {plain.__name__}[{'str, int' if plain is dict else 'str'}]"
    if plain is Any:
        return 'Name the CQL type: col(type="...")'
    return "Use a type listed in docs/reference/types.md, or a pydantic model as a user type"
