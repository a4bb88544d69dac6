"""What was replayed: one stream for each file, and a catalogue of them; the report finds all other streams by these."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pydantic import Field

from cassorm import Aggregate, Event, Value, aggregate, apply
from examples.ecommerce.rows import Checked, SetAside

CHUNK = 50_000
"""Rows that are applied together, unless a file's first run says otherwise."""
_NAMES = 1_000
"""Names in one event at most."""


class FileAdded(Event, name="shop.FileAdded"):
    """A file was replayed for the first time; `digest` is the SHA-256 of what it holds."""

    digest: str


class ImportStarted(Event, name="shop.ImportStarted"):
    """The file was checked to its end, and is going to be applied."""

    file: str
    rows: int
    chunk: int


class RowSetAside(Event, name="shop.RowSetAside"):
    """A row was not applied."""

    file_line: int
    reason: str
    detail: str
    text: str


class OrdersListed(Event, name="shop.OrdersListed"):
    """Orders that the file has lines of."""

    names: tuple[str, ...]


class ReturnsListed(Event, name="shop.ReturnsListed"):
    """Returns that the file has lines of."""

    names: tuple[str, ...]


class ProductsListed(Event, name="shop.ProductsListed"):
    """Products that the file sells or returns."""

    names: tuple[str, ...]


class CustomersListed(Event, name="shop.CustomersListed"):
    """Customers that the file names."""

    names: tuple[str, ...]


class ChunkBegun(Event, name="shop.ChunkBegun"):
    """All chunks before this one are applied; this one is listed, and may be in part."""

    chunk: int


class ImportFinished(Event, name="shop.ImportFinished"):
    """Every row was applied or set aside."""


class Names(NamedTuple):
    """What a part of a file speaks of."""

    orders: Iterable[str]
    returns: Iterable[str]
    products: Iterable[str]
    customers: Iterable[str]


class KeptAside(Value):
    """A row that was set aside."""

    file_line: int
    reason: str
    detail: str
    text: str


@aggregate("Import")
class Import(Aggregate):
    """How far a file is applied, what it speaks of, and its rows that were set aside."""

    file: str = ""
    rows: int = 0
    chunk: int = 0
    begun: int = 0
    finished: bool = False
    orders: set[str] = Field(default_factory=set)
    returns: set[str] = Field(default_factory=set)
    products: set[str] = Field(default_factory=set)
    customers: set[str] = Field(default_factory=set)
    set_aside: list[KeptAside] = Field(default_factory=list)

    def start(self, checked: Checked, chunk: int) -> None:
        """Begin, unless it was begun before; then the number of rows in a chunk stays what it was."""
        if not self.chunk:
            self.emit(ImportStarted(file=checked.path.name, rows=checked.rows, chunk=chunk))

    def keep_aside(self, rows: Sequence[SetAside]) -> None:
        """Note rows that are set aside, in the order of the file; those noted before are passed over."""
        done = self.set_aside[-1].file_line if self.set_aside else 0
        for row in rows:
            if row.file_line > done:
                self.emit(RowSetAside(file_line=row.file_line, reason=row.reason, detail=row.detail, text=row.text))

    def begin(self, chunk: int, names: Names) -> None:
        """List what a chunk speaks of, before any of its rows is applied; unless it was begun before."""
        if chunk <= self.begun:
            return
        for listed in _portions(names.orders, self.orders):
            self.emit(OrdersListed(names=listed))
        for listed in _portions(names.returns, self.returns):
            self.emit(ReturnsListed(names=listed))
        for listed in _portions(names.products, self.products):
            self.emit(ProductsListed(names=listed))
        for listed in _portions(names.customers, self.customers):
            self.emit(CustomersListed(names=listed))
        self.emit(ChunkBegun(chunk=chunk))

    def finish(self) -> None:
        """Note that everything is applied."""
        if not self.finished:
            self.emit(ImportFinished())

    @apply
    def _(self, event: ImportStarted) -> None:
        self.file = event.file
        self.rows = event.rows
        self.chunk = event.chunk

    @apply
    def _(self, event: RowSetAside) -> None:
        self.set_aside.append(KeptAside(**dict(event)))

    @apply
    def _(self, event: OrdersListed) -> None:
        self.orders.update(event.names)

    @apply
    def _(self, event: ReturnsListed) -> None:
        self.returns.update(event.names)

    @apply
    def _(self, event: ProductsListed) -> None:
        self.products.update(event.names)

    @apply
    def _(self, event: CustomersListed) -> None:
        self.customers.update(event.names)

    @apply
    def _(self, event: ChunkBegun) -> None:
        self.begun = event.chunk

    @apply
    def _(self, _event: ImportFinished) -> None:
        self.finished = True


@aggregate("Catalogue")
class Catalogue(Aggregate):
    """All files that were replayed, by the SHA-256 of what they hold, in the order of their coming."""

    digests: list[str] = Field(default_factory=list)

    def add(self, digest: str) -> None:
        """Add a file, unless it is there."""
        if digest not in self.digests:
            self.emit(FileAdded(digest=digest))

    @apply
    def _(self, event: FileAdded) -> None:
        self.digests.append(event.digest)


def _portions(names: Iterable[str], known: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the names that are not known yet, sorted, some at a time."""
    new = iter(sorted(set(names) - known))
    while portion := tuple(islice(new, _NAMES)):
        yield portion
