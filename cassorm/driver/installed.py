"""Which of the two drivers is installed: both own the module `cassandra`, so it has to be exactly one."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from cassorm.errors import ConfigurationError

THREAD_PREFIX = "cassorm-driver"
"""Names of the threads that call what blocks in the driver begin with this."""

_DRIVERS = ("cassandra-driver", "scylla-driver")


def installed_driver(version_of: Callable[[str], str] = version) -> str:
    """The name and version of the installed driver, such as "cassandra-driver 3.30.1".

    Raises:
        ConfigurationError: none or both are installed; the remedy is the command to run.
    """
    found: list[str] = []
    for name in _DRIVERS:
        try:
            found.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            continue
    if not found:
        raise ConfigurationError(
            "no driver is installed",
            where="cassorm.driver",
            remedy="Run `pip install 'cassorm[cassandra]'`, or `pip install 'cassorm[scylla]'` for ScyllaDB",
        )
    if len(found) > 1:
        # Each overwrote files of the other, so removing one is not enough.
        raise ConfigurationError(
            f"{found[0]} and {found[1]} are both installed, and both own the Python module `cassandra`",
            where="cassorm.driver",
            remedy="Run `pip uninstall -y cassandra-driver scylla-driver`, then "
            "`pip install 'cassorm[cassandra]'` or `pip install 'cassorm[scylla]'`",
        )
    return found[0]
