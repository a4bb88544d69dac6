"""Updates and deletions as values: built and checked first, run when they are awaited, or in a batch."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from cassorm.driver.consistency import Consistency
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import QueryError
from cassorm.orm.codec import of_int
from cassorm.orm.codec import timestamp as moments
from cassorm.orm.context import current_keyspace, given_session, session_for
from cassorm.orm.expressions import Assignment, Condition, Expression
from cassorm.orm.model_plan import ModelPlan, seconds
from cassorm.orm.query_rules import check_conditions
from cassorm.orm.sending import joined_for_write, write_options
from cassorm.orm.write_rules import check_assignments, check_guards, check_rows, partitions_named

M = TypeVar("M")

_BIGINT = of_int("bigint")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a write took effect; when it did not, `found` is what stood there instead, as far as the server tells.

    `found` is by attribute; it is empty when there was no such row.
    """

    applied: bool
    found: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.applied


@dataclass(slots=True)
class Compiled:
    """A write as text and parameters; `partition` is the encoded partition key when it is one alone.

    `keyspace` is that of the context, `partitions` how many of them it changes; `listed` when it names rows by IN,
    `once` when doing it twice is not the same as once.
    """

    plan: ModelPlan
    text: str
    params: list[Any]
    conditional: bool
    partition: tuple[Any, ...] | None
    keyspace: str | None = None
    partitions: int = 1
    listed: bool = False
    once: bool = False


def outcome(plan: ModelPlan, result: Result) -> Outcome:
    """What a write came to."""
    if result.applied is not False:
        return Outcome(applied=True)
    row = dict(zip(result.columns, result.rows[0], strict=True))
    known = plan.by_column
    return Outcome(
        applied=False,
        found={known[name].attribute: known[name].codec.decoded(value) for name, value in row.items() if name in known},
    )


def has_listeners(session: Session) -> bool:
    """Whether somebody asked to be told of writes."""
    return bool(getattr(session, "listeners", None))


def told_of_write(session: Session, made: Compiled) -> None:
    """Let a database tell those who keep copies; a plain session has none."""
    tell = getattr(session, "tell_of_write", None)
    if tell is not None:
        tell(made.plan, made.partition)


def using_text(plan: ModelPlan, ttl: timedelta | int | None, timestamp: datetime | int | None) -> tuple[str, list[Any]]:
    """USING with its parameters; a datetime becomes microseconds.

    Raises:
        QueryError: the time to live is no whole number of seconds, or the table cannot have it.
    """
    parts: list[str] = []
    params: list[Any] = []
    if ttl is not None:
        parts.append("TTL ?")
        params.append(seconds(ttl, where=f"ttl of {plan.where}"))
    if timestamp is not None:
        parts.append("TIMESTAMP ?")
        params.append(_microseconds(timestamp, where=f"timestamp of {plan.where}"))
    if parts and plan.table.has_counters:
        raise QueryError("TTL or timestamp of a counter", where=plan.where, remedy="Counters have neither: remove it")
    return (f" USING {' AND '.join(parts)}" if parts else ""), params


def _microseconds(timestamp: datetime | int, *, where: str) -> int:
    try:
        if isinstance(timestamp, datetime):
            return int(moments(truncate=True).encode(timestamp)) * 1000 + timestamp.microsecond % 1000
        made: int = _BIGINT.encode(timestamp)
    except (TypeError, ValueError) as error:
        raise QueryError(
            f"{timestamp!r}: {error}", where=where, remedy="Give an aware datetime, or whole microseconds since 1970"
        ) from error
    return made


