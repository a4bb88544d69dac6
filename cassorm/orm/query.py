"""Queries as values: built and checked first, run when they are iterated over or awaited."""

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from cassorm.driver.consistency import Consistency
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.errors import QueryError, RowCountError
from cassorm.orm.context import current_keyspace, session_for
from cassorm.orm.expressions import Aggregate, Condition, Expression, Ordering
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.hydration import Hydrate, make_hydrate
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.page_tokens import Page, open_token, sealed_token
from cassorm.orm.query_rules import check_conditions, check_order, check_read

M = TypeVar("M")
N = TypeVar("N", bound=BaseModel)

# What servers take for one search.
_MOST_NEAR = 1000


@dataclass(frozen=True, slots=True)
class Get(Generic[M]):
    """The row of one primary key; await it for an instance or None."""

    plan: ModelPlan
    key: tuple[Any, ...]
    session: Session | None = None
    consistency: Consistency | None = None
    timeout: timedelta | None = None

    def using(
        self, session: Session, *, consistency: Consistency | None = None, timeout: timedelta | None = None
    ) -> "Get[M]":
        """The same, on this session."""
        return replace(self, session=session, consistency=consistency, timeout=timeout)

    def __await__(self) -> Generator[Any, None, M | None]:
        return self._run().__await__()

    async def _run(self) -> M | None:
        plan = self.plan
        session = session_for(self.session, plan.where)
        text = get_text(plan, current_keyspace.get())
        prepared = await session.prepare(text)
        result = await session.execute(prepared, self.key, consistency=self.consistency, timeout=self.timeout)
        found = plan.hydrate(result.rows)
        return found[0] if found else None


def get_text(plan: ModelPlan, keyspace: str | None) -> str:
    """The SELECT of one row by its key."""

    def make() -> str:
        key = " AND ".join(f"{each.quoted} = ?" for each in plan.key)
        return f"SELECT {plan.columns_text} FROM {plan.target(keyspace)} WHERE {key}"  # noqa: S608 - quoted

    return plan.text("get", keyspace, make)


