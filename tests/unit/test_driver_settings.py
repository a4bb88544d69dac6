import ssl
from datetime import timedelta

import pytest

from cassorm.driver.connect import connect
from cassorm.driver.consistency import Consistency
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CASSORM_{name.upper()}", raising=False)


def test_the_environment_fills_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSORM_HOSTS", "db1:9043, db2")
    monkeypatch.setenv("CASSORM_KEYSPACE", "shop")
    monkeypatch.setenv("CASSORM_CONSISTENCY", "each_quorum")
    monkeypatch.setenv("CASSORM_REQUEST_TIMEOUT", "2.5")
    settings = Settings(keyspace="other")
    assert settings.contact_points() == [("db1", 9043), ("db2", 9042)]
    assert settings.keyspace == "other"
    assert settings.consistency is Consistency.EACH_QUORUM
    assert settings.request_timeout == timedelta(seconds=2.5)


def test_without_anything_it_is_a_node_on_this_machine_at_local_quorum() -> None:
    settings = Settings()
    assert settings.contact_points() == [("127.0.0.1", 9042)]
    assert (settings.consistency, settings.serial_consistency) == (Consistency.LOCAL_QUORUM, Consistency.LOCAL_SERIAL)
    assert settings.max_in_flight == 1024


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", 9999)),
        ("db.example:19042", ("db.example", 19042)),
        ("::1", ("::1", 9999)),
        ("[::1]", ("::1", 9999)),
        ("[fe80::1]:9043", ("fe80::1", 9043)),
    ],
)
def test_hosts_are_written_with_or_without_port(host: str, expected: tuple[str, int]) -> None:
    assert Settings(hosts=host, port=9999).contact_points() == [expected]


@pytest.mark.parametrize("host", ["db:", "db:port", "db:0", "db:70000", "http://db", "a b", ":9042"])
def test_a_host_that_is_none_is_named_with_its_remedy(host: str) -> None:
    with pytest.raises(ConfigurationError, match="CASSORM_HOSTS") as raised:
        Settings(hosts=(host,)).contact_points()
    assert repr(host) in str(raised.value)
    assert raised.value.remedy is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hosts", ""),
        ("port", 0),
        ("port", "many"),
        ("consistency", "MOST"),
        ("serial_consistency", "QUORUM"),
        ("request_timeout", "soon"),
        ("request_timeout", "0"),
        ("request_timeout", "1e300"),
        ("max_in_flight", 40_000),
        ("protocol_version", 9),
        ("keyspace", "k" * 49),
        ("tls", "perhaps"),
    ],
)
def test_a_bad_value_gives_setting_value_and_remedy(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings(**{name: value})
    assert f"CASSORM_{name.upper()}" in str(raised.value)
    assert (repr(value) in str(raised.value)) or value == ""
    assert raised.value.remedy is not None
    assert raised.value.__cause__ is None


def test_a_bad_value_of_the_environment_is_told_like_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSORM_MAX_IN_FLIGHT", "lots")
    with pytest.raises(ConfigurationError, match="max_in_flight = 'lots'"):
        connect("127.0.0.1")


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigurationError, match="no setting is called keyspce") as raised:
        connect(keyspce="shop")
    assert "keyspace" in str(raised.value.remedy)


def test_the_password_is_never_shown() -> None:
    settings = Settings(user="ann", password="s3cret")
    assert "s3cret" not in repr(settings) + str(settings) + repr(settings.model_dump())
    with pytest.raises(ConfigurationError) as raised:
        Settings(user="ann", password=["s3cret"])
    assert "s3cret" not in str(raised.value)
    with pytest.raises(ConfigurationError) as raised:
        Settings(password="s3cret")
    assert "user and password go together" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_arguments_win_over_settings_and_settings_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSORM_KEYSPACE", "of_environment")
    monkeypatch.setenv("CASSORM_DATACENTER", "of_environment")
    settings = Settings(hosts="a,b", keyspace="of_settings", datacenter=None)
    connecting = connect("c", settings=settings)
    assert connecting._settings.hosts == ("c",)
    assert connecting._settings.keyspace == "of_settings"
    assert connecting._settings.datacenter is None


def test_certificates_without_tls_are_a_mistake_that_is_told() -> None:
    with pytest.raises(ConfigurationError, match="tls_ca is set but tls is off"):
        Settings(tls_ca="ca.pem")
    with pytest.raises(ConfigurationError, match="tls_cert and tls_key go together"):
        Settings(tls=True, tls_cert="cert.pem")


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"tls_ca = '/nowhere/ca.pem'"):
        Settings(tls=True, tls_ca="/nowhere/ca.pem").tls_context()


def test_tls_verifies_unless_it_is_told_not_to() -> None:
    assert Settings().tls_context() is None
    strict, lax = Settings(tls=True).tls_context(), Settings(tls=True, tls_verify=False).tls_context()
    assert strict is not None
    assert lax is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
