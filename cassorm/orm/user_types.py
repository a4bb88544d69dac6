"""User types as pydantic models: `class Address(Udt)`, then `Col[Address]`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from cassorm.cql.types import CqlType
from cassorm.errors import ModelError
from cassorm.orm.codec import Codec
from cassorm.schema.table import Column, UserType


class Udt(BaseModel):
    """A user type of CQL; its name is the class's in snake case, or `class Address(Udt, type_name="address")`.

    Any pydantic model may stand in a field as a user type; this base adds the name of its own. A field says by
    `col(name=...)` or `col(type=...)` what its own name and type do not.
    """

    udt_name: ClassVar[str] = ""

    def __init_subclass__(cls, *, type_name: str | None = None, **options: Any) -> None:
        if options:
            raise ModelError(
                f"{', '.join(options)}: no keyword of a user type's class",
                where=cls.__name__,
                remedy='Name the type by type_name="..."',
            )
        super().__init_subclass__()
        cls.udt_name = type_name or snake_case(cls.__name__)


def snake_case(name: str) -> str:
    """`HTTPLogEntry` as `http_log_entry`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def type_name(model: type[BaseModel]) -> str:
    """The name of the user type that `model` is."""
    return getattr(model, "udt_name", "") or snake_case(model.__name__)


class _Fields:
    """The fields of one value; the driver takes them by name, in the order of the live type."""

    def __init__(self, of: str, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
        self.__dict__["<type>"] = of

    def __getattr__(self, name: str) -> Any:
        # No AttributeError: at that the driver would write NULL, and what stood there would be lost.
        raise ValueError(
            f"the live type has a field {name!r}, which {self.__dict__['<type>']} has not; add it, with a default"
        )

    def __repr__(self) -> str:
        return repr(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Fields and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a user type: its attribute in the model, its name in CQL, its codec."""

    attribute: str
    name: str
    codec: Codec
    nullable: bool


def of_model(model: type[BaseModel], parts: Sequence[Part], *, frozen: bool) -> Codec:
    """The codec of a user type whose values are instances of `model`."""
    validate = model.__pydantic_validator__.validate_python
    names = tuple(part.name for part in parts)

    def encode(value: Any) -> Any:
        if not isinstance(value, model):
            raise TypeError(f"a {type(value).__name__} is no {model.__name__}")
        values: dict[str, Any] = {}
        for part in parts:
            given = getattr(value, part.attribute, None)
            try:
                if given is None and not part.nullable:
                    raise ValueError("None, which its type has not")
                values[part.name] = None if given is None else part.codec.encode(given)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{model.__name__}.{part.attribute}: {error}") from error
        return _Fields(model.__name__, values)

    def decode(value: Any) -> Any:
        by_name = dict(zip(getattr(value, "_fields", names), value, strict=False))
        read: dict[str, Any] = {}
        for part in parts:
            stored = by_name.get(part.name)
            found = None if stored is None and part.nullable else part.codec.decoded(stored)
            if found is not None or part.nullable:
                read[part.attribute] = found
        try:
            return validate(read, by_name=True, by_alias=False)
        except ValidationError as error:
            raise ValueError(f"no {model.__name__}: {error}") from error

    mutable = not model.model_config.get("frozen") or any(part.codec.mutable for part in parts)
    # Without a field that has a value nothing is stored of what is not frozen, as of a collection.
    empty = partial(decode, ()) if not frozen and all(part.nullable for part in parts) else None
    hashable = model.__hash__ is not None and all(part.codec.hashable for part in parts)
    return Codec(
        CqlType(type_name(model), frozen=frozen), encode, decode, empty=empty, mutable=mutable, hashable=hashable
    )


def user_type(model: type[BaseModel], parts: Sequence[Part], keyspace: str | None) -> UserType:
    """The user type as a value of the schema.

    Raises:
        SchemaError: a name is none that CQL can take, or two fields have the same one.
    """
    columns = tuple(Column(part.name, str(part.codec.cql)) for part in parts)
    return UserType(type_name(model), columns, keyspace)
