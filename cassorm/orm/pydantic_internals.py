"""The one place that uses what pydantic does not document; tests/unit/test_orm_pydantic.py pins each of it."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.functional_validators import AfterValidator, BeforeValidator, PlainValidator, WrapValidator

__all__ = ["ModelMetaclass", "fields_are_known", "is_validator", "slot_setters", "transforms"]

_SLOTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_VALIDATORS = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator)
_DECORATORS = ("validators", "field_validators", "root_validators", "model_validators")


def slot_setters() -> tuple[Callable[[Any, Any], None], ...]:
    """What sets an instance's values, set of given fields, extras and private attributes, past all validation."""
    return tuple(BaseModel.__dict__[name].__set__ for name in _SLOTS)


def fields_are_known(model: type[BaseModel]) -> bool:
    """Whether all annotations of the class could be resolved."""
    return bool(getattr(model, "__pydantic_fields_complete__", False))


def transforms(model: type[BaseModel]) -> str | None:
    """What of the class has to run for each new instance, so that rows cannot become instances without it."""
    decorators = model.__pydantic_decorators__
    for kind in _DECORATORS:
        if getattr(decorators, kind):
            return kind.replace("_", " ")
    if model.__private_attributes__:
        return "private attributes"
    if model.model_config.get("extra") == "allow":
        return "extra fields"
    if model.__pydantic_custom_init__:
        return "an __init__ of its own"
    if model.__pydantic_post_init__:
        return "model_post_init"
    return None


def is_validator(metadata: object) -> bool:
    """Whether this part of an `Annotated` may change the value."""
    return isinstance(metadata, _VALIDATORS)
