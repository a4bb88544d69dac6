"""Queries as values: built and checked first, run when they are iterated over or awaited."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from cassorm.driver.consistency import Consistency
from cassorm.driver.paging import Pages
from cassorm.driver.session import PAGE_SIZE, Session
from cassorm.errors import QueryError, RowCountError
from cassorm.orm.context import current_keyspace, current_session, given_session, session_for
from cassorm.orm.expressions import Aggregate, Condition, Expression, Ordering
from cassorm.orm.fan_out import MOST_TOGETHER, JoinedPages
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.hydration import Hydrate
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.nearest import near_value
from cassorm.orm.page_tokens import Page, open_token, sealed_token
from cassorm.orm.query_rules import check_conditions
from cassorm.orm.selection import Selection, into_of, values_of
from cassorm.orm.sending import joined, read_options

M = TypeVar("M")
N = TypeVar("N", bound=BaseModel)


class Get(Generic[M]):
    """The row of one primary key; await it for an instance or None."""

    __slots__ = ("consistency", "key", "plan", "session", "timeout")

    def __init__(
        self,
        plan: ModelPlan,
        key: tuple[Any, ...],
        session: Session | None = None,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
    ) -> None:
        self.plan = plan
        self.key = key
        self.session = session
        self.consistency = consistency
        self.timeout = timeout

    def using(
        self,
        session: Session | None = None,
        *,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
    ) -> "Get[M]":
        """The same, on this session, with these options."""
        given: dict[str, Any] = {"consistency": self.consistency, "timeout": self.timeout}
        given |= read_options(self.plan.where, consistency=consistency, timeout=timeout)
        return Get(self.plan, self.key, given_session(session) or self.session, **given)

    def __await__(self) -> Generator[Any, None, M | None]:
        return self._run().__await__()

    async def _run(self) -> M | None:
        plan = self.plan
        session = self.session or current_session.get() or session_for(None, plan.where)
        if plan.current is not None:
            plan = await plan.current(session)
        prepared = await session.prepare(get_text(plan, current_keyspace.get()), check=plan.check)
        said = plan.reading
        if said:
            said = joined(said, {"consistency": self.consistency, "timeout": self.timeout})
            result = await session.execute(prepared, self.key, **said)
        else:
            result = await session.execute(prepared, self.key, consistency=self.consistency, timeout=self.timeout)
        found = plan.hydrate(result.rows)
        return found[0] if found else None


def get_text(plan: ModelPlan, keyspace: str | None) -> str:
    """The SELECT of one row by its key."""
    return plan.text("get", keyspace, _get_text, plan, keyspace)


def _get_text(plan: ModelPlan, keyspace: str | None) -> str:
    key = " AND ".join(f"{each.quoted} = ?" for each in plan.key)
    return f"SELECT {plan.columns_text} FROM {plan.target(keyspace)} WHERE {key}"  # noqa: S608 - quoted


@dataclass(frozen=True, slots=True, repr=False)
class Query(Selection[M]):
    """Rows of a model: every method gives another query; iterating, or a method that is awaited, runs it."""

    @staticmethod
    def of(plan: ModelPlan, conditions: tuple[Condition, ...] = ()) -> "Query[Any]":
        """All columns of the model, of rows for which these conditions hold.

        Raises:
            QueryError: something is no condition on this model, or none that a query can have.
        """
        check_conditions(plan, conditions)
        return Query(plan, plan.columns_text, plan.hydrate, conditions)

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
        _check_column(self.plan, column)
        return replace(self, near=(column.field, near_value(self.plan, column.field, to)))

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
        given = read_options(self.plan.where, consistency=consistency, timeout=timeout, page_size=page_size)
        return replace(self, session=given_session(session) or self.session, options=self.options | given)

    def into(self, model: type[N]) -> "Query[N]":
        """The rows as instances of another model, which has some of the fields, by name; no other column is read.

        Raises:
            QueryError: it has a field that this model has not.
        """
        fields, hydrate = into_of(self.plan, model)
        return replace(self._selecting(fields), hydrate=hydrate)

    def values(self, *columns: Expression[Any] | Aggregate) -> "Query[tuple[Any, ...]]":
        """The rows as tuples of these columns, or of functions over them.

        Raises:
            QueryError: something is neither.
        """
        texts, hydrate = values_of(self.plan, columns)
        made = self._selecting([])
        aggregated = any(isinstance(column, Aggregate) for column in columns)
        return replace(made, columns=texts, hydrate=hydrate, aggregated=aggregated, as_values=True)

    def partitions(self, *static: Expression[Any]) -> "Query[tuple[Any, ...]]":
        """The keys of partitions, each once, as tuples; with the values of these static columns behind them.

        Raises:
            QueryError: a column is not static.
        """
        for column in static:
            if column.field.kind != "static":
                raise QueryError(
                    "is not static", where=column.field.where, remedy="Partitions have static columns alone"
                )
        return replace(self.values(*(Expression(each) for each in self.plan.partition), *static), distinct=True)

    def json(self) -> "Query[str]":
        """The rows as JSON objects in text, written by the server: by the names of columns, for who passes them on."""
        if self.hydrate is self.plan.hydrate and self.plan.sparse_at() is not None:
            return replace(self, as_json=True, hydrate=_json_of_rows(self.plan))  # type: ignore[return-value]
        return replace(self, as_json=True, hydrate=_json)  # type: ignore[return-value]

    def group_by(self, *columns: Expression[Any]) -> "Query[M]":
        """One row for each group of rows that agree in these columns: the first of the key, in its order.

        Raises:
            QueryError: when it runs: they are not.
        """
        for column in columns:
            _check_column(self.plan, column)
        return replace(self, groups=tuple(column.field for column in columns))

    def _selecting(self, fields: Sequence[FieldPlan]) -> "Query[Any]":
        if self.distinct or self.as_json:
            raise QueryError(
                "other columns after partitions() or json()",
                where=self.plan.where,
                remedy="Say what to select once; json() comes last",
            )
        return replace(self, columns=", ".join(each.quoted for each in fields), aggregated=False, as_values=False)

    # -- running -------------------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[M]:
        # Closed here and now when the iteration is left, not when the garbage is collected.
        async with aclosing(self._batches()) as batches:
            async for found in batches:
                for row in found:
                    yield row

    async def all(self) -> list[M]:
        """Every row, in memory at once."""
        rows: list[M] = []
        async for found in self._batches():
            rows += found
        return rows

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
        if self.distinct or self.aggregated or self.plan.sparse_at() is not None:
            return bool(await self._some(1))
        key = replace(self, as_json=False).values(*(Expression(each) for each in self.plan.partition))
        return bool(await key._some(1))

    async def count(self) -> int:
        """How many rows there are: the server reads them all.

        Raises:
            QueryError: the query is one that no server counts; the error says what to do instead.
        """
        plan = self.plan
        if self.near or self.groups or self.aggregated or self.distinct or self.most_per_partition is not None:
            raise QueryError(
                "count() of groups, partitions, a limit for each, or the nearest",
                where=plan.where,
                remedy="Count what all() gives, or use count_rows() in values()",
            )
        # A partition that has nothing but static columns is a row for COUNT(*), and none for whoever reads rows.
        counted = plan.clustering[0].quoted if plan.sparse_at() is not None else "*"
        made = replace(self, as_json=False).values(Aggregate(f"COUNT({counted})"))
        found = 0
        async for rows in replace(made, orderings=(), most=None)._batches(adding=True):
            found += sum(int(row[0]) for row in rows)
        return found if self.most is None else min(found, self.most)

    async def page(self, size: int, token: str | None = None) -> Page[M]:
        """The page of `size` rows that `token` stands for, the first without one; each page has the next one's token.

        Raises:
            QueryError: the token is forged, has expired or belongs to another query; or the query has no pages.
            ConfigurationError: no secret is configured.
        """
        _positive(size, "page size", self.plan)
        session = session_for(self.session, self.plan.where)
        if self.plan.current is not None:
            return await replace(self, plan=await self.plan.current(session)).page(size, token)
        text, found = self.compiled(sai=session.dialect.sai)
        if self.near is not None or found.apart is not None:
            what = "nearest()" if self.near is not None else "many partitions, which are read one by one"
            raise QueryError(
                f"page() of {what}",
                where=self.plan.where,
                remedy=f"Iterate over it, or give at most {MOST_TOGETHER} keys at once, and no index beside them",
            )
        params = [*self.values_given(), *self.limits()]
        prepared = await session.prepare(text, check=self.plan.check)
        bound = (f"{session.keyspace}: {prepared.text}", params)
        state = None if token is None else open_token(session, token, bound)
        if token is None:
            # Without a secret the first page already says so, not the user who asks for the second.
            sealed_token(session, b"", bound)
        options = self.plan.reading | self.options | {"page_size": size, "page_state": state}
        result = await session.execute(prepared, params, **options)
        following = None if result.page_state is None else sealed_token(session, result.page_state, bound)
        return Page(self.hydrate(result.rows), following)

    async def _some(self, most: int) -> list[M]:
        query = self if self.most is not None and self.most <= most else replace(self, most=most)
        return await query.all()

    async def _batches(self, *, adding: bool = False) -> AsyncGenerator[list[M], None]:
        """The rows, page by page."""
        session = session_for(self.session, self.plan.where)
        if self.plan.current is not None:
            async with aclosing(replace(self, plan=await self.plan.current(session))._batches(adding=adding)) as there:
                async for batch in there:
                    yield batch
            return
        text, found = self.compiled(sai=session.dialect.sai, adding=adding)
        apart = found.apart
        options = self.plan.reading | self.options
        left = self.most
        pages: Pages | JoinedPages
        if apart is not None:
            prepared = await session.prepare(self.text(apart.alone()), check=self.plan.check)
            limits = self.limits()
            pages = JoinedPages(session.pages(prepared, [*key, *limits], **options) for key in apart.params())
        else:
            query = self
            if self.near is not None:
                # Such a search is one page, of what one replica of each range knows.
                options = {"consistency": Consistency.LOCAL_ONE} | options | {"page_size": PAGE_SIZE}
            elif left is not None and self.may_skip(found):
                # Rows are skipped here that the server would count: the limit is kept here as well.
                query = replace(self, most=None)
                text = query.text(self.conditions)
                options["page_size"] = min(options.get("page_size", PAGE_SIZE), max(left, 100))
            prepared = await session.prepare(text, check=self.plan.check)
            pages = session.pages(prepared, [*query.values_given(), *query.limits()], **options)
        hydrate = self.hydrate
        try:
            async for rows in pages:
                made = hydrate(rows)
                if left is not None:
                    made = made[:left]
                    left -= len(made)
                if made:
                    yield made
                if left == 0:
                    return
        finally:
            pages.close()


def _json(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [row[0] for row in rows]


def _json_of_rows(plan: ModelPlan) -> Hydrate:
    """Without what stands for a partition that has nothing but static columns."""
    name = plan.clustering[0].column
    key = name if name == name.lower() else f'"{name}"'
    return lambda rows: [row[0] for row in rows if json.loads(row[0])[key] is not None]


def _check_column(plan: ModelPlan, column: object) -> None:
    if not isinstance(column, Expression) or column.field not in plan.fields:
        raise QueryError(f"{column!r} is no column", where=plan.where, remedy=f"Give a field, as in {plan.where}.name")


def _positive(number: int, what: str, plan: ModelPlan) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        raise QueryError(f"a {what} of {number!r}", where=plan.where, remedy="Give a whole number above zero")
    return number
