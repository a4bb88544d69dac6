"""Make a live cluster hold a schema: create what is missing, refuse what is otherwise."""

import asyncio
import logging
import random
from collections.abc import Iterable

from cassorm.cql import statements
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, SchemaError, UnavailableError
from cassorm.schema.ddl import create_keyspace
from cassorm.schema.introspect import introspect_keyspace
from cassorm.schema.keyspace import Keyspace, Replication, Schema
from cassorm.schema.plan import plan
from cassorm.schema.table import Table, UserType

_log = logging.getLogger(__name__)

_READABLE_S = 10.0
_ROUNDS = 6
_PAUSE_S = 0.25


async def ensure_keyspace(session: Session, name: str, replication: Replication = 1) -> bool:
    """Whether the keyspace had to be created; one that exists stays as it is.

    A number is that of copies in the session's data centre.

    Raises:
        SchemaError: the name or the replication is none that CQL can take; nothing was sent.
        ClusterError: the cluster refused; the error holds its message.
    """
    keyspace = Keyspace(name, replication)
    if await introspect_keyspace(session, name) is not None:
        return False
    await session.ddl(create_keyspace(name, keyspace.replication, session.dialect, datacenter=session.datacenter))
    return True


async def ensure_tables(
    session: Session, tables: Iterable[Table], *, types: Iterable[UserType] = (), options: bool = False
) -> list[str]:
    """The names of what had to be created: types, tables, indexes, views; none when everything is there.

    Safe to run twice, by several processes at once, and again after a crash half-way. Tables that name no keyspace go
    into the session's. With `options`, a table whose options are not those that it asks for is refused as well.

    Raises:
        SchemaDriftError: a table exists with another shape; nothing was changed.
        SchemaError: the engine lacks something, a type is not declared, or a keyspace does not exist.
        ClusterError: the cluster refused; the error holds its message.
    """
    return await apply(session, Schema(tuple(tables), tuple(types)), options=options)


async def apply(session: Session, schema: Schema, *, options: bool = False) -> list[str]:
    """The names of what had to be created, keyspaces among them; see `ensure_tables`.

    Raises:
        SchemaDriftError: something exists with another shape; nothing was changed.
        SchemaError: the engine lacks something, a type is not declared, or a keyspace does not exist.
        ClusterError: the cluster refused; the error holds its message.
    """
    created: dict[str, None] = {}
    failed = ""
    for turn in range(1, _ROUNDS + 1):
        # The last look is always at what stands: what another process created meanwhile is compared as well.
        missing = await plan(session, schema, options=options)
        missing.refuse_drift()
        if not missing.steps:
            found = schema.in_keyspace(session.keyspace).tables
            others = [table for table in found if f"{table.keyspace}.{table.name}" not in created]
            await asyncio.gather(*(_readable(session, table) for table in others))
            return list(created)
        try:
            for step in missing.steps:
                await session.ddl(step.text)
                created[step.creates] = None
        except ClusterError as error:
            # Who creates what another process is creating may be told anything: look again, and judge by what stands.
            # What the server says twice is meant.
            if turn == _ROUNDS or (str(error) == failed and not isinstance(error, UnavailableError)):
                raise
            failed = str(error)
            _log.info("creating %s failed, looking again: %s", step.creates, error)
            await asyncio.sleep(_PAUSE_S * turn * random.uniform(0.5, 1.5))  # noqa: S311 - keeps processes apart
    raise SchemaError(
        f"still missing after {_ROUNDS} rounds: {', '.join(step.creates for step in missing.steps)}",
        remedy="See whether another process drops what is created, then call again",
    )


async def _readable(session: Session, table: Table) -> None:
    """Return when statements can name a table that another process may have created a moment ago.

    A node lists a table in system_schema before it takes statements that name it.
    """
    query = statements.select(table.name, table.partition_key, keyspace=table.keyspace, limit=1)
    deadline = asyncio.get_running_loop().time() + _READABLE_S
    while True:
        try:
            await session.prepare(query.text)
        except ClusterError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
