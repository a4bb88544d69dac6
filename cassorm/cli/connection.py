"""How commands reach a cluster: the options that they share, the settings, the session."""

from typing import Annotated, Any

import typer

from cassorm.driver.connect import connect
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError

Hosts = Annotated[
    str | None, typer.Option(help="Hosts to connect to, with commas; else CASSORM_HOSTS.", metavar="HOST:PORT")
]
KeyspaceOption = Annotated[
    str | None, typer.Option("--keyspace", help="The keyspace of what names none; else CASSORM_KEYSPACE.")
]


def settings_for(hosts: str | None) -> Settings:
    """The settings of the environment, with these hosts when they are given."""
    return Settings(**({} if hosts is None else {"hosts": hosts}))


def open_session(settings: Settings, keyspace: str | None = None) -> Any:
    """A session, in no keyspace unless one is given: it may still have to be created."""
    return connect(settings=settings.model_copy(update={"keyspace": keyspace}))


def split_name(name: str, keyspace: str | None) -> tuple[str, str]:
    """Keyspace and name out of `KEYSPACE.NAME`, or of `NAME` and the keyspace given beside it.

    Raises:
        ConfigurationError: no keyspace is given.
    """
    before, dot, after = name.partition(".")
    if dot and before and after:
        return before, after
    if dot or not keyspace:
        raise ConfigurationError(
            f"{name!r} names no keyspace", where="arguments", remedy="Write KEYSPACE.NAME, or add --keyspace"
        )
    return keyspace, name


def count(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
