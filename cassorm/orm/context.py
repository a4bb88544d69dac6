"""The session that queries run on when they name none."""

from contextvars import ContextVar

from cassorm.driver.session import Session
from cassorm.errors import QueryError

current_session: ContextVar[Session | None] = ContextVar("cassorm_session", default=None)
current_keyspace: ContextVar[str | None] = ContextVar("cassorm_keyspace", default=None)


def session_for(given: Session | None, where: str) -> Session:
    """The session that was given, else that of the context.

    Raises:
        QueryError: there is neither.
    """
    found = given or current_session.get()
    if found is None:
        raise QueryError(
            "no database to run on", where=where, remedy="Run it inside `async with db:`, or give it one with using(db)"
        )
    return found
