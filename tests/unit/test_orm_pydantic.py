"""What is used of pydantic without being documented: an update that changes it fails here, and nowhere else."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, field_validator

from cassorm.orm import pydantic_internals
from cassorm.orm.pydantic_internals import ModelMetaclass, fields_are_known, is_validator, slot_setters, transforms


class Plain(BaseModel):
    a: int
    b: str = "x"


def test_models_are_made_by_the_metaclass_that_ours_derives_from() -> None:
    assert type(BaseModel) is ModelMetaclass


def test_an_instance_made_by_its_slots_is_like_one_that_was_validated() -> None:
    made = object.__new__(Plain)
    for set_slot, value in zip(slot_setters(), ({"a": 1, "b": "y"}, {"a", "b"}, None, None), strict=True):
        set_slot(made, value)
    wanted = Plain(a=1, b="y")
    assert made == wanted
    assert made.model_dump_json() == wanted.model_dump_json()
    assert made.model_fields_set == wanted.model_fields_set
    assert made.model_copy(update={"a": 2}).a == 2
    assert repr(made) == repr(wanted)


def test_what_has_to_run_for_each_instance_is_told() -> None:
    class Validated(Plain):
        @field_validator("a")
        @classmethod
        def _positive(cls, value: int) -> int:
            return value

    class Private(Plain):
        _seen: int = PrivateAttr(0)

    class Open(Plain, extra="allow"):
        pass

    class Hooked(Plain):
        def model_post_init(self, context: object) -> None:
            pass

    class Made(Plain):
        def __init__(self, **values: int) -> None:
            super().__init__(**values)

    assert transforms(Plain) is None
    assert all(transforms(model) for model in (Validated, Private, Open, Hooked, Made))


def test_validators_are_told_from_constraints() -> None:
    class Both(BaseModel):
        a: Annotated[int, AfterValidator(abs), Field(ge=0)]

    assert [is_validator(part) for part in Both.model_fields["a"].metadata] == [True, False]


def test_a_class_with_an_unknown_name_is_not_complete() -> None:
    class Waiting(BaseModel):
        later: "NotYet"  # type: ignore[name-defined]  # noqa: F821 - on purpose

    assert fields_are_known(Plain)
    assert not fields_are_known(Waiting)


def test_nothing_else_of_the_package_uses_what_pydantic_does_not_document() -> None:
    folder = Path(pydantic_internals.__file__).parent
    using = [path.name for path in folder.glob("*.py") if "pydantic._internal" in path.read_text(encoding="utf-8")]
    assert using == ["pydantic_internals.py"]
