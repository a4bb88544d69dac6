"""A prepared statement: how its values are written, and the cache that prepares each statement once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from cassorm.errors import QueryError, UnavailableError


class _Unset(Enum):
    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset.UNSET
"""As a parameter: leave the column as it is. None writes NULL, which is a deletion."""

WHOLE: Final = ("*",)
"""As `raw` of `Session.prepare`: rows come as `Undecoded`, whole pages as the bytes that came."""

Key = tuple[str, tuple[str, ...]]
Fields = tuple[tuple[str, str], ...]
"""Names and types."""
Check = Callable[["Prepared"], None]
_RENEWED = (
    "columns",
    "conditional",
    "counts",
    "handle",
    "reads",
    "returns",
    "types",
    "user_types",
    "_encoders",
    "_unset",
)
_ORDINARY = (tuple, list)


class OutdatedError(UnavailableError):
    """The statement's table has changed since it was prepared, which came out before anything took effect."""


class Prepared:
    """A statement that the cluster knows; made by `Session.prepare`, good for that session alone.

    `columns` and `types` are those of its parameters, `returns` the name and type of each column of its rows, and
    `user_types` the fields of the user types among them. `raw` are the columns that its rows leave as the bytes that
    came. `stale`: a table may have changed since; the session prepares it again before it sends it. `checks` have seen
    its columns.
    """

    __slots__ = (
        "__weakref__",
        "_encoders",
        "_unset",
        "checks",
        "columns",
        "conditional",
        "counts",
        "handle",
        "raw",
        "reads",
        "returns",
        "stale",
        "text",
        "types",
        "user_types",
    )

    def __init__(
        self,
        text: str,
        *,
        conditional: bool,
        reads: bool,
        counts: bool,
        columns: tuple[str, ...],
        types: tuple[str, ...],
        encoders: tuple[Callable[[Any], bytes], ...],
        unset: object,
        raw: tuple[str, ...],
        handle: Any,
        returns: tuple[tuple[str, str], ...] = (),
        user_types: Mapping[str, Fields] | None = None,
    ) -> None:
        self.stale = False
        self.text = text
        self.conditional = conditional
        self.reads = reads
        self.counts = counts
        self.columns = columns
        self.raw = raw
        self.handle = handle
        self.types = types
        self.returns = returns
        self.user_types = user_types or {}
        self._encoders = encoders
        self._unset = unset
        self.checks: set[Check] = set()

    def become(self, other: "Prepared") -> None:
        """Be what came of preparing the same text again.

        Raises:
            CassormError: one of the checks does not agree to it; it stays stale.
        """
        for check in self.checks:
            check(other)
        self.stale = False
        for name in _RENEWED:
            setattr(self, name, getattr(other, name))
        if other.stale:
            self.stale = True

    def encode(self, params: Sequence[object]) -> list[Any]:
        """The parameters as the driver takes them: bytes, None or its own mark for UNSET.

        Raises:
            QueryError: too few or too many, or one that does not fit its column; nothing was sent.
        """
        encoders = self._encoders
        if type(params) not in _ORDINARY and (not isinstance(params, Sequence) or isinstance(params, str | bytes)):
            raise QueryError(
                f"takes its parameters in a tuple or list, got {shortened(repr(params))}",
                where=shortened(self.text),
                remedy="Give one value for each `?`, in their order",
            )
        if len(params) != len(encoders):
            raise QueryError(
                f"takes {len(encoders)} parameters ({', '.join(self.columns)}), got {len(params)}",
                where=shortened(self.text),
                remedy="Give one value for each `?`, in their order; UNSET leaves a column as it is",
            )
        unset = self._unset
        try:
            return [
                (encode(value) if value is not UNSET else unset) if value is not None else None
                for encode, value in zip(encoders, params, strict=True)
            ]
        except Exception:  # any type's serializer, any error: looked at one by one
            return [self._encode_one(index, value) for index, value in enumerate(params)]

    def _encode_one(self, index: int, value: object) -> Any:
        if value is None:
            return None
        if value is UNSET:
            return self._unset
        try:
            return self._encoders[index](value)
        except Exception as error:
            raise QueryError(
                f"{shortened(repr(value))} ({type(value).__name__}) is no {self.types[index]}: {error}",
                where=f"parameter {self.columns[index]} of {shortened(self.text)}",
                remedy=f"Give a value that fits {self.types[index]}",
            ) from error

    def __repr__(self) -> str:
        return f"Prepared({self.text!r})"


def shortened(text: str, most: int = 160) -> str:
    """`text` on one line of at most `most` characters, for errors."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


class PreparedCache:
    """Prepares each statement once, however many ask for it at once, and keeps the `most` used last."""

    def __init__(self, prepare: Callable[[Key], Awaitable[Prepared]], *, most: int) -> None:
        self._prepare = prepare
        self._most = most
        self._kept: OrderedDict[Key, Prepared] = OrderedDict()
        self._coming: dict[Key, asyncio.Task[Prepared]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def kept(self, key: Key) -> Prepared | None:
        """The prepared statement, if nothing has to be waited for."""
        found = self._kept.get(key)
        if found is None or found.stale:
            return None
        self._kept.move_to_end(key)
        return found

    async def get(self, key: Key) -> Prepared:
        """The prepared statement; a failure is raised to all who wait for it and remembered by none."""
        found = self.kept(key)
        if found is not None:
            return found
        coming = self._coming.get(key)
        if coming is None:
            coming = self._coming[key] = asyncio.ensure_future(self._fetch(key))
            coming.add_done_callback(_retrieve)
        # Shielded: one caller's cancellation must not fail the others, nor waste what is under way.
        return await asyncio.shield(coming)

    async def _fetch(self, key: Key) -> Prepared:
        try:
            prepared = await self._prepare(key)
        finally:
            del self._coming[key]
        self._kept[key] = prepared
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return prepared


def _retrieve(task: asyncio.Task[Prepared]) -> None:
    # Marks a failure as seen: when every caller was cancelled, nobody else does.
    if not task.cancelled():
        task.exception()
