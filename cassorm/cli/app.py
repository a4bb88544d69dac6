"""The root of the `cassorm` command: which commands there are, and how an error leaves it."""

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from cassorm import __version__
from cassorm.cli.output import report
from cassorm.errors import CassormError

# Name -> the module whose `app` (a typer.Typer) it is; imported when the command is used, so that each starts fast.
COMMANDS = {
    "bench": "cassorm.cli.bench",
    "doctor": "cassorm.cli.doctor",
    "events": "cassorm.cli.events",
    "node": "cassorm.cli.node",
    "projections": "cassorm.cli.projections",
    "schema": "cassorm.cli.schema",
}


class Commands(typer.core.TyperGroup):
    """The commands of the table, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cassorm {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Typed tables, event sourcing and real nodes for Apache Cassandra and ScyllaDB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code, or leave by SystemExit where a command says so itself."""
    try:
        app(args=arguments, prog_name="cassorm")
    except CassormError as error:
        return report(error)
    return 0
