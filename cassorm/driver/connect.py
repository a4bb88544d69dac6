"""Open a session."""

import asyncio
import ssl
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cassorm.cql.dialect import for_engine
from cassorm.driver.bridge import Bridge
from cassorm.driver.installed import THREAD_PREFIX, installed_driver
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError

if TYPE_CHECKING:
    from cassorm.driver.cluster import Opened

S = TypeVar("S", bound=Session)

_THREADS = 4
"""How many calls of the driver that block may be under way: connect, prepare, agree, shut down."""


def connect(
    hosts: str | Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
    ssl_context: ssl.SSLContext | None = None,
    **options: Any,
) -> "Connecting[Session]":
    """A session to the cluster behind `hosts`, for `async with ... as db` or for `db = await ...` and `db.close()`.

    `options` are fields of `Settings`, such as `keyspace=`, `user=` or `consistency=`. What is given here wins over
    `settings`, and both over the environment (CASSORM_HOSTS and so on). `ssl_context` stands instead of `tls_*`.

    Raises:
        ConfigurationError: a setting is wrong, the password is, the keyspace does not exist, no driver is installed.
        UnavailableError: no host answered; the message lists the hosts.
    """
    return Connecting(Session, chosen(hosts, settings, options), ssl_context)


def chosen(hosts: str | Sequence[str] | None, settings: Settings | None, options: dict[str, Any]) -> Settings:
    """The settings of a connection: what is given first, then `settings`, then the environment.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    given = {name: value for name, value in {"hosts": hosts, **options}.items() if value is not None}
    if settings is not None:
        given = {name: getattr(settings, name) for name in type(settings).model_fields} | given
    return Settings(**given)


class Connecting(Generic[S]):
    """A session of `session_class` that is about to be opened; await it, or enter it."""

    def __init__(self, session_class: type[S], settings: Settings, ssl_context: ssl.SSLContext | None) -> None:
        self._session_class = session_class
        self._settings = settings
        self._ssl_context = ssl_context
        self._session: S | None = None

    def __await__(self) -> Generator[Any, None, S]:
        return self._open().__await__()

    async def __aenter__(self) -> S:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _open(self) -> S:
        settings = self._settings
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=THREAD_PREFIX)
        opening = loop.run_in_executor(threads, _open, settings, self._ssl_context)
        try:
            opened = await asyncio.shield(opening)
        except BaseException:
            # Cancelled, or failed: nobody else will close what the thread may still be about to open.
            opening.add_done_callback(_close_unwanted)
            threads.shutdown(wait=False)
            raise
        return self._session_class(
            opened.wire,
            Bridge(loop, limit=settings.max_in_flight),
            threads,
            settings=settings,
            dialect=for_engine(opened.engine, opened.version),
            release=opened.version,
            datacenter=opened.datacenter,
        )


def _open(settings: Settings, ssl_context: ssl.SSLContext | None) -> "Opened":
    driver = installed_driver()
    try:
        from cassorm.driver.cluster import open_cluster  # noqa: PLC0415 - `import cassorm` must not need the driver
    except Exception as error:
        raise ConfigurationError(
            f"{driver} cannot be imported: {error}",
            where="cassorm.driver",
            remedy="Install it from a wheel, which holds its compiled modules: "
            f"`pip install --force-reinstall --only-binary :all: {driver.split()[0]}`",
        ) from error
    return open_cluster(settings, ssl_context)


def _close_unwanted(opening: "asyncio.Future[Opened]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opened = opening.result()
        # Its own thread: the loop may be about to close, and the pool takes no more work.
        ThreadPoolExecutor(1).submit(opened.wire.shutdown)
