"""Which methods of a model are hooks, in which order they run, and what is refused."""

from typing import Any

import pytest

from cassorm.errors import ModelError
from cassorm.orm.fields import PK, Col, col
from cassorm.orm.hooks import after_save, before_delete, before_save, run_hooks
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of


class Base(Model, abstract=True):
    id: PK[int]
    seen: Col[list[str]] = col(default_factory=list)

    @before_save
    def first(self) -> None:
        self.seen.append("first")

    @before_save
    @before_delete
    async def _both(self, db: object) -> None:
        self.seen.append(f"both {db}")


class Mixin:
    @before_save
    def mixed(self: Any) -> None:
        self.seen.append("mixed")


class Derived(Base, Mixin):
    @before_save
    def last(self) -> None:
        self.seen.append("last")

    def first(self) -> None:
        self.seen.append("replaced")


async def test_hooks_of_bases_run_first_and_one_of_the_same_name_replaces_them() -> None:
    hooks = plan_of(Derived).hooks
    assert hooks is not None
    made = Derived(id=1)
    await run_hooks(hooks.before_save, made, "db")
    assert made.seen == ["mixed", "replaced", "both db", "last"]
    await run_hooks(hooks.before_delete, made, "db")
    assert made.seen[-1] == "both db"
    assert (hooks.after_save, hooks.after_delete) == ((), ())


def test_a_model_without_hooks_has_none_to_look_at() -> None:
    class Plain(Model):
        id: PK[int]

    assert plan_of(Plain).hooks is None


def test_what_is_no_method_of_an_instance_is_refused_with_what_to_write() -> None:
    with pytest.raises(ModelError, match=r"Write @after_save directly above `def"):
        after_save(classmethod(lambda cls: None))  # type: ignore[type-var]

    with pytest.raises(ModelError, match=r"Wrong.hook: is a hook with 3 parameters. Take `self`, or"):

        class Wrong(Model):
            id: PK[int]

            @before_save
            def hook(self, one: int, two: int) -> None: ...

    with pytest.raises(ModelError, match=r"Named.first: is a hook, and no method"):

        class Named(Base):
            @staticmethod
            def first() -> None: ...
