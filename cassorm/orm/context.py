"""The session that queries run on when they name none."""

from contextvars import ContextVar

from cassorm.driver.session import Session
from cassorm.errors import QueryError

current_session: ContextVar[Session | None] = ContextVar("cassorm_session", default=None)
current_keyspace: ContextVar[str | None] = ContextVar("cassorm_keyspace", default=None)

# Each task its own: what was current outside of each block that it is in.
_outside: ContextVar[tuple[Session | None, ...]] = ContextVar("cassorm_outside", default=())


def enter(session: Session) -> None:
    """Make this the session of the context, until `leave`."""
    _outside.set((*_outside.get(), current_session.get()))
    current_session.set(session)


def leave() -> None:
    """Make the session current that was so before `enter`."""
    *outside, before = _outside.get() or (None,)
    current_session.set(before)
    _outside.set(tuple(outside))


def given_session(session: Session | None) -> Session | None:
    """The session itself, when it is one, or none.

    Raises:
        QueryError: it is something else.
    """
    if session is not None and not isinstance(session, Session):
        raise QueryError(f"using({session!r})", where="query", remedy="Give the database: using(db)")
    return session


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
