"""How to reach a cluster: arguments of `connect`, or environment variables that begin with CASSORM_."""

import ssl
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cassorm.driver.consistency import Consistency
from cassorm.errors import ConfigurationError

_PREFIX = "CASSORM_"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            return value
    return value


def _positive(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= timedelta(days=1):
        raise ValueError("must be above zero and at most a day")
    return value


def _level(value: object) -> object:
    if isinstance(value, str):
        try:
            return Consistency[value.strip().upper()]
        except KeyError:
            raise ValueError(f"must be one of {', '.join(level.name for level in Consistency)}") from None
    return value


def _serial(value: Consistency) -> Consistency:
    if not value.is_serial:
        raise ValueError("must be SERIAL or LOCAL_SERIAL")
    return value


Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
Level = Annotated[Consistency, BeforeValidator(_level)]


class Settings(BaseSettings):
    """How to reach a cluster; every field is read from CASSORM_<NAME> unless it is given.

    `hosts` are contact points, "host" or "host:port", comma-separated in the environment; the others are found from
    them. Durations are seconds in the environment. The password is never shown.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True, arbitrary_types_allowed=True)

    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)] = ("127.0.0.1",)
    port: Annotated[int, Field(ge=1, le=65535)] = 9042
    keyspace: Annotated[str, Field(min_length=1, max_length=48)] | None = None
    datacenter: Annotated[str, Field(min_length=1)] | None = None
    user: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_verify: bool = True
    consistency: Level = Consistency.LOCAL_QUORUM
    serial_consistency: Annotated[Level, AfterValidator(_serial)] = Consistency.LOCAL_SERIAL
    request_timeout: Duration = timedelta(seconds=10)
    connect_timeout: Duration = timedelta(seconds=10)
    max_in_flight: Annotated[int, Field(ge=1, le=16_384)] = 1024
    max_prepared: Annotated[int, Field(ge=1)] = 1000
    protocol_version: Literal[4, 5] = 4
    compression: bool = False

    def __init__(self, **values: Any) -> None:
        """Take `values`, then the environment, then the defaults.

        Raises:
            ConfigurationError: names the setting, the value and the remedy.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explained(error) from None

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together: set both, or neither")
        given = [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(self, name) is not None]
        if given and not self.tls:
            raise ValueError(f"{given[0]} is set but tls is off: set tls as well")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both, or neither")
        return self

    def contact_points(self) -> list[tuple[str, int]]:
        """Host and port of each contact point.

        Raises:
            ConfigurationError: a host is not "host" or "host:port".
        """
        return [_contact_point(host, self.port) for host in self.hosts]

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS context that the settings describe; None without TLS.

        Raises:
            ConfigurationError: a file cannot be read or is no certificate or key.
        """
        if not self.tls:
            return None
        context: ssl.SSLContext = _from_file(
            "tls_ca", self.tls_ca, lambda path: ssl.create_default_context(cafile=path)
        )
        if self.tls_cert is not None:
            _from_file("tls_cert", self.tls_cert, lambda path: context.load_cert_chain(path, self.tls_key))
        if not self.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _from_file(setting: str, path: str | None, load: Any) -> Any:
    try:
        return load(path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"{setting} = {path!r} cannot be loaded: {error}",
            where=f"setting {_PREFIX}{setting.upper()}",
            remedy="Give the path of a readable PEM file",
        ) from error


def _contact_point(host: str, default_port: int) -> tuple[str, int]:
    name, _, port = host.rpartition(":") if _has_port(host) else (host, "", str(default_port))
    name = name.removeprefix("[").removesuffix("]")
    if not name or not port.isdecimal() or not 0 < int(port) < 65_536 or any(sign in name for sign in "/ "):
        raise ConfigurationError(
            f"{host!r} is no host",
            where=f"setting {_PREFIX}HOSTS",
            remedy='Write "host" or "host:port", such as "10.0.0.1" or "[::1]:9042"',
        )
    return name, int(port)


def _has_port(host: str) -> bool:
    # An IPv6 address has colons of its own: its port stands behind brackets.
    return "]:" in host if host.startswith("[") else host.count(":") == 1


def _explained(error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    problem = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return ConfigurationError(problem, where="settings", remedy=f"Give arguments or set {_PREFIX}* variables")
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return ConfigurationError(
            f"no setting is called {name}", where="settings", remedy=f"Use one of {', '.join(Settings.model_fields)}"
        )
    shown = "(not shown)" if name == "password" else repr(first["input"])
    return ConfigurationError(
        f"{name} = {shown}: {problem}",
        where=f"setting {_PREFIX}{name.upper()}",
        remedy=f"Correct the argument {name} or the variable {_PREFIX}{name.upper()}",
    )
