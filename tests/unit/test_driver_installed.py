import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from cassorm.driver.installed import installed_driver
from cassorm.errors import ConfigurationError


def _versions(*installed: str) -> object:
    def version_of(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return "9.9"

    return version_of


@pytest.mark.parametrize("name", ["cassandra-driver", "scylla-driver"])
def test_one_driver_is_named_with_its_version(name: str) -> None:
    assert installed_driver(_versions(name)) == f"{name} 9.9"  # type: ignore[arg-type]


def test_without_a_driver_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="no driver is installed") as raised:
        installed_driver(_versions())  # type: ignore[arg-type]
    assert "pip install 'cassorm[cassandra]'" in str(raised.value)
    assert "pip install 'cassorm[scylla]'" in str(raised.value)


def test_with_both_drivers_the_error_says_what_to_remove() -> None:
    with pytest.raises(ConfigurationError, match="are both installed") as raised:
        installed_driver(_versions("cassandra-driver", "scylla-driver"))  # type: ignore[arg-type]
    assert "pip uninstall -y cassandra-driver scylla-driver" in str(raised.value)


_WITHOUT_A_DRIVER = """
import asyncio, sys, importlib.metadata as metadata
class NoDriver:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cassandra":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoDriver())
real = metadata.Distribution.from_name.__func__
def hidden(cls, name):
    if name in ("cassandra-driver", "scylla-driver"):
        raise metadata.PackageNotFoundError(name)
    return real(cls, name)
metadata.Distribution.from_name = classmethod(hidden)
import cassorm, cassorm.driver.connect
try:
    asyncio.run(cassorm.driver.connect.connect("127.0.0.1")._open())
except cassorm.errors.ConfigurationError as error:
    print(error)
"""


def test_cassorm_imports_without_a_driver_and_connect_says_what_is_missing() -> None:
    told = subprocess.run([sys.executable, "-c", _WITHOUT_A_DRIVER], capture_output=True, text=True, check=True)
    assert "no driver is installed" in told.stdout


def test_importing_cassorm_does_not_import_the_driver() -> None:
    code = "import sys, cassorm, cassorm.driver.connect; print('cassandra' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
