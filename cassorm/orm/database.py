"""A session with the verbs of models: create, insert, save, delete, batch, load schemas."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from pydantic import BaseModel

from cassorm.cql.identifiers import MAX_NAME, check_name
from cassorm.driver.connect import Connecting, chosen
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.driver.tracing import Trace
from cassorm.errors import ModelError, QueryError, RowCountError
from cassorm.orm.batch import Batch
from cassorm.orm.context import current_keyspace, enter, leave
from cassorm.orm.expressions import Expression, listed
from cassorm.orm.from_schema import models_of
from cassorm.orm.hooks import run_hooks
from cassorm.orm.model import Model, remember, stored_row
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.query import Get, Query
from cassorm.orm.raw import Raw
from cassorm.orm.row_writes import delete_row, insert_row, save_row
from cassorm.orm.unique import GRACE
from cassorm.orm.writes import Outcome
from cassorm.schema.apply import apply, ensure_keyspace
from cassorm.schema.keyspace import Replication, Schema
from cassorm.schema.load import Source, load
from cassorm.schema.table import UserType

M = TypeVar("M", bound=Model)
R = TypeVar("R")
B = TypeVar("B", bound=BaseModel)
K = TypeVar("K", bound=Hashable)

Waits = Callable[[Any, str, timedelta], Awaitable[None]]
OnWrite = Callable[[ModelPlan, tuple[Any, ...] | None], None]

_CONCURRENCY = 64
_MOST_CONCURRENT = 1024


@dataclass(frozen=True, slots=True)
class Written(Generic[M]):
    """What became of one instance of many: its outcome, or the error that it met."""

    instance: M
    outcome: Outcome | None = None
    error: Exception | None = None


class Database(Session):
    """A session that also speaks of models; `connect` gives one.

    Inside `async with db:` queries run on it without being told; leaving that block does not close it.
    `page_secrets` sign page tokens; CASSORM_PAGE_SECRET sets one. `claim_grace` is how long the write of a row with
    unique columns may take before another may take its claims over: the same in every process.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.page_secrets = _secrets_of_environment()
        self.claim_grace = GRACE
        self.listeners: list[OnWrite] = []
        self.waits: dict[tuple[str, str], Waits] = {}
        """By the keyspace and the name of a projection: what returns when an append's effect on it can be read."""

    async def __aenter__(self) -> Self:
        enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave()

    def on_write(self, tell: OnWrite) -> None:
        """Call `tell` after each write of models, whatever came of it, before the writer goes on.

        It is given the model's plan and the encoded partition key, None when that is not one alone.
        """
        self.listeners.append(tell)

    def tell_of_write(self, plan: ModelPlan, partition: tuple[Any, ...] | None) -> None:
        """Tell those who asked by `on_write`."""
        for tell in self.listeners:
            tell(plan, partition)

    async def wait_for(self, position: Any, name: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Return when the effect of an append on the projection `name` can be read; `position` is what it gave.

        Raises:
            SubscriptionError: not within `timeout`; the error says where the projection stands.
            QueryError: there is no such projection here, or the position is of another store.
        """
        here = current_keyspace.get() or self.keyspace
        found = [wait for (keyspace, each), wait in self.waits.items() if each == name and here in (None, keyspace)]
        if len(found) != 1:
            known = ", ".join(f"{keyspace}.{each}" for keyspace, each in self.waits)
            raise QueryError(
                f"knows {'no' if not found else 'more than one'} projection {name!r}, but {known or 'none'}",
                where=f"wait_for() in keyspace {here}" if here else "wait_for()",
                remedy="Make Projections(store, [...]) with it on this database first, and name its keyspace",
            )
        await found[0](position, name, timeout)

    # -- schema --------------------------------------------------------------------------------------------------

    async def create_keyspace(self, name: str, replication: Replication = 1) -> bool:
        """Whether the keyspace had to be created; a number is that of copies in the session's data centre.

        Raises:
            SchemaError: the name or the replication is none that CQL can take.
        """
        return await ensure_keyspace(self, name, replication)

    async def create(self, *models: type[Model]) -> list[str]:
        """The names of what had to be created for these models: user types, tables, indexes, views.

        Safe to run twice, and by several processes at once.

        Raises:
            SchemaDriftError: a table exists with another shape; nothing was changed.
            SchemaError: the engine lacks something, or a keyspace does not exist.
        """
        return await apply(self, schema_of(models, current_keyspace.get()))

    async def load_schema(self, name: str, source: Source, *, create: bool = True) -> type[Any]:
        """The model of the table `name` in a dict, a YAML, JSON or CQL file, or a folder of them; created if missing.

        Raises:
            SchemaFileError: something in it is wrong; the error names file, line and remedy.
            SchemaDriftError: a table exists with another shape; nothing was changed.
        """
        schema = load(source, name)
        models = models_of(schema)
        if name not in models:
            raise QueryError(
                f"declares {', '.join(models) or 'no table'}",
                where=f"schema of {name}",
                remedy="Name one of its tables",
            )
        if create:
            await apply(self, schema.in_keyspace(current_keyspace.get() or self.keyspace))
        return models[name]

    async def load_schemas(self, source: Source, *, create: bool = True) -> dict[str, type[Any]]:
        """The models of all tables in a file or folder, by the names of the tables; created if missing.

        Raises:
            SchemaFileError: something in it is wrong; the error names file, line and remedy.
            SchemaDriftError: a table exists with another shape; nothing was changed.
        """
        schema = load(source)
        models = models_of(schema)
        if create:
            await apply(self, schema.in_keyspace(current_keyspace.get() or self.keyspace))
        return models

    @contextmanager
    def in_keyspace(self, name: str) -> Iterator[None]:
        """Inside the block models that name no keyspace are read and written in this one: one for each tenant, say.

        It goes before that of the session, and holds for tasks that are begun inside; `cql` is not changed.

        Raises:
            QueryError: no keyspace can have that name.
        """
        check_name(name, what="keyspace name", limit=MAX_NAME)
        token = current_keyspace.set(name)
        try:
            yield
        finally:
            current_keyspace.reset(token)

    # -- one row -------------------------------------------------------------------------------------------------

    async def insert(
        self,
        instance: Model,
        *,
        if_not_exists: bool = False,
        ttl: timedelta | int | None = None,
        timestamp: datetime | int | None = None,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
    ) -> Outcome:
        """The row is written whole, over one that is there; with `if_not_exists` only if there is none.

        What was not given and is None is not written; None that was given removes what stands there. With
        `idempotent` it is sent again when a node fails.

        Raises:
            QueryError: a value does not fit, or the model takes no plain inserts.
            UniqueError: another row holds the value of a unique column; nothing was written.
            OutcomeUnknownError: with `if_not_exists`: no answer came; read what stands there.
        """
        plan = plan_of(type(instance))
        hooks = plan.hooks
        if hooks is not None:
            await run_hooks(hooks.before_save, instance, self)
        found = await insert_row(
            self,
            plan,
            instance,
            if_not_exists=if_not_exists,
            ttl=ttl,
            timestamp=timestamp,
            consistency=consistency,
            serial_consistency=serial_consistency,
            timeout=timeout,
            idempotent=idempotent,
        )
        if hooks is not None and found:
            await run_hooks(hooks.after_save, instance, self)
        return found

    async def save(
        self,
        instance: Model,
        *,
        ttl: timedelta | int | None = None,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
    ) -> bool:
        """Whether something had to be written: a new row whole, of a row that was read only what has changed.

        With a `Version` field, or `lwt_only`, the row is compared first, and the version advanced.

        Raises:
            StaleRowError: another writer was first; nothing was written.
            UniqueError: another row holds the value of a unique column; nothing was written.
            QueryError: the key was changed, or a value does not fit.
            OutcomeUnknownError: a comparing write was not answered; `refresh` tells what stands.
        """
        plan = plan_of(type(instance))
        hooks = plan.hooks
        if hooks is not None:
            await run_hooks(hooks.before_save, instance, self)
        written = await save_row(
            self,
            plan,
            instance,
            ttl=ttl,
            consistency=consistency,
            serial_consistency=serial_consistency,
            timeout=timeout,
        )
        if hooks is not None and written:
            await run_hooks(hooks.after_save, instance, self)
        return written

    async def delete(
        self,
        instance: Model,
        *,
        if_exists: bool = False,
        consistency: Consistency | None = None,
        serial_consistency: Consistency | None = None,
        timeout: timedelta | None = None,
    ) -> Outcome:
        """The row of `instance` is gone; with a `Version` field only if it is as it was read.

        Raises:
            StaleRowError: another writer was first; nothing was deleted.
        """
        plan = plan_of(type(instance))
        hooks = plan.hooks
        if hooks is not None:
            await run_hooks(hooks.before_delete, instance, self)
        found = await delete_row(
            self,
            plan,
            instance,
            if_exists=if_exists,
            consistency=consistency,
            serial_consistency=serial_consistency,
            timeout=timeout,
        )
        if hooks is not None and found:
            await run_hooks(hooks.after_delete, instance, self)
        return found

    async def refresh(
        self, instance: Model, *, consistency: Consistency | None = None, timeout: timedelta | None = None
    ) -> None:
        """Read the row again, into the same instance.

        Where writes have conditions it is read at serial consistency, unless another is given: a write that was not
        answered is decided then.

        Raises:
            RowCountError: it is there no more.
        """
        plan = plan_of(type(instance))
        if consistency is None and plan.lwt_only:
            consistency = plan.writing.get("serial_consistency", self.settings.serial_consistency)
        key = tuple(each.encode(getattr(instance, each.attribute)) for each in plan.key)
        reading: Get[Any] = Get(plan, key).using(self, consistency=consistency, timeout=timeout)
        found = await reading
        if found is None:
            raise RowCountError(plan.where, found=0)
        instance.__dict__.update(found.__dict__)
        instance.__pydantic_fields_set__.update(found.model_fields_set)
        remember(instance, stored_row(found))

    # -- many rows -----------------------------------------------------------------------------------------------

    async def get_many(
        self,
        model: type[M],
        keys: Iterable[Any],
        *,
        concurrency: int = _CONCURRENCY,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
    ) -> list[M | None]:
        """The rows of these primary keys, None where there is none, in the order of the keys.

        A key of one column is a value, of several a tuple. At most `concurrency` are asked for at once.

        Raises:
            QueryError: a key is incomplete or does not fit; nothing was sent.
        """
        plan = plan_of(model)
        encoded = [
            tuple(plan.key_of(key if isinstance(key, tuple) else (key,), {}))
            for key in listed(keys, "get_many()", where=plan.where)
        ]
        gets: list[Get[M]] = [Get(plan, key).using(self, consistency=consistency, timeout=timeout) for key in encoded]
        found: list[M | None] = [None] * len(gets)

        async def run(number: int) -> None:
            found[number] = await gets[number]

        await _each(run, len(gets), concurrency)
        return found

    async def related(
        self, query: Query[R], field: Expression[K], values: Iterable[K], *, concurrency: int = _CONCURRENCY
    ) -> dict[K, list[R]]:
        """The rows of `query` for each value of `field`, by value: the children of many parents, or the parents of many.

        Each value is asked for once, at most `concurrency` of them at a time; one without rows has an empty list.

        Raises:
            QueryError: the query cannot be answered with `field` given, or a value does not fit; nothing was sent.
        """
        plan, distinct = _asked(query, field, values)
        if plan.key == (field.field,) and query == Query.of(plan):
            model: Any = plan.model
            rows = await self.get_many(model, [(value,) for value in distinct], concurrency=concurrency)
            return {value: [] if row is None else [row] for value, row in zip(distinct, rows, strict=True)}
        queries = [query.where(field == value).using(self) for value in distinct]
        if queries:
            queries[0].statement()
        found: dict[K, list[R]] = {value: [] for value in distinct}

        async def run(number: int) -> None:
            found[distinct[number]] = await queries[number].all()

        await _each(run, len(distinct), concurrency)
        return found

    async def insert_many(
        self,
        instances: Iterable[M],
        *,
        concurrency: int = _CONCURRENCY,
        if_not_exists: bool = False,
        ttl: timedelta | int | None = None,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        idempotent: bool | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Written[M]]:
        """What became of each instance, in their order: one that fails does not stop the others.

        `progress` is called with the number of those done after each.
        """
        todo = listed(instances, "insert_many()", where="database")
        results: list[Written[M]] = [Written(instance) for instance in todo]
        done = 0

        async def run(number: int) -> None:
            nonlocal done
            instance = todo[number]
            try:
                found = await self.insert(
                    instance,
                    if_not_exists=if_not_exists,
                    ttl=ttl,
                    consistency=consistency,
                    timeout=timeout,
                    idempotent=idempotent,
                )
                results[number] = Written(instance, found)
            except Exception as error:  # ours, or that of a hook
                results[number] = Written(instance, error=error)
            done += 1
            if progress is not None:
                progress(done)

        await _each(run, len(todo), concurrency)
        return results

    def batch(
        self, *, unlogged: bool = False, counter: bool = False, max_partitions: int = 10, **options: Any
    ) -> Batch:
        """A batch of writes to models, for `async with`; `options` are those of `execute_batch`.

        Raises:
            QueryError: both unlogged and counter were asked for.
        """
        if unlogged and counter:
            raise QueryError("unlogged and counter", where="batch", remedy="Give one: counter batches are not logged")
        kind: Any = "counter" if counter else "unlogged" if unlogged else "logged"
        return Batch(self, kind=kind, max_partitions=max_partitions, options=options)

    def tracing(self, *tables: str | type[Model]) -> AbstractAsyncContextManager[list[Trace]]:
        """The traces of what is sent inside the block, there when it ends; of these models and tables alone, if given.

        Raises:
            UnavailableError: at the end of the block: the server has not written its traces in time.
        """
        return super().tracing(*(name if isinstance(name, str) else plan_of(name).table.name for name in tables))

    @overload
    def cql(
        self, text: str, params: Sequence[object] = (), *, into: None = None, **options: Any
    ) -> Raw[tuple[Any, ...]]: ...
    @overload
    def cql(self, text: str, params: Sequence[object] = (), *, into: type[B], **options: Any) -> Raw[B]: ...
    def cql(
        self, text: str, params: Sequence[object] = (), *, into: type[BaseModel] | None = None, **options: Any
    ) -> Raw[Any]:
        """What the statement returns, as tuples, or as instances of `into`: await it, or iterate over it.

        Raises:
            QueryError: the statement returns a column that the model `into` has not.
        """
        return Raw(self, text, params, into, options)


def _asked(query: Query[R], field: Expression[K], values: Iterable[K]) -> tuple[ModelPlan, list[K]]:
    if not isinstance(query, Query) or not isinstance(field, Expression):
        raise QueryError(
            f"related() of {query!r} by {field!r}",
            where="database",
            remedy="Give a query and a field: Child.where(), Child.of",
        )
    try:
        return query.plan, list(dict.fromkeys(listed(values, "related()", where=query.plan.where)))
    except TypeError as error:
        raise QueryError(
            f"related(): {error}", where=field.field.where, remedy="Give values that can be keys"
        ) from error


def schema_of(models: Iterable[type[Model]], keyspace: str | None = None) -> Schema:
    """The tables and user types of these models as one value.

    Raises:
        ModelError: a class among them has no table, or two of them mean different user types by one name.
    """
    plans = [plan_of(model) for model in models]
    types: dict[tuple[str | None, str], UserType] = {}
    for plan in plans:
        for kind in plan.user_types:
            if types.setdefault((kind.keyspace, kind.name), kind) != kind:
                raise ModelError(
                    f"has a user type {kind.name} with other fields than another model's",
                    where=plan.where,
                    remedy="Use one class for both, or name one of them by type_name=",
                )
    schema = Schema(tuple(plan.table for plan in plans), tuple(types.values()))
    return schema if keyspace is None else schema.in_keyspace(keyspace)


class OpeningDatabase(Connecting[Database]):
    """A database that is about to be opened; inside `async with` queries run on it without being told."""

    async def __aenter__(self) -> Database:
        opened = await super().__aenter__()
        enter(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        leave()
        await super().__aexit__(kind, error, traceback)


def connect(
    hosts: str | Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
    ssl_context: ssl.SSLContext | None = None,
    **options: Any,
) -> OpeningDatabase:
    """A database: the cluster behind `hosts`, for `async with ... as db` or for `db = await ...` and `db.close()`.

    `options` are fields of `Settings`, such as `keyspace=`, `user=` or `consistency=`. What is given here wins over
    `settings`, and both over the environment (CASSORM_HOSTS and so on). `ssl_context` stands instead of `tls_*`.

    Raises:
        ConfigurationError: a setting is wrong, the password is, the keyspace does not exist, no driver is installed.
        UnavailableError: no host answered; the message lists the hosts.
    """
    return OpeningDatabase(Database, chosen(hosts, settings, options), ssl_context)


async def _each(run: Callable[[int], Any], count: int, concurrency: int) -> None:
    """Run for each number below `count`, at most `concurrency` at once."""
    if not isinstance(concurrency, int) or not 0 < concurrency <= _MOST_CONCURRENT:
        raise QueryError(
            f"a concurrency of {concurrency}", where="database", remedy=f"Give a number from 1 to {_MOST_CONCURRENT}"
        )
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await run(number)

    workers = [asyncio.ensure_future(work()) for _ in range(min(concurrency, count))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _secrets_of_environment(environment: Mapping[str, str] = os.environ) -> PageSecrets | None:
    secret = environment.get("CASSORM_PAGE_SECRET")
    if not secret:
        return None
    data = secret.encode()
    # Named by what it is: processes that hold the same secret agree without being told a name.
    name = hashlib.sha256(data).hexdigest()[:8]
    return PageSecrets({name: data}, name)
