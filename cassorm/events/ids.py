"""Random ids, cheaply: many at a time from the system's source of randomness."""

import os
from collections.abc import Iterator
from uuid import UUID

_AT_ONCE = 256


def _ids() -> Iterator[UUID]:
    while True:
        data = os.urandom(16 * _AT_ONCE)
        for start in range(0, len(data), 16):
            yield UUID(bytes=data[start : start + 16], version=4)


_source = _ids()


def _forget() -> None:
    """Take fresh randomness in a forked child: it must not hand out its parent's next ids."""
    global _source  # noqa: PLW0603 - one source a process is the point
    _source = _ids()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def new_id() -> UUID:
    """Return a random UUID: `uuid4`, at a tenth of its price where system calls are dear."""
    return next(_source)
