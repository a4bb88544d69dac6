"""Views of read models that the server keeps: whether it does, and how they are taken away with their tables."""

from collections.abc import Sequence

from cassorm.driver.session import Session
from cassorm.errors import ClusterError, ProjectionError
from cassorm.schema import ddl
from cassorm.schema.introspect import introspect
from cassorm.schema.table import Table

_SETTINGS = ("materialized_views_enabled", "enable_materialized_views")
"""What the setting is called, and what it was called before Cassandra 4.1."""


async def check_views_enabled(session: Session, where: str) -> None:
    """Return when the server that answers takes materialized views.

    Raises:
        ProjectionError: they are switched off there; nothing was created.
    """
    if session.dialect.views_default_on:
        return
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    query = f"SELECT name, value FROM system_views.settings WHERE name IN ({names})"  # noqa: S608 - constants
    try:
        found = dict((await session.execute(query)).rows)
    except ClusterError:
        return  # a role may not look there: then creating the view says what the server says
    for name in _SETTINGS:  # a server that has renamed it lists both
        if found.get(name) == "false":
            raise ProjectionError(
                f"has a native view, and {name} is false on the server",
                where=where,
                remedy="Leave native= out: then the view is a table kept from the same events; or set "
                f"{name}: true in cassandra.yaml of every node, and restart them",
            )


async def drop_tables(session: Session, keyspace: str, tables: Sequence[Table]) -> list[str]:
    """Drop these tables with their views; return the names of both.

    What stands decides, not what is declared by now: in the generation that goes a view may have been a table, or a
    table a view, and no table goes before its views.
    """
    names = [name for table in tables for name in (table.name, *(view.name for view in table.views))]
    live = await introspect(session, keyspace, set(names))
    dropped = []
    for name in names:
        # None where it is gone, or a view by which its table has been dropped already.
        table = live.get(name)
        if table is None:
            continue
        for view in table.views:
            await session.ddl(ddl.drop("MATERIALIZED VIEW", view.name, keyspace))
            dropped.append(view.name)
        await session.ddl(ddl.drop("TABLE", name, keyspace))
        dropped.append(name)
    return dropped
