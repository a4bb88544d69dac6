"""What stands in a field's annotation besides the Python type, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cassorm.errors import ModelError
from cassorm.schema.table import Order, Target

T = TypeVar("T")
Kind = Literal["partition", "clustering", "regular", "static", "counter", "version"]


@dataclass(frozen=True, slots=True)
class IndexOn:
    """An index on the field that carries it; `kind` None leaves it to the engine: SAI where there is one."""

    kind: str | None = None
    name: str = ""
    target: Target | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def compares_directions(self) -> bool:
        """Whether vectors are compared by their directions alone, as they are unless another function is asked for."""
        return self.options.get("similarity_function", "cosine").lower() == "cosine"


def SAI(*, name: str = "", target: Target | None = None, **options: str) -> IndexOn:  # noqa: N802 - reads as a kind
    """A storage-attached index (Cassandra 5), for `index=`; `options` are its own, such as `case_sensitive="false"`."""
    return IndexOn("sai", name, target, options)


def Secondary(*, name: str = "", target: Target | None = None) -> IndexOn:  # noqa: N802 - reads as a kind
    """A secondary index, for `index=`."""
    return IndexOn("secondary", name, target)


@dataclass(frozen=True, slots=True)
class Options:
    """What a field says about its column beyond the Python type; None where it says nothing."""

    name: str | None = None
    type: str | None = None
    order: Order | None = None
    index: IndexOn | None = None
    truncate: bool = False
    unique: bool = False


class Marker:
    """In an `Annotated`: makes the field a column of this kind."""

    kind: Kind = "regular"

    def __init__(
        self,
        *,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - the word of CQL
        order: Order | None = None,
        index: "bool | IndexOn" = False,
        truncate: bool = False,
        unique: bool = False,
    ) -> None:
        self.options = Options(name, type, order, index_on(index), truncate, unique)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    if not TYPE_CHECKING:

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, cls()]


class Freeze:
    """In an `Annotated`: the collection is stored as one value, which can be a key and is replaced as a whole."""


Frozen = Annotated[T, Freeze()]
"""`Frozen[list[str]]`: the collection is stored as one value, which can be a key and is replaced as a whole."""


@dataclass(frozen=True, slots=True)
class CqlName:
    """In an `Annotated`: the CQL type of the value, where the Python type has several."""

    text: str


def index_on(index: "bool | IndexOn | None") -> IndexOn | None:
    """The index that `index=` asks for; True leaves its kind to the engine.

    Raises:
        ModelError: it is none.
    """
    if index is True:
        return IndexOn()
    if index is None or index is False:
        return None
    if not isinstance(index, IndexOn):
        raise ModelError(f"index={index!r}", remedy="Give True, SAI(...), Secondary(...) or IndexOn(...)")
    return index
