"""The catalog: name and schema version -> event class; and what a class may hold."""

import typing
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema
from typing_extensions import TypeAliasType

from cassorm.errors import CatalogError

T = TypeVar("T", bound=BaseModel)


class Catalog(Generic[T]):
    """Event classes by name and schema version."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, int], type[T]] = {}

    def add(self, name: str, schema_version: int, cls: type[T]) -> None:
        """Enter `cls`; a class defined again at the same place (a reload, a notebook cell) replaces its old self.

        Raises:
            CatalogError: another class has this name and schema version.
        """
        other = self._classes.get((name, schema_version))
        if other is not None and _place(other) != _place(cls):
            raise CatalogError(
                f"is event {name!r} in schema version {schema_version}, and so is {_place(other)}",
                where=_place(cls),
                remedy="Give one of them another name=... or the next schema_version=...",
            )
        self._classes[name, schema_version] = cls

    def find(self, name: str, schema_version: int) -> type[T]:
        """Return the class of an event that was stored.

        Raises:
            CatalogError: nobody defined or imported such a class.
        """
        try:
            return self._classes[name, schema_version]
        except KeyError:
            known = sorted(version for other, version in self._classes if other == name)
            problem = (
                f"is known in schema version {', '.join(map(str, known))}, not in {schema_version}"
                if known
                else "is not known"
            )
            raise CatalogError(
                problem,
                where=f"event type {name!r}, schema version {schema_version}",
                remedy="Import the module that defines it before reading",
            ) from None

    def __iter__(self) -> Iterator[type[T]]:
        return iter(self._classes.values())

    def __len__(self) -> int:
        return len(self._classes)


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def check_fields(cls: type[BaseModel]) -> None:
    """Refuse an event class with a field that cannot come back equal from JSON, as far as its types tell.

    What only a value tells (a tuple under `Any`) is refused by the append, before anything is sent.

    Raises:
        CatalogError: names the field and what to use instead.
    """
    if cls.__private_attributes__:
        _refuse(cls, next(iter(cls.__private_attributes__)), "is private and would not be stored", "Make it a field")
    for name, field in cls.model_fields.items():
        if field.exclude:
            _refuse(cls, name, "is excluded and would not be stored", "Remove exclude=True")
        _check_type(cls, name, field.annotation, seen=set())
    if not cls.__pydantic_complete__:
        return  # a forward reference: the append still checks each value
    try:
        cls.model_json_schema(mode="validation")
    except PydanticInvalidForJsonSchema as error:
        raise CatalogError(
            f"a field has no JSON form ({error.message.splitlines()[0]})",
            where=cls.__qualname__,
            remedy="Use a type that JSON can hold, or store a reference to it",
        ) from error


def _check_type(cls: type, name: str, annotation: Any, seen: set[Any]) -> None:
    if isinstance(annotation, TypeAliasType):
        annotation = annotation.__value__
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return
    for argument in arguments:
        _check_type(cls, name, argument, seen)
    if annotation in (SecretStr, SecretBytes):
        _refuse(cls, name, "is a secret: JSON would hold only its stars", "Store the secret elsewhere and refer to it")
    if typing.get_origin(annotation) is Callable or annotation is Callable:
        _refuse(cls, name, "is a callable, which JSON cannot hold", "Store a name that tells which one")
    if not (isinstance(annotation, type) and not arguments and issubclass(annotation, BaseModel)):
        return
    if annotation in seen:
        return
    seen.add(annotation)
    for inner, field in annotation.model_fields.items():
        path = f"{name}.{inner}"
        if field.exclude:
            _refuse(cls, path, "is excluded and would not be stored", "Remove exclude=True")
        if _holds_bytes(field.annotation) and annotation.model_config.get("val_json_bytes") != "base64":
            _refuse(
                cls,
                path,
                "holds bytes, which come back only from a model whose JSON bytes are base64",
                f"Derive {annotation.__name__} from cassorm.Value",
            )
        _check_type(cls, path, field.annotation, seen)


def _holds_bytes(annotation: Any) -> bool:
    return annotation in (bytes, bytearray) or any(_holds_bytes(argument) for argument in typing.get_args(annotation))


def _refuse(cls: type, field: str, problem: str, remedy: str) -> None:
    raise CatalogError(problem, where=f"{cls.__qualname__}.{field}", remedy=remedy)
