"""Read models that are kept as JSON in one table, `projections`, for all that ask for it by `storage="shared"`."""

from typing import Any, Protocol

from cassorm.cql.identifiers import quote_table
from cassorm.errors import RowError
from cassorm.orm.context import current_session, session_for
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.active import keyspace_of, seen_by, table_name
from cassorm.schema.table import Column, Table

SHARED = "projections"
"""The table of all read models with `storage="shared"`."""


class Shared(Protocol):
    """What of a read model is needed to read its row."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def model(self) -> type[Any]:
        """The class of rows."""

    @property
    def plan(self) -> ModelPlan:
        """The plan of the model."""


def shared_table(keyspace: str) -> Table:
    """A row a stream and read model; `projection_name` has the generation behind it, as tables have."""
    return Table(
        keyspace=keyspace,
        name=SHARED,
        columns=(
            Column("projection_name", "text"),
            Column("key", "text"),
            Column("data", "text"),
            Column("applied_version", "int"),
        ),
        partition_key=("projection_name", "key"),
        comment="cassorm: rows of read models as JSON",
    )


async def shared_row(said: Shared, key: object) -> Any:
    """The row of a stream, or None.

    Raises:
        RowError: what is stored does not fit the class any more.
    """
    session = current_session.get() or session_for(None, said.plan.where)
    keyspace = keyspace_of(said.plan, session)
    said.plan.key_of((key,), {})
    generation = await seen_by(session).generation(keyspace, said.name)
    found = await read_shared(session, keyspace, table_name(said.name, generation), key)
    return None if found is None else from_json(said, *found)


async def read_shared(session: Any, keyspace: str, name: str, key: object) -> tuple[str, int] | None:
    """The JSON of a row and the version applied; None when there is none."""
    text = f"SELECT data, applied_version FROM {quote_table(SHARED, keyspace)} WHERE projection_name = ? AND key = ?"
    found = await session.execute(await session.prepare(text), (name, str(key)))
    return (found.rows[0][0], found.rows[0][1]) if found.rows else None


def from_json(said: Shared, data: str, version: int) -> Any:
    """The instance that `to_json` wrote.

    Raises:
        RowError: it does not fit the class any more.
    """
    try:
        row = said.model.model_validate_json(data)
    except ValueError as error:
        raise RowError(
            f"the stored JSON does not fit: {error}",
            where=said.model.__name__,
            remedy="Rebuild the projection after a change of the class",
        ) from error
    row.__dict__["applied_version"] = version
    return row


def to_json(row: Any) -> str:
    """The row as JSON."""
    text: str = row.model_dump_json()
    return text
