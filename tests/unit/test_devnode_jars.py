import hashlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cassorm.devnode import jars as jars_module
from cassorm.devnode import transfer
from cassorm.devnode.jars import ensure_jars, missing_jars
from cassorm.devnode.lock import Jar
from cassorm.errors import DevNodeError

NAMES = ("alpha", "beta", "gamma")


def content_of(name: str) -> bytes:
    return name.encode() * 40_000


def jar_of(name: str) -> Jar:
    content = content_of(name)
    return Jar("org.example", name, "1.0", None, hashlib.sha256(content).hexdigest(), len(content), None)


JARS = tuple(jar_of(name) for name in NAMES)


class Repository:
    """A Maven repository on this machine: counts what is asked, and misbehaves when told to."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.refuse_first: set[str] = set()
        self.cut_first: set[str] = set()
        self.absent: set[str] = set()
        self.wrong: set[str] = set()
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/maven"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.rpartition("/")[2].removesuffix("-1.0.jar")
        self.asked[name] += 1
        first = self.asked[name] == 1
        if name in self.absent or request.path != f"/maven/org/example/{name}/1.0/{name}-1.0.jar":
            return request.send_error(404)
        if name in self.refuse_first and first:
            return request.send_error(503)
        content = content_of(name)
        if name in self.wrong:
            content = content[::-1]
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if name in self.cut_first and first else content)
        return None

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    monkeypatch.setattr(transfer, "PAUSE_S", 0.01)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    serving = Repository()
    yield serving
    serving.close()


def test_missing_jars_are_fetched_in_class_path_order(repository: Repository, tmp_path: Path) -> None:
    paths = ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert [path.name for path in paths] == ["alpha-1.0.jar", "beta-1.0.jar", "gamma-1.0.jar"]
    assert [path.read_bytes() for path in paths] == [content_of(name) for name in NAMES]
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in paths}
    assert left == {"verified.json"}


def test_a_complete_cache_needs_no_network(repository: Repository, tmp_path: Path) -> None:
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    paths = ensure_jars(JARS, tmp_path, mirror="http://127.0.0.1:9/nobody")
    assert len(paths) == 3
    assert repository.asked == dict.fromkeys(NAMES, 1)


def test_a_jar_is_hashed_once_and_not_at_every_start(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert missing_jars(JARS, tmp_path) == []


def test_a_truncated_jar_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    paths = ensure_jars(JARS, tmp_path, mirror=repository.address)
    paths[1].write_bytes(content_of("beta")[:-1])
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert paths[1].read_bytes() == content_of("beta")
    assert repository.asked == {"alpha": 1, "beta": 2, "gamma": 1}


def test_an_altered_jar_of_the_same_size_and_time_is_fetched_again(repository: Repository, tmp_path: Path) -> None:
    paths = ensure_jars(JARS, tmp_path, mirror=repository.address)
    before = paths[2].stat()
    paths[2].write_bytes(b"x" + content_of("gamma")[1:])
    os.utime(paths[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert paths[2].read_bytes() == content_of("gamma")


def test_a_lost_jar_and_a_damaged_stamp_file_are_made_good(repository: Repository, tmp_path: Path) -> None:
    paths = ensure_jars(JARS, tmp_path, mirror=repository.address)
    paths[0].unlink()
    (tmp_path / "verified.json").write_text("{ not json")
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert missing_jars(JARS, tmp_path) == []
    assert repository.asked == {"alpha": 2, "beta": 1, "gamma": 1}


def test_a_busy_server_and_a_cut_connection_are_tried_again(repository: Repository, tmp_path: Path) -> None:
    repository.refuse_first = {"alpha"}
    repository.cut_first = {"beta"}
    ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert missing_jars(JARS, tmp_path) == []
    assert repository.asked == {"alpha": 2, "beta": 2, "gamma": 1}


def test_a_jar_with_another_hash_never_gets_its_name(repository: Repository, tmp_path: Path) -> None:
    repository.wrong = {"beta"}
    with pytest.raises(DevNodeError, match="the lock says") as caught:
        ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert caught.value.where == f"{repository.address}/org/example/beta/1.0/beta-1.0.jar"
    assert "CASSORM_MAVEN_MIRROR" in str(caught.value)
    assert not (tmp_path / "beta-1.0.jar").exists()
    assert not list(tmp_path.glob(".*"))


def test_an_incomplete_mirror_is_named(repository: Repository, tmp_path: Path) -> None:
    repository.absent = {"gamma"}
    with pytest.raises(DevNodeError, match="HTTP 404"):
        ensure_jars(JARS, tmp_path, mirror=repository.address)
    assert repository.asked["gamma"] == 1


def test_a_host_that_does_not_answer_is_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(DevNodeError, match="could not be fetched after 4 attempts") as caught:
        ensure_jars(JARS, tmp_path, mirror="http://127.0.0.1:9/nobody")
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.remedy)


def test_the_mirror_of_the_environment_is_used(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSORM_MAVEN_MIRROR", repository.address + "/")
    ensure_jars(JARS, tmp_path)
    assert repository.asked == dict.fromkeys(NAMES, 1)


def test_a_cancelled_fetch_ends_and_says_so(repository: Repository, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(DevNodeError, match="were not fetched"):
        ensure_jars(JARS, tmp_path, mirror=repository.address, cancel=cancel)


def test_two_processes_at_once_fetch_each_jar_once(repository: Repository, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from tests.unit.test_devnode_jars import JARS; from cassorm.devnode.jars import ensure_jars;"
        "print(len(ensure_jars(JARS, pathlib.Path(sys.argv[1]), mirror=sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path), repository.address]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=30)[0].strip() for process in both] == ["3", "3"]
    assert repository.asked == dict.fromkeys(NAMES, 1)


def test_no_repository_host_stands_in_our_code() -> None:
    package = Path(jars_module.__file__).parent
    assert not [path.name for path in package.iterdir() if path.is_file() and b"://" in path.read_bytes()]
