"""CQL as it is, with its rows as tuples or instances."""

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from cassorm.driver.paging import Pages
from cassorm.driver.prepared import Check
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import ModelError, QueryError, RowError
from cassorm.orm.hydration import make_hydrate
from cassorm.orm.model_plan import plan_of

R = TypeVar("R")

Rows = Sequence[tuple[Any, ...]]


class Raw(Generic[R]):
    """What a statement returns: await it for a list, or iterate over it."""

    def __init__(
        self, session: Session, text: str, params: Sequence[object], into: type[BaseModel] | None, options: Any
    ) -> None:
        if into is not None and not (isinstance(into, type) and issubclass(into, BaseModel)):
            raise QueryError(
                f"into={into!r}", where=str(text), remedy="Give a pydantic model, or leave it out for tuples"
            )
        self._session = session
        self._text = text
        self._params = params
        self._into = into
        self._options = options

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._all().__await__()

    async def _all(self) -> list[R]:
        return [row async for row in self]

    async def __aiter__(self) -> AsyncIterator[R]:
        session = self._session
        prepared = await session.prepare(self._text, check=_check(self._into))
        found: Result | None = None

        async def fetch(page_state: bytes | None) -> Result:
            nonlocal found
            found = await session.execute(prepared, self._params, page_state=page_state, **self._options)
            return found

        pages, hydrate = Pages(fetch), None
        try:
            async for rows in pages:
                if hydrate is None and found is not None:
                    hydrate = _hydrate(self._into, found.columns, self._text)
                for row in hydrate(rows) if hydrate is not None else ():
                    yield row
        finally:
            pages.close()
        if hydrate is None and found is not None:
            # Also of a result without rows it is told what does not fit.
            _hydrate(self._into, found.columns, self._text)


def _check(into: type[BaseModel] | None) -> Check | None:
    try:
        return None if into is None else plan_of(into).check
    except ModelError:
        return None


def _hydrate(into: type[BaseModel] | None, columns: tuple[str, ...], text: str) -> Callable[[Rows], Sequence[Any]]:
    if into is None:
        return lambda rows: [tuple(_plain(value) for value in row) for row in rows]
    try:
        plan = plan_of(into)
    except ModelError:
        return _validated(into, columns)
    unknown = [name for name in columns if name not in plan.by_column]
    if unknown:
        raise QueryError(
            f"returns {', '.join(unknown)}, which {plan.where} has not",
            where=text,
            remedy="Name the columns to read, or read them into another model",
        )
    return make_hydrate(into, [plan.by_column[name] for name in columns])


def _validated(into: type[BaseModel], columns: tuple[str, ...]) -> Callable[[Rows], Sequence[Any]]:
    def hydrate(rows: Rows) -> list[Any]:
        try:
            return [
                into.model_validate({name: _plain(value) for name, value in zip(columns, row, strict=True)})
                for row in rows
            ]
        except ValidationError as error:
            raise RowError(str(error), where=into.__name__, remedy="Change the model, or the statement") from error

    return hydrate


def _plain(value: Any) -> Any:
    """The driver's sets, maps and times as Python's."""
    if value is None or type(value).__module__ == "builtins":
        if isinstance(value, list | tuple):
            return type(value)(_plain(part) for part in value)
        return value
    if hasattr(value, "_items") and hasattr(value, "items"):
        return {_plain(name): _plain(part) for name, part in value._items}
    if type(value).__name__ == "SortedSet":
        return {_plain(part) for part in value}
    if hasattr(value, "nanosecond_time"):
        return value.time()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    return value