@dataclass(frozen=True, slots=True, repr=False)
class _Write(Generic[M]):
    plan: ModelPlan
    conditions: tuple[Condition, ...] = ()
    guards: tuple[Condition, ...] = ()
    if_there: bool = False
    written_at: datetime | int | None = None
    session: Session | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        said = " AND ".join(map(repr, self.conditions)) or "no row yet"
        return f"{type(self).__name__}({self.plan.where}, {said})"

    def where(self, *conditions: Condition) -> Self:
        """The rows that are written: by their whole key.

        Raises:
            QueryError: something is no condition on this model.
        """
        check_conditions(self.plan, conditions)
        return replace(self, conditions=(*self.conditions, *conditions))

    def only_if(self, *conditions: Condition) -> Self:
        """Only if the row is so, decided by all replicas together; the `Outcome` tells what stood there if not.

        Raises:
            QueryError: something is no condition that a write can have.
        """
        for guard in conditions:
            if not isinstance(guard, Condition) or guard.operator.startswith("CONTAINS") or guard.field.is_key:
                shown = guard.text if isinstance(guard, Condition) else repr(guard)
                raise QueryError(
                    f"only_if({shown})",
                    where=self.plan.where,
                    remedy="Compare columns outside the key; for the row itself use if_exists()",
                )
            if self.plan.by_attribute.get(guard.field.attribute) is not guard.field:
                raise QueryError(
                    f"a condition on {guard.field.where}",
                    where=self.plan.where,
                    remedy="Compare fields of the same model",
                )
        return replace(self, guards=(*self.guards, *conditions))

    def if_exists(self) -> Self:
        """Only if the row is there, decided by all replicas together."""
        return replace(self, if_there=True)

    def timestamp(self, moment: datetime | int) -> Self:
        """As if written at this moment, or this number of microseconds since 1970."""
        return replace(self, written_at=moment)

    def using(
        self,
        session: Session | None = None,
        *,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
    ) -> Self:
        """The same, on this session, with these options; `idempotent` lets it be sent again when a node fails."""
        given = write_options(
            self.plan.where,
            consistency=consistency,
            serial_consistency=serial_consistency,
            timeout=timeout,
            idempotent=idempotent,
        )
        return replace(self, session=given_session(session) or self.session, options=self.options | given)

    @property
    def conditional(self) -> bool:
        """Whether replicas decide together if it takes effect."""
        return self.if_there or bool(self.guards)

    @property
    def once(self) -> bool:
        """Whether doing it twice is not the same as once."""
        return self.conditional

    def compiled(self) -> Compiled:
        """The text and its parameters.

        Raises:
            QueryError: the server would refuse it; the error says what is missing.
        """
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Outcome]:
        return self._run().__await__()

    async def _run(self) -> Outcome:
        made = self.compiled()
        options = joined_for_write(self.plan.where, self.plan.writing, self.options, once=self.once)
        session = session_for(self.session, self.plan.where)
        prepared = await session.prepare(made.text, check=self.plan.check)
        try:
            result = await session.execute(prepared, made.params, **options)
        finally:
            told_of_write(session, made)
        return outcome(self.plan, result)

    def _compiled(self, text: str, params: list[Any], partition: tuple[Any, ...] | None) -> Compiled:
        return Compiled(
            self.plan,
            text,
            params,
            self.conditional,
            partition,
            current_keyspace.get(),
            partitions_named(self.plan, self.conditions),
            any(each.operator == "IN" for each in self.conditions),
            self.once,
        )

    def _ending(self) -> tuple[str, list[Any], tuple[Any, ...] | None]:
        """WHERE and IF, their parameters, and the partition."""
        plan = self.plan
        plan.check_writable()
        text = f" WHERE {' AND '.join(each.text for each in self.conditions)}"
        params = [value for each in self.conditions for value in each.params]
        if plan.lwt_only and not self.conditional:
            raise QueryError(
                "a plain write to rows that conditions guard",
                where=plan.where,
                remedy="Add only_if(...) or if_exists(): a plain write may silently win or lose against them",
            )
        if self.conditional:
            if self.written_at is not None:
                raise QueryError("timestamp() with a condition", where=plan.where, remedy="Remove one of them")
            if self.if_there and self.guards:
                raise QueryError("if_exists() beside only_if()", where=plan.where, remedy="only_if() says enough")
            text += " IF EXISTS" if self.if_there else f" IF {' AND '.join(each.text for each in self.guards)}"
            params += [value for each in self.guards for value in each.params]
        by_field = {each.field.attribute: each for each in self.conditions if each.operator == "="}
        key = [by_field.get(each.attribute) for each in plan.partition]
        partition = tuple(each.params[0] for each in key if each is not None)
        return text, params, partition if len(partition) == len(key) else None


