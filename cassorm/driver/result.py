"""What a statement returned."""

from collections.abc import Iterator
from typing import Any

APPLIED = "[applied]"


class Result:
    """One page of rows, as tuples in the order of `columns`.

    `page_state` is None on the last page; else `Session.execute(..., page_state=...)` fetches the next one.
    """

    __slots__ = ("columns", "page_state", "rows")

    def __init__(
        self, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = (), page_state: bytes | None = None
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.page_state = page_state

    @property
    def applied(self) -> bool | None:
        """Whether the conditional statement took effect; None when the statement was not conditional."""
        if not self.rows or APPLIED not in self.columns:
            return None
        return bool(self.rows[0][self.columns.index(APPLIED)])

    def one(self) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return self.rows[0] if self.rows else None

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __repr__(self) -> str:
        more = ", more pages" if self.page_state is not None else ""
        return f"Result({len(self.rows)} rows of {', '.join(self.columns) or 'no columns'}{more})"
