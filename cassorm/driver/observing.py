"""One hook: whoever asks is told of the statements that sessions send, and may have the server trace them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SentStatement:
    """A statement as it was sent: a batch has the texts and the parameters of all its statements.

    `following` tells that it asked for a further page of a result.
    """

    text: str
    params: tuple[object, ...] = ()
    following: bool = False


class Observer:
    """Is told of each statement that is sent in its context, also by tasks that were begun there."""

    def sent(self, statement: SentStatement) -> None:
        """A statement was sent; its answer is still to come."""

    def traces(self, text: str) -> bool:
        """Whether the server is to trace the statement of this text."""
        return False

    def traced(self, text: str, trace_id: UUID) -> None:
        """The statement was answered; the server noted under `trace_id` what it did."""


observers: ContextVar[tuple[Observer, ...]] = ContextVar("cassorm_observers", default=())


@contextmanager
def observed_by(*those: Observer) -> Iterator[None]:
    """Inside the block `those` are told, besides who is told already; without any of them nobody is."""
    token = observers.set((*observers.get(), *those) if those else ())
    try:
        yield
    finally:
        observers.reset(token)