@dataclass(frozen=True, slots=True)
class Query(Generic[M]):
    """Rows of a model: every method gives another query; iterating, or a method that is awaited, runs it."""

    plan: ModelPlan
    columns: str
    hydrate: Hydrate
    conditions: tuple[Condition, ...] = ()
    orderings: tuple[Ordering, ...] = ()
    groups: tuple[str, ...] = ()
    most: int | None = None
    most_per_partition: int | None = None
    filtering: bool = False
    near: tuple[FieldPlan, Any] | None = None
    session: Session | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(plan: ModelPlan) -> "Query[Any]":
        """All columns of the model, with no conditions yet."""
        return Query(plan, plan.columns_text, plan.hydrate)

    # -- building ------------------------------------------------------------------------------------------------

    def where(self, *conditions: Condition) -> "Query[M]":
        """Only rows for which these hold as well.

        Raises:
            QueryError: something is no condition on this model, or none that a query can have.
        """
        check_conditions(self.plan, conditions)
        return replace(self, conditions=(*self.conditions, *conditions))

    def order_by(self, *orders: Ordering) -> "Query[M]":
        """In this order, which has to be that of the clustering columns, or its reverse.

        Raises:
            QueryError: when it runs: rows cannot be given in that order.
        """
        for order in orders:
            if not isinstance(order, Ordering):
                raise QueryError(f"{order!r} is no order", where=self.plan.where, remedy="Write Model.field.desc()")
        return replace(self, orderings=(*self.orderings, *orders))

    def limit(self, most: int) -> "Query[M]":
        """At most this many rows.

        Raises:
            QueryError: it is no number above zero.
        """
        return replace(self, most=_positive(most, "limit", self.plan))

    def per_partition_limit(self, most: int) -> "Query[M]":
        """At most this many rows of each partition.

        Raises:
            QueryError: it is no number above zero.
        """
        return replace(self, most_per_partition=_positive(most, "per-partition limit", self.plan))

    def nearest(self, column: Expression[list[float]], to: Sequence[float]) -> "Query[M]":
        """The rows whose vectors are nearest to `to`, the nearest first; needs `limit()` and an index on the column.

        Raises:
            QueryError: the column is no vector with a storage-attached index, or `to` is none of its size.
        """
        found = column.field
        if found.codec.cql.name != "vector" or not any(
            index.column == found.column and index.kind in (None, "sai") for index in self.plan.table.indexes
        ):
            raise QueryError("is no vector with an index", where=found.where, remedy="Declare it with col(index=SAI())")
        return replace(self, near=(found, found.encode(to)))

    def allow_filtering(self) -> "Query[M]":
        """Let the server read rows that it does not return: as slow as all that it reads."""
        return replace(self, filtering=True)

    def using(
        self,
        session: Session | None = None,
        *,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        page_size: int | None = None,
    ) -> "Query[M]":
        """The same, on this session, with these options."""
        given = {"consistency": consistency, "timeout": timeout, "page_size": page_size}
        options = self.options | {name: value for name, value in given.items() if value is not None}
        return replace(self, session=session or self.session, options=options)

    def into(self, model: type[N]) -> "Query[N]":
        """The rows as instances of another model, which has some of the fields, by name; no other column is read.

        Raises:
            QueryError: it has a field that this model has not.
        """
        unknown = [name for name in model.model_fields if name not in self.plan.by_attribute]
        if unknown or not model.model_fields:
            raise QueryError(
                f"{model.__name__} has {', '.join(unknown) or 'no fields'}",
                where=self.plan.where,
                remedy=f"Use fields of {', '.join(self.plan.by_attribute)}",
            )
        fields = [self.plan.by_attribute[name] for name in model.model_fields]
        columns = ", ".join(each.quoted for each in fields)
        return replace(self, columns=columns, hydrate=make_hydrate(model, fields))  # type: ignore[return-value]

    def values(self, *columns: Expression[Any] | Aggregate) -> "Query[tuple[Any, ...]]":
        """The rows as tuples of these columns, or of functions over them.

        Raises:
            QueryError: something is neither.
        """
        decoders: list[Callable[[Any], Any] | None] = []
        texts = []
        for column in columns:
            if isinstance(column, Aggregate):
                texts.append(column.text)
                decoders.append(column.decode)
            elif isinstance(column, Expression) and column.field in self.plan.fields:
                texts.append(column.field.quoted)
                decoders.append(column.field.codec.decoded)
            else:
                raise QueryError(f"{column!r} is no column", where=self.plan.where, remedy="Give fields of the model")
        if not texts:
            raise QueryError("values() of nothing", where=self.plan.where, remedy="Name at least one field")

        def hydrate(rows: Sequence[tuple[Any, ...]]) -> list[Any]:
            return [
                tuple(value if to is None else to(value) for to, value in zip(decoders, row, strict=True))
                for row in rows
            ]

        return replace(self, columns=", ".join(texts), hydrate=hydrate)  # type: ignore[return-value]

    def group_by(self, *columns: Expression[Any]) -> "Query[M]":
        """One row for each group of rows that agree in these columns: the first of the key, in its order.

        Raises:
            QueryError: they are not.
        """
        names = [column.field for column in columns]
        if names != list(self.plan.key[: len(names)]):
            shown = ", ".join(each.attribute for each in self.plan.key)
            raise QueryError(
                "groups by other than the key", where=self.plan.where, remedy=f"Group by {shown}, in order"
            )
        return replace(self, groups=tuple(each.quoted for each in names))

    def partitions(self) -> "Query[tuple[Any, ...]]":
        """The keys of partitions, each once, as tuples."""
        made = self.values(*(Expression(each) for each in self.plan.partition))
        return replace(made, columns=f"DISTINCT {made.columns}")

    # -- running -------------------------------------------------------------------------------------------------

    def statement(self) -> tuple[str, list[Any]]:
        """The CQL text and its parameters.

        Raises:
            QueryError: the server would refuse it, or read the whole table; the error says what would allow it.
        """
        plan, conditions = self.plan, self.conditions
        if self.near is None:
            check_read(plan, conditions, filtering=self.filtering)
        else:
            self._check_near()
        check_order(plan, self.orderings, conditions)
        text = f"SELECT {self.columns} FROM {plan.target(current_keyspace.get())}"  # noqa: S608 - quoted
        if conditions:
            text += f" WHERE {' AND '.join(condition.text for condition in conditions)}"
        params = [value for condition in conditions for value in condition.params]
        if self.groups:
            text += f" GROUP BY {', '.join(self.groups)}"
        if self.orderings:
            orders = (f"{each.field.quoted} {'DESC' if each.descending else 'ASC'}" for each in self.orderings)
            text += f" ORDER BY {', '.join(orders)}"
        if self.near is not None:
            text, params = f"{text} ORDER BY {self.near[0].quoted} ANN OF ?", [*params, self.near[1]]
        if self.most_per_partition is not None:
            text, params = f"{text} PER PARTITION LIMIT ?", [*params, self.most_per_partition]
        if self.most is not None:
            text, params = f"{text} LIMIT ?", [*params, self.most]
        return f"{text} ALLOW FILTERING" if self.filtering else text, params

    async def __aiter__(self) -> AsyncIterator[M]:
        session, prepared, params = await self._prepared()
        pages = session.pages(prepared, params, **self.options)
        hydrate = self.hydrate
        try:
            async for rows in pages:
                for found in hydrate(rows):
                    yield found
        finally:
            pages.close()

    async def all(self) -> list[M]:
        """Every row, in memory at once."""
        session, prepared, params = await self._prepared()
        found: list[M] = []
        async for rows in session.pages(prepared, params, **self.options):
            found += self.hydrate(rows)
        return found

    async def first(self) -> M | None:
        """The first row, or None."""
        rows = await self._some(1)
        return rows[0] if rows else None

    async def one(self) -> M:
        """The only row.

        Raises:
            RowCountError: there is none, or more than one.
        """
        rows = await self._some(2)
        if len(rows) != 1:
            raise RowCountError(self.plan.where, found=len(rows))
        return rows[0]

    async def exists(self) -> bool:
        """Whether there is a row."""
        return bool(await self.values(*(Expression(each) for each in self.plan.partition))._some(1))

    async def count(self) -> int:
        """How many rows there are: the server reads them all."""
        made = replace(self.values(Aggregate("COUNT(*)")), orderings=(), groups=(), most=None)
        return int((await made.one())[0])

    async def page(self, size: int, token: str | None = None) -> Page[M]:
        """The page of `size` rows that `token` stands for, the first without one; each page has the next one's token.

        Raises:
            QueryError: the token is forged, has expired or belongs to another query; or no secret is configured.
        """
        session, prepared, params = await self._prepared()
        _positive(size, "page size", self.plan)
        bound = (prepared.text, params)
        state = None if token is None else open_token(session, token, bound)
        if token is None:
            # Without a secret the first page already says so, not the user who asks for the second.
            sealed_token(session, b"", bound)
        options = self.options | {"page_size": size, "page_state": state}
        result = await session.execute(prepared, params, **options)
        following = None if result.page_state is None else sealed_token(session, result.page_state, bound)
        return Page(self.hydrate(result.rows), following)

    async def _some(self, most: int) -> list[M]:
        query = self if self.most is not None and self.most <= most else replace(self, most=most)
        session, prepared, params = await query._prepared()
        options = {name: value for name, value in self.options.items() if name != "page_size"}
        found: list[M] = []
        # A page may be empty, or hold rows that stand for static columns alone, while more follow.
        async for rows in session.pages(prepared, params, **options):
            found += self.hydrate(rows)
        return found

    def _check_near(self) -> None:
        if self.conditions:
            check_read(self.plan, self.conditions, filtering=False)
        if self.orderings or self.groups or self.most_per_partition is not None:
            raise QueryError("nearest() with another order", where=self.plan.where, remedy="Keep one of them")
        if self.most is None or self.most > _MOST_NEAR:
            raise QueryError(
                "nearest() without a limit", where=self.plan.where, remedy=f"Add limit(), at most {_MOST_NEAR}"
            )

    async def _prepared(self) -> tuple[Session, Prepared, list[Any]]:
        text, params = self.statement()
        session = session_for(self.session, self.plan.where)
        return session, await session.prepare(text), params


def _positive(number: int, what: str, plan: ModelPlan) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        raise QueryError(f"a {what} of {number!r}", where=plan.where, remedy="Give a whole number above zero")
    return number
