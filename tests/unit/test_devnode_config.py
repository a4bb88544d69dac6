from pathlib import Path

import pytest
import yaml

from cassorm.devnode.config import Place, cassandra_settings, command, module_options, write_files
from cassorm.devnode.isolation import Cut
from cassorm.devnode.java import Java
from cassorm.devnode.spec import PROFILES, Spec
from cassorm.errors import ConfigurationError

JAVA = Java(Path("/jdk/bin/java"), "17.0.9", frozenset({"java.base", "java.sql"}), "jdk")
JARS = [Path("/jars/cassandra-all-5.0.9.jar"), Path("/jars/jamm-0.4.0.jar")]


def place(folder: Path, index: int = 0) -> Place:
    return Place(index, folder / f"node{index + 1}", 20001, 20002, folder / "tls")


def test_nodes_share_ports_and_differ_in_address_and_token(tmp_path: Path) -> None:
    spec = Spec(nodes=3)
    nodes = [cassandra_settings(spec, place(tmp_path, index)) for index in range(3)]
    assert [node["listen_address"] for node in nodes] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert {(node["native_transport_port"], node["storage_port"]) for node in nodes} == {(20001, 20002)}
    tokens = sorted(int(node["initial_token"]) for node in nodes)
    assert abs((tokens[1] - tokens[0]) - (tokens[2] - tokens[1])) <= 1
    assert abs(tokens[0] + tokens[2]) <= 1


def test_the_durable_profile_syncs_each_write(tmp_path: Path) -> None:
    settings = cassandra_settings(Spec(profile="durable"), place(tmp_path))
    assert settings["commitlog_sync"] == "batch"
    assert "commitlog_sync_period" not in settings


def test_only_the_bench_profile_lets_the_second_compiler_work(tmp_path: Path) -> None:
    limited = {
        name: "-XX:TieredStopAtLevel=1" in command(Spec(profile=name), place(tmp_path), JAVA, JARS) for name in PROFILES
    }
    assert limited == {"test": True, "durable": True, "bench": False}


@pytest.mark.parametrize("name", PROFILES)
def test_views_and_the_new_formats_are_on_in_every_profile(tmp_path: Path, name: str) -> None:
    settings = cassandra_settings(Spec(profile=name), place(tmp_path))
    assert settings["materialized_views_enabled"] is True
    assert settings["storage_compatibility_mode"] == "NONE"
    assert settings["paxos_variant"] == "v2"


def test_own_settings_win_and_none_removes_one(tmp_path: Path) -> None:
    spec = Spec(settings={"concurrent_reads": 2, "cdc_enabled": None}, heap="300m", jvm=("-Dmine=1",))
    write_files(spec, place(tmp_path))
    settings = yaml.safe_load((tmp_path / "node1" / "cassandra.yaml").read_text())
    assert settings["concurrent_reads"] == 2
    assert "cdc_enabled" not in settings
    argv = command(spec, place(tmp_path), JAVA, JARS)
    assert "-Xmx300m" in argv
    assert "-Dmine=1" in argv


def test_logins_and_tls_are_off_unless_asked_for(tmp_path: Path) -> None:
    plain = cassandra_settings(Spec(), place(tmp_path))
    assert plain["authenticator"] == "AllowAllAuthenticator"
    assert "client_encryption_options" not in plain
    asked = cassandra_settings(Spec(auth=True, tls=True), place(tmp_path))
    assert asked["authenticator"] == "PasswordAuthenticator"
    assert asked["client_encryption_options"]["keystore"] == str(tmp_path / "tls" / "keystore.p12")


def test_modules_that_the_runtime_lacks_get_no_flags() -> None:
    options = module_options(JAVA)
    assert "java.sql/java.sql=ALL-UNNAMED" in options
    assert not [option for option in options if "jdk." in option.partition("/")[0]]


def test_no_write_is_ever_left_unsynced_on_purpose(tmp_path: Path) -> None:
    assert not [
        option
        for name in PROFILES
        for option in command(Spec(profile=name), place(tmp_path), JAVA, JARS)
        if "skip_sync" in option
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nodes": 0}, "1 to 9 nodes, not 0"),
        ({"nodes": 10}, "not 10"),
        ({"nodes": True}, "not True"),
        ({"profile": "fast"}, "test, durable, bench"),
        ({"heap": "lots"}, "512m, 1g"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Spec(**options)  # type: ignore[arg-type]


def test_a_spec_comes_back_from_its_text() -> None:
    spec = Spec(3, "durable", auth=True, tls=True, heap="1g", settings={"a": [1, None]}, jvm=("-Xss1m",))
    assert Spec.load(spec.dump()) == spec


def test_isolating_drops_both_directions_on_the_storage_port_alone() -> None:
    rules = [" ".join(rule) for rule in Cut("127.0.0.2", 20002, 70_200_021).rules()]
    assert rules == [
        "-d 127.0.0.2 -p tcp --dport 20002 -j DROP",
        "-s 127.0.0.2 -p tcp --sport 20002 -j DROP",
        "-m owner --gid-owner 70200021 -p tcp --dport 20002 -j DROP",
    ]