@dataclass(frozen=True, slots=True, repr=False)
class Update(_Write[M]):
    """A change of rows; await it for its `Outcome`."""

    assignments: tuple[Assignment, ...] = ()
    time_to_live: timedelta | int | None = None

    @staticmethod
    def of(plan: ModelPlan, assignments: Sequence[Assignment]) -> "Update[Any]":
        """An update with these assignments.

        Raises:
            QueryError: something is no assignment to a column that can be changed, or one column is set twice.
        """
        check_assignments(plan, assignments)
        return Update(plan, assignments=tuple(assignments))

    @property
    def once(self) -> bool:
        """Whether doing it twice is not the same as once."""
        return self.conditional or any(each.once for each in self.assignments)

    def ttl(self, time_to_live: timedelta | int) -> "Update[M]":
        """What is written expires after this time; a number is one of seconds."""
        return replace(self, time_to_live=time_to_live)

    def compiled(self) -> Compiled:
        """The text and its parameters; see the base."""
        plan = self.plan
        static = all(each.field.kind == "static" for each in self.assignments)
        check_rows(plan, self.conditions, ranges=False, static=static)
        if self.conditional:
            check_guards(plan, self.conditions, self.guards, static=static)
        using, params = using_text(plan, self.time_to_live, self.written_at)
        ending, more, partition = self._ending()
        changes = ", ".join(each.text for each in self.assignments)
        params += [value for each in self.assignments for value in each.params]
        text = f"UPDATE {plan.target(current_keyspace.get())}{using} SET {changes}{ending}"  # noqa: S608 - quoted
        return self._compiled(text, params + more, partition)


@dataclass(frozen=True, slots=True, repr=False)
class Delete(_Write[M]):
    """A deletion of rows, of a range of rows, or of columns in a row; await it for its `Outcome`."""

    columns: tuple[str, ...] = ()

    @staticmethod
    def of(plan: ModelPlan, columns: Sequence[Expression[Any]]) -> "Delete[Any]":
        """A deletion of these columns, or of whole rows without any.

        Raises:
            QueryError: a column belongs to the key, or is none of the model's.
        """
        for each in columns:
            if not isinstance(each, Expression) or each.field not in plan.fields or each.field.is_key:
                raise QueryError(
                    f"delete({each!r})", where=plan.where, remedy="Give columns outside the key, or none for whole rows"
                )
        return Delete(plan, columns=tuple(each.field.quoted for each in columns))

    def compiled(self) -> Compiled:
        """The text and its parameters; see the base."""
        plan = self.plan
        static = bool(self.columns) and all(
            each.kind == "static" for each in plan.fields if each.quoted in self.columns
        )
        check_rows(plan, self.conditions, ranges=not self.columns and not self.conditional, static=static)
        if self.conditional:
            check_guards(plan, self.conditions, self.guards, static=static)
        using, params = using_text(plan, None, self.written_at)
        ending, more, partition = self._ending()
        what = f"{', '.join(self.columns)} " if self.columns else ""
        text = f"DELETE {what}FROM {plan.target(current_keyspace.get())}{using}{ending}"
        return self._compiled(text, params + more, partition)


def insert_compiled(
    plan: ModelPlan,
    instance: Any,
    *,
    if_not_exists: bool = False,
    ttl: timedelta | int | None = None,
    timestamp: datetime | int | None = None,
) -> Compiled:
    """The INSERT of an instance.

    Raises:
        QueryError: the model takes no plain inserts, or a value does not fit.
    """
    plan.check_writable()
    if plan.lwt_only and not if_not_exists:
        raise QueryError(
            "a plain insert of rows that conditions guard",
            where=plan.where,
            remedy="Give if_not_exists=True, or use db.save()",
        )
    if plan.counts:
        raise QueryError(
            "an insert of counters",
            where=plan.where,
            remedy=f"Counters begin at nothing: {plan.where}.update({plan.where}.field + 1).where(...)",
        )
    if if_not_exists and timestamp is not None:
        raise QueryError("timestamp= with if_not_exists=", where=plan.where, remedy="Remove one of them")
    params = plan.params(instance)
    using = ""
    if ttl is not None or timestamp is not None:
        using, more = using_text(plan, ttl, timestamp)
        params += more
    ending = f" IF NOT EXISTS{using}" if if_not_exists else using
    keyspace = current_keyspace.get()
    text = plan.text("insert" + ending, keyspace, _insert_text, plan, keyspace, ending)
    return Compiled(plan, text, params, if_not_exists, None, keyspace, 1, False, if_not_exists)


def _insert_text(plan: ModelPlan, keyspace: str | None, ending: str) -> str:
    markers = ", ".join("?" * len(plan.fields))
    return f"INSERT INTO {plan.target(keyspace)} ({plan.columns_text}) VALUES ({markers}){ending}"  # noqa: S608 - quoted


def partition_of(plan: ModelPlan, instance: Any) -> tuple[Any, ...]:
    """The encoded partition key of an instance."""
    return tuple(each.encode(getattr(instance, each.attribute)) for each in plan.partition)
