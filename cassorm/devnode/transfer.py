"""Brings jars from a Maven repository: in parallel, retried, checked, and in place only when whole.

`requests` itself honours proxies and REQUESTS_CA_BUNDLE. Imported only when a jar is missing: a complete cache needs
neither its import time nor a network.
"""

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from requests import RequestException, Response, Session

from cassorm.devnode.lock import Jar
from cassorm.errors import DevNodeError

MIRROR_VARIABLE = "CASSORM_MAVEN_MIRROR"
WORKERS = 8
ATTEMPTS = 4
PAUSE_S = 0.5  # before the second attempt; doubled before each further one
TIMEOUT_S = (10, 60)  # to connect, and between two chunks
CHUNK = 1 << 16
JAR_TIME = (
    1_577_836_800  # one time for every copy: the JVM drops a class archive when a jar's time is not the one it saw
)
ASK_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _BrokenError(Exception):
    """One attempt failed in a way that another attempt may not."""


class Transfer:
    """One run: fetches `jars` into `folder`; it ends soon when another thread sets `cancel`."""

    def __init__(
        self,
        jars: Iterable[Jar],
        folder: Path,
        *,
        mirror: str | None = None,
        progress: Callable[[int], None] = lambda _: None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._folder = folder
        self._root = (mirror or os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL_URL).rstrip("/")
        self._progress = progress
        self._todo: queue.SimpleQueue[Jar] = queue.SimpleQueue()
        # The large ones first: a large one begun last would be waited for alone.
        for jar in sorted(jars, key=lambda jar: -jar.size):
            self._todo.put(jar)
        self._ended = cancel or threading.Event()

    def run(self) -> None:
        """Fetch all; a jar is in place under its name as soon as it is whole.

        Raises:
            DevNodeError: a jar cannot be had; names the address, the cause and what to set.
        """
        with ThreadPoolExecutor(WORKERS, "cassorm-jars") as pool:
            for worker in [pool.submit(self._work) for _ in range(WORKERS)]:
                worker.result()

    def _work(self) -> None:
        with Session() as session:
            while not self._ended.is_set():
                try:
                    jar = self._todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._fetch(session, jar)
                except BaseException:
                    self._ended.set()
                    raise

    def _fetch(self, session: Session, jar: Jar) -> None:
        address = f"{self._root}/{jar.repository_path}"
        for attempt in range(ATTEMPTS):
            if attempt:
                self._ended.wait(PAUSE_S * 2 ** (attempt - 1))
            if self._ended.is_set():
                return
            try:
                self._attempt(session, jar, address)
            except (_BrokenError, RequestException) as error:
                cause = error
            except OSError as error:
                raise DevNodeError(
                    f"{jar.file_name} cannot be written: {error.strerror}",
                    where=str(self._folder),
                    remedy="Make room or make it writable, or move the cache with XDG_CACHE_HOME",
                ) from error
            else:
                return
        raise DevNodeError(
            f"the jar could not be fetched after {ATTEMPTS} attempts: {cause}",
            where=address,
            remedy="Check the network, the proxy variables and REQUESTS_CA_BUNDLE, "
            f"or name a reachable Maven repository in {MIRROR_VARIABLE}; jars already here are kept",
        ) from cause

    def _attempt(self, session: Session, jar: Jar, address: str) -> None:
        with session.get(address, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code in ASK_AGAIN:
                raise _BrokenError(f"HTTP {response.status_code}")
            if not response.ok:
                raise DevNodeError(
                    f"the repository answers HTTP {response.status_code} {response.reason}",
                    where=address,
                    remedy=f"Name a complete Maven repository in {MIRROR_VARIABLE}, or unset it",
                )
            self._save(response, jar)

    def _save(self, response: Response, jar: Jar) -> None:
        target = self._folder / jar.file_name
        draft = self._folder / f".{jar.file_name}.{os.getpid()}.{threading.get_ident()}"
        digest, size = hashlib.sha256(), 0
        try:
            with draft.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    if self._ended.is_set():
                        return
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    self._progress(len(chunk))
            if digest.hexdigest() != jar.sha256:
                raise _BrokenError(
                    f"{size} bytes with SHA-256 {digest.hexdigest()}, the lock says {jar.size} and {jar.sha256}"
                )
            os.utime(draft, (JAR_TIME, JAR_TIME))
            draft.replace(target)
        except BaseException:
            self._progress(-size)
            raise
        finally:
            draft.unlink(missing_ok=True)
