"""Count what a test sends: `with assert_queries(2):`."""

from collections.abc import Iterator
from contextlib import contextmanager

from cassorm.driver.observing import Observer, SentStatement, observed_by

_SHOWN = 300


class QueryLog(Observer):
    """The statements sent so far, in their order; a further page of a result is one as well."""

    def __init__(self) -> None:
        self.statements: list[SentStatement] = []

    def sent(self, statement: SentStatement) -> None:
        """Keep the statement."""
        self.statements.append(statement)

    def __len__(self) -> int:
        return len(self.statements)

    def __str__(self) -> str:
        return "\n".join(f"{number:>3}. {_line(each)}" for number, each in enumerate(self.statements, 1))


@contextmanager
def assert_queries(exactly: int | None = None, *, max: int | None = None) -> Iterator[QueryLog]:  # noqa: A002 - reads so
    """Inside the block this many statements are sent, or at most `max`; the failure shows them with their values.

    Counted is what is sent in this context, over any session: reads, writes, batches as one, further pages of a
    result; by tasks that were begun inside as well. Without a number nothing is asserted, and the log can be read.

    Raises:
        AssertionError: at the end of the block, when it was another number.
    """
    log = QueryLog()
    with observed_by(log):
        yield log
    if exactly is not None and len(log) != exactly:
        raise AssertionError(f"{exactly} statements were to be sent, {len(log)} were:\n{log}")
    if max is not None and len(log) > max:
        raise AssertionError(f"at most {max} statements were to be sent, {len(log)} were:\n{log}")


def _line(statement: SentStatement) -> str:
    values = f"  {list(statement.params)!r}" if statement.params else ""
    values = values if len(values) <= _SHOWN else f"{values[:_SHOWN]}..."
    return f"{statement.text}{values}{'  (a further page)' if statement.following else ''}"
