"""The pytest plugin, as far as it needs no node: which cluster a run gets, and what is said when there is none."""

import pytest

ASKS = """
    def test_asks(cassandra_hosts):
        print("hosts", cassandra_hosts)
"""

# Enough of testcontainers to see what is asked of it.
STAND_IN = """
    class DockerContainer:
        def __init__(self, image):
            self.told = [image]
        def __enter__(self):
            print("started", *self.told)
            return self
        def __exit__(self, *error):
            print("stopped")
        def with_exposed_ports(self, port):
            self.told.append(port)
            return self
        def with_command(self, command):
            self.told.append(command)
            return self
        def with_envs(self, **variables):
            self.told.append(sorted(variables))
            return self
        def waiting_for(self, ready):
            self.told.append(ready)
            return self
        def get_container_host_ip(self):
            return "localhost"
        def get_exposed_port(self, port):
            return 40000 + port
"""


@pytest.fixture(autouse=True)
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of ours, and no settings but these."""
    monkeypatch.delenv("CASSORM_HOSTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")


def test_named_hosts_are_used_and_nothing_is_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASSORM_HOSTS", " 10.0.0.1:9043, 10.0.0.2 ,")
    pytester.makepyfile(ASKS)
    pytester.runpytest_inprocess("-s").stdout.fnmatch_lines("*hosts [[]'10.0.0.1:9043', '10.0.0.2'[]]*")


def test_an_engine_that_is_not_known_is_refused_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ASKS)
    ran = pytester.runpytest_inprocess("--cassorm-container", "mongodb")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines("*--cassorm-container mongodb: the engines are cassandra, scylla*")


def test_a_container_without_testcontainers_names_the_extra(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("testcontainers")  # an empty package stands for none
    pytester.makepyfile(ASKS)
    ran = pytester.runpytest_inprocess("--cassorm-container", "scylla")
    ran.stdout.fnmatch_lines(r"*ConfigurationError: *Run `pip install 'cassorm[[]containers[]]'`*")
    ran.assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("engine", "image", "told"),
    [
        ("cassandra", "cassandra:5.0", "Startup complete"),
        ("cassandra:4.1", "cassandra:4.1", "Startup complete"),
        ("scylla", "scylladb/scylla:2025.4", "Starting listening for CQL clients"),
    ],
)
def test_a_container_is_started_for_the_run_and_stopped(
    pytester: pytest.Pytester, engine: str, image: str, told: str
) -> None:
    core = pytester.mkpydir("testcontainers") / "core"
    core.mkdir()
    (core / "__init__.py").touch()
    pytester.makepyfile(
        **{
            "testcontainers/core/container": STAND_IN,
            "testcontainers/core/wait_strategies": "LogMessageWaitStrategy = str",
        }
    )
    pytester.makepyfile(ASKS)
    ran = pytester.runpytest_inprocess("-s", "--cassorm-container", engine)
    ran.stdout.fnmatch_lines([f"*started {image} 9042 {told} *", "*hosts [[]'localhost:49042'[]]*", "*stopped*"])
    ran.assert_outcomes(passed=1)


@pytest.mark.parametrize("fixture", ["cassorm_session", "cassorm_keyspace", "event_store"])
def test_without_pytest_asyncio_the_async_fixtures_say_what_to_install(pytester: pytest.Pytester, fixture: str) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(f"def test_it({fixture}): ...")
    ran = pytester.runpytest_inprocess("-p", "no:asyncio")
    ran.stdout.fnmatch_lines(f"*{fixture} needs pytest-asyncio: run `pip install 'cassorm[[]testing[]]'`*")


def test_a_node_that_cannot_be_started_says_why(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = pytester.path / "no-folder"
    occupied.touch()
    monkeypatch.setenv("HOME", str(occupied))
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    pytester.makepyfile(ASKS)
    ran = pytester.runpytest_inprocess()
    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines("*DevNodeError: *")
