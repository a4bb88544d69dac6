"""What all commands share: data on stdout, the rest on stderr, `--json`, errors as one message, exit codes.

Exit codes: 0 fine, 1 a negative finding (a difference, a node that is down), 2 usage or configuration, 3 the cluster cannot be
reached or started, 130 interrupted.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

import typer

from cassorm.errors import (
    CassormError,
    ClusterError,
    ConfigurationError,
    DevNodeError,
    MigrationError,
    ModelError,
    QueryError,
    SchemaDriftError,
    SchemaError,
)

FINE, NEGATIVE, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

T = TypeVar("T")


def exit_code(error: CassormError) -> int:
    """The exit code that tells a script what kind of error it was."""
    if isinstance(error, ClusterError | DevNodeError):
        return UNREACHABLE
    if isinstance(error, SchemaDriftError | MigrationError):
        return NEGATIVE
    if isinstance(error, ConfigurationError | ModelError | QueryError | SchemaError):
        return USAGE
    return NEGATIVE


def run(work: Coroutine[Any, Any, T], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """What the coroutine returns; an interrupt lets it clean up and then ends the command with exit code 130."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def data(value: object, text: str, *, as_json: bool) -> None:
    """Print the result to stdout: `value` as JSON, or `text` for people (nothing when it is empty)."""
    if as_json:
        text = json.dumps(value, indent=2, default=_plain)
    if text:
        typer.echo(text)


def note(text: str) -> None:
    """Print progress or a hint to stderr."""
    typer.echo(text, err=True)


def report(error: CassormError) -> int:
    """Print the error as one message to stderr; return the exit code for it."""
    note(f"cassorm: {error}")
    return exit_code(error)


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows as aligned columns under a header; empty when there are none."""
    if not rows:
        return ""
    lines = [[name.upper() for name in header], *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON output")
