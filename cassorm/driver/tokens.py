"""The token of a partition key, as the server computes it: where the partition stands on the ring."""

from collections.abc import Callable
from functools import cache

_FIRST, _LAST = -(2**63), 2**63 - 1


def token_of(key: bytes) -> int:
    """Return the token, -2**63 + 1 to 2**63 - 1, of a partition key of one column, given as the bytes of its value.

    That of `Murmur3Partitioner`, the default of Cassandra and the only one of ScyllaDB.
    """
    token = _murmur3()(key)
    return _LAST if token == _FIRST else token


@cache
def _murmur3() -> Callable[[bytes], int]:
    # Not before it is needed: whoever uses no database need not wait for a driver.
    try:
        from cassandra.cmurmur3 import murmur3  # noqa: PLC0415
    except ImportError:  # a driver without its compiled parts
        from cassandra.murmur3 import murmur3  # noqa: PLC0415
    found: Callable[[bytes], int] = murmur3
    return found
