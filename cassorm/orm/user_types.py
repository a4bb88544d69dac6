"""User types as pydantic models: `class Address(Udt)`, then `Col[Address]`."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError

from cassorm.cql.types import CqlType
from cassorm.orm.codec import Codec
from cassorm.schema.table import Column, UserType


class Udt(BaseModel):
    """A user type of CQL; its name is the class's in snake case, or `class Address(Udt, type_name="address")`.

    Any pydantic model may stand in a field as a user type; this base adds the name of its own.
    """

    udt_name: ClassVar[str] = ""

    def __init_subclass__(cls, *, type_name: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
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
        raise ValueError(f"the live type has a field {name!r}, which {self.__dict__['<type>']} has not")


def of_model(model: type[BaseModel], fields: Mapping[str, Codec], nullable: frozenset[str], *, frozen: bool) -> Codec:
    """The codec of a user type whose values are instances of `model`."""
    validate = model.__pydantic_validator__.validate_python
    names = tuple(fields)

    def encode(value: Any) -> Any:
        if not isinstance(value, model):
            raise TypeError(f"a {type(value).__name__} is no {model.__name__}")
        values: dict[str, Any] = {}
        for name, codec in fields.items():
            given = getattr(value, name)
            try:
                if given is None and name not in nullable:
                    raise ValueError("None, which its type has not")
                values[name] = None if given is None else codec.encode(given)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{model.__name__}.{name}: {error}") from error
        return _Fields(model.__name__, values)

    def decode(value: Any) -> Any:
        found = getattr(value, "_fields", names)
        # Names that Python cannot use come numbered; then the order of the declaration has to do.
        by_name = dict(zip(found if set(found) & set(names) else names, value, strict=False))
        read: dict[str, Any] = {}
        for name, codec in fields.items():
            part = codec.decoded(by_name.get(name))
            if part is not None or name in nullable:
                read[name] = part
        try:
            return validate(read, by_name=True, by_alias=False)
        except ValidationError as error:
            raise ValueError(f"no {model.__name__}: {error}") from error

    return Codec(CqlType(type_name(model), frozen=frozen), encode, decode)


def user_type(model: type[BaseModel], fields: Mapping[str, Codec], keyspace: str | None) -> UserType:
    """The user type as a value of the schema."""
    columns = tuple(Column(name, str(codec.cql)) for name, codec in fields.items())
    return UserType(type_name(model), columns, keyspace)
