"""The base of models: a pydantic model whose fields are the columns of a table."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from pydantic import BaseModel, ConfigDict

from cassorm.cql.dialect import Profile
from cassorm.driver.consistency import Consistency
from cassorm.errors import ModelError
from cassorm.orm.expressions import Assignment, Condition, Expression
from cassorm.orm.fields import ck, col, pk
from cassorm.orm.model_plan import ModelPlan, TableOptions, make_plan, plan_of
from cassorm.orm.pydantic_internals import ModelMetaclass, fields_are_known
from cassorm.orm.query import Get, Query
from cassorm.orm.scan import Scan
from cassorm.orm.unique_rules import check_delete, check_update
from cassorm.orm.user_types import snake_case
from cassorm.orm.writes import Delete, Update
from cassorm.schema.table import Table, View


@dataclass_transform(kw_only_default=True, field_specifiers=(pk, ck, col))
class ModelMeta(ModelMetaclass):
    """Makes models of classes, and gives their fields as expressions."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        keyspace: str | None = None,
        table: str | None = None,
        options: Mapping[str, object] | None = None,
        ttl: timedelta | int | None = None,
        comment: str = "",
        profile: Profile | None = None,
        lwt_only: bool = False,
        views: Sequence[View] = (),
        unique: Sequence[str | Sequence[str]] = (),
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
        abstract: bool = False,
        **config: Any,
    ) -> Any:
        """The class; `abstract` ones have no table and are bases of others; `unique` names fields, or groups of them.

        `consistency`, `serial_consistency` and `timeout` are for what says nothing else; with `idempotent` its writes
        are sent again when a node fails, but for those that cannot be repeated.
        """
        _check_names(name, bases, namespace)
        try:
            cls: Any = super().__new__(mcs, name, bases, namespace, **config)
        except TypeError as error:
            if not config or "keyword argument" not in str(error):
                raise
            raise ModelError(
                f"{', '.join(config)}: no keyword of a model's class",
                where=name,
                remedy="Use those that docs/how-to/models.md lists, or a setting of pydantic's; table options go "
                "into options={...}",
            ) from error
        generic = cls.__pydantic_generic_metadata__
        if generic["origin"] is not None and getattr(generic["origin"], "__cassorm_options__", None) is None:
            abstract = True
        if not bases or bases == (BaseModel,) or abstract:
            cls.__cassorm_options__ = None
            return cls
        sending = {
            "consistency": consistency,
            "serial_consistency": serial_consistency,
            "timeout": timeout,
            "idempotent": idempotent,
        }
        said = TableOptions(
            keyspace, table or snake_case(name), options or {}, ttl, comment, profile, lwt_only, views, unique, sending
        )
        cls.__cassorm_options__ = said
        # A name that is declared further down is looked up when the class is first used.
        if fields_are_known(cls):
            make_plan(cls, said)
        return cls

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:  # noqa: N805 - of a metaclass
            plan = cls.__dict__.get("__cassorm_plan__")
            if plan is not None and name in plan.expressions:
                return plan.expressions[name]
            if not name.startswith("_") and name in cls.__dict__.get("__pydantic_fields__", ()):
                if cls.__dict__.get("__cassorm_options__") is None:
                    # An AttributeError: pydantic asks in this way whether a base has the name as well.
                    raise AttributeError(f"{cls.__name__} has no table: use {name} of a model derived from it")
                return plan_of(cls).expressions[name]
            return super().__getattr__(name)


def _check_names(model: str, bases: tuple[type[Any], ...], namespace: Mapping[str, Any]) -> None:
    if not any(isinstance(base, ModelMeta) for base in bases):
        return
    for name in namespace.get("__annotations__", {}):
        if name in RESERVED_NAMES or name.startswith("model_"):
            raise ModelError(
                f"the name {name} is taken by the model's own methods",
                where=f"{model}.{name}",
                remedy=f'Write `{name}_: ... = col(name="{name}")`',
            )


