"""What a benchmark does, as a value that a YAML file may give; `Workload()` is what runs without a file."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cassorm.errors import ConfigurationError, SchemaFileError
from cassorm.schema.documents import Document, parse_yaml

ColumnType = Literal[
    "uuid", "text", "int", "bigint", "double", "float", "boolean", "timestamp", "date", "decimal", "blob"
]
"""The types of which a benchmark knows sample values."""

_DEFAULT_LENGTH = 20
_LENGTH_FOR = ("text", "blob")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BenchColumn(_Form):
    """A column of the table that `write` and `read` use; `length` is that of a text or blob."""

    type: ColumnType
    length: Annotated[int, Field(ge=1, le=1_000_000)] = _DEFAULT_LENGTH

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> "BenchColumn":
        if "length" in self.model_fields_set and self.type not in _LENGTH_FOR:
            raise ValueError(f"a column of type {self.type} has no length")
        return self


def _columns(**types: str | tuple[str, int]) -> dict[str, BenchColumn]:
    return {
        name: BenchColumn.model_validate(kind if isinstance(kind, str) else {"type": kind[0], "length": kind[1]})
        for name, kind in types.items()
    }


def _seconds(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=100_000_000)]


class Workload(_Form):
    """How a benchmark is run; one value for all of them, each takes what concerns it."""

    concurrencies: Annotated[list[Annotated[int, Field(ge=1, le=16_384)]], Field(min_length=1)] = [64, 128, 256]
    """Operations in flight; the figures are those of the best, for each side its own."""
    rounds: Annotated[int, Field(ge=1, le=1000)] = 5
    """How often every side has its turn; ratios are medians over the rounds."""
    seconds: Seconds = 1.5
    """The length of one turn."""
    warmup_seconds: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=3600)] = 60.0
    """Load before the first turn: a JVM needs about a minute of it."""
    columns: Annotated[dict[str, BenchColumn], Field(min_length=2)] = _columns(
        id="uuid",
        email="text",
        name="text",
        age="int",
        balance="double",
        active="boolean",
        created_at="timestamp",
        score="bigint",
        country="text",
        bio=("text", 80),
    )
    """The table of `write` and `read`; the first column is its key, a uuid."""
    rows: Count = 5_000
    """How many rows `read` finds to read from."""
    events_per_append: Annotated[list[Annotated[int, Field(ge=1, le=32)]], Field(min_length=1)] = [1, 10]
    """The sizes of an append that `append` measures."""
    appends_per_stream: Count = 10
    """After so many appends to a stream, a new one is begun."""
    scan_rows: Count = 1_000_000
    """The rows of the table that `scan` reads as a whole."""
    replay_events: Count = 100_000
    """The length of the stream that `replay` reads."""
    short_stream: Count = 100
    """The length of the one stream that `load` compares, ..."""
    long_stream: Count = 1_000_000
    """... and that of the other."""
    loads: Annotated[int, Field(ge=3, le=100_000)] = 300
    """How often `load` loads each."""
    feed_rate: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=100_000)] = 500.0
    """The events a second that `feed lag` appends, ..."""
    feed_seconds: Seconds = 60.0
    """... for so long, ..."""
    feed_streams: Count = 1_000
    """... to any of so many streams."""
    idle_seconds: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=3600)] = 60.0
    """After so long without any, `feed lag` appends one more; 0 leaves it out."""
    catchup_events: Count = 200_000
    """How many events there are for `feed catchup`, ten in a stream."""
    catchup_rounds: Annotated[int, Field(ge=1, le=1000)] = 3
    """How often it catches up in each way."""
    idle_streams: Count = 10_000
    """The many streams of `feed idle`."""
    idle_tenants: Count = 100
    """The stores that one process of `feed idle` serves."""
    idle_watch_seconds: Seconds = 30.0
    """How long it watches a worker."""

    @model_validator(mode="after")
    def _whole(self) -> "Workload":
        key, column = next(iter(self.columns.items()))
        if column.type != "uuid":
            raise ValueError(f"columns: the first, {key}, is the key and has to be a uuid, not {column.type}")
        return self

    @property
    def middle_concurrency(self) -> int:
        """The concurrency of the warm-up."""
        return sorted(self.concurrencies)[len(self.concurrencies) // 2]

    def quick(self) -> "Workload":
        """The same in a few seconds: it shows that everything works, and no speed."""
        return self.model_copy(
            update={
                "concurrencies": [self.middle_concurrency],
                "rounds": min(self.rounds, 2),
                "seconds": min(self.seconds, 0.1),
                "warmup_seconds": min(self.warmup_seconds, 0.1),
                "rows": min(self.rows, 200),
                "scan_rows": min(self.scan_rows, 2_000),
                "replay_events": min(self.replay_events, 2_000),
                "long_stream": min(self.long_stream, 2_000),
                "loads": min(self.loads, 5),
                "feed_rate": min(self.feed_rate, 100),
                "feed_seconds": min(self.feed_seconds, 1),
                "feed_streams": min(self.feed_streams, 20),
                "idle_seconds": min(self.idle_seconds, 0.5),
                "catchup_events": min(self.catchup_events, 200),
                "catchup_rounds": 1,
                "idle_streams": min(self.idle_streams, 30),
                "idle_tenants": min(self.idle_tenants, 2),
                "idle_watch_seconds": min(self.idle_watch_seconds, 0.3),
            }
        )


def load_workload(path: Path) -> Workload:
    """The workload that a YAML file gives; what it leaves out is as in `Workload()`.

    Raises:
        ConfigurationError: the file cannot be read, or holds a key or a value that no workload has; the error names
            its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the workload cannot be read: {error}", where=str(path), remedy="Give the path of a YAML file"
        ) from error
    try:
        document = parse_yaml(text, str(path))
    except SchemaFileError as error:
        raise ConfigurationError(error.problem, where=error.where, remedy=error.remedy) from error
    data = {} if document.data is None else document.data
    if not isinstance(data, Mapping):
        raise ConfigurationError(
            "the workload is no mapping", where=str(path), remedy=f"Write keys such as {', '.join(_keys(Workload)[:3])}"
        )
    try:
        return Workload.model_validate(dict(data))
    except ValidationError as error:
        raise _refused(error, document, path) from None


def _keys(form: type[_Form]) -> list[str]:
    return list(form.model_fields)


def _refused(errors: ValidationError, document: Document, path: Path) -> ConfigurationError:
    error: Any = errors.errors(include_url=False)[0]
    place = tuple(error["loc"])
    line = document.line(place)
    where = f"{path}:{line}" if line is not None else str(path)
    name = ".".join(map(str, place))
    if error["type"] == "extra_forbidden":
        known = _keys(BenchColumn if len(place) > 1 else Workload)
        near = difflib.get_close_matches(str(place[-1]), known, n=2, cutoff=0.5)
        remedy = f"Did you mean {' or '.join(near)}?" if near else f"Use {', '.join(known)}"
        return ConfigurationError(f"unknown key {name}", where=where, remedy=remedy)
    if error["type"] == "literal_error":
        return ConfigurationError(
            f"{name}: {error['input']!r}", where=where, remedy=f"Use one of {', '.join(get_args(ColumnType))}"
        )
    problem = str(error["msg"]).removeprefix("Value error, ")
    shown = f" (found {error['input']!r})" if place and error["type"] != "value_error" else ""
    return ConfigurationError(f"{name}: {problem}{shown}" if name else problem, where=where, remedy="Correct the value")