class Model(BaseModel, metaclass=ModelMeta):
    """A table as a class, a row as an instance.

    ```python
    class Reading(Model, keyspace="app", table="readings"):
        org: PK[UUID]
        ts: CK[datetime] = ck(order="desc")
        kind: Col[str] = col(index=SAI())
    ```

    Raises:
        ModelError: when the class is made, and something in it cannot be a column; the error says what to write.
    """

    __slots__ = ("_row",)

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    __cassorm_options__: ClassVar[TableOptions | None]

    @classmethod
    def get(cls, *key: object, **named: object) -> Get[Self]:
        """The row of a primary key, or None, once awaited; values in the order of the key, or by name.

        Raises:
            QueryError: a part of the key is missing or does not fit.
        """
        plan = plan_of(cls)
        return Get(plan, tuple(plan.key_of(key, named)))

    @classmethod
    def where(cls, *conditions: Condition) -> Query[Self]:
        """The rows for which all `conditions` hold, as a query that is still to be run.

        Raises:
            QueryError: something is no condition on this model, or none that a query can have.
        """
        return Query.of(plan_of(cls), conditions)

    @classmethod
    def scan(cls, *, parallel: int = 8, page_size: int = 5000, resume: str | None = None) -> Scan[Self]:
        """Every row of the table, in no order, from `parallel` ranges at once; `resume` is a `Scan.checkpoint()`.

        Raises:
            QueryError: a number is out of range, or the checkpoint is another table's.
        """
        return Scan(plan_of(cls), parallel=parallel, page_size=page_size, resume=resume)

    @classmethod
    def update(cls, *assignments: Assignment) -> Update[Self]:
        """A change of the rows that `where` will name, run when it is awaited.

        Raises:
            QueryError: something is no assignment to a column that can be changed, or to a unique one.
        """
        plan = plan_of(cls)
        check_update(plan, assignments)
        return Update.of(plan, assignments)

    @classmethod
    def delete(cls, *columns: Expression[Any]) -> Delete[Self]:
        """A deletion of the rows that `where` will name, or of `columns` in them, run when it is awaited.

        Raises:
            QueryError: a column belongs to the key; or a unique value would go, which `db.delete` takes along.
        """
        plan = plan_of(cls)
        made: Delete[Self] = Delete.of(plan, columns)
        check_delete(plan, made.columns)
        return made

    def __copy__(self) -> Self:
        """A copy that remembers what was read, so that saving it writes what differs."""
        made = super().__copy__()
        remember(made, stored_row(self))
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A deep copy that remembers what was read."""
        made = super().__deepcopy__(memo)
        remember(made, stored_row(self))
        return made

    def __getstate__(self) -> dict[Any, Any]:
        """For pickle: with what was read, so that whoever unpickles it saves what differs."""
        state, row = super().__getstate__(), stored_row(self)
        return state if row is None else state | {"_row": plan_of(type(self)).saved(row)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        row = state.pop("_row", None)
        super().__setstate__(state)
        remember(self, row)


def table_of(model: type[Model]) -> Table:
    """The model's table as a value: what DDL, comparisons and files read.

    Raises:
        ModelError: the class is abstract.
    """
    return plan_of(model).table


def stored_row(instance: Model) -> tuple[Any, ...] | None:
    """What the instance held when it was read or written last; None when it never was."""
    found: tuple[Any, ...] | None = getattr(instance, "_row", None)
    return found


def remember(instance: Model, row: tuple[Any, ...] | None) -> None:
    """Keep `row` as what stands in the table for `instance`."""
    object.__setattr__(instance, "_row", row)


RESERVED_NAMES = frozenset(name for name in dir(Model) if not name.startswith("_"))
"""What no field can be called, as the model has a method of that name."""

__all__ = ["RESERVED_NAMES", "Model", "ModelMeta", "ModelPlan", "remember", "stored_row", "table_of"]
