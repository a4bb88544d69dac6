"""Named points at which a process can be made to die or to stop, for tests: elsewhere nothing but a look at None.

    if faults.at is not None:
        faults.at("writer.after-pointer")

Only `arm` sets anything, and only a process that is to be killed calls it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from cassorm.errors import ConfigurationError

POINTS: Final = (
    "writer.before-pointer",
    "writer.after-pointer",
    "writer.after-mark",
    "writer.before-batch",
    "writer.after-batch",
    "resolver.before-close",
    "resolver.after-close",
    "resolver.after-reading",
    "resolver.after-settling",
    "resolver.after-resolve",
    "handler.before",
    "handler.after",
    "checkpoint.before",
    "checkpoint.after",
    "scan.after-page",
)
"""Every point that there is, in the order of an event's way."""

SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

at: Callable[[str], None] | None = None
"""Called with the name of each point that is passed, when it is set."""


def arm(order: str) -> None:
    """Let this process send itself a signal at a point: `kill resolver.after-close 3` at the third passing.

    A time in milliseconds delays it, for what is on its way then: `kill writer.before-batch 1 +2`. The name of the
    point is written to stderr first.

    Raises:
        ConfigurationError: the order cannot be read, or names no point.
    """
    global at  # noqa: PLW0603 - one switch for the process is what this module is
    deed, point, passings, delay_s = _read(order)

    def strike() -> None:
        sys.stderr.write(f"{deed} at {point}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), SIGNALS[deed])

    def count(passed: str) -> None:
        nonlocal passings
        if passed != point:
            return
        passings -= 1
        if passings == 0:
            if delay_s:
                threading.Timer(delay_s, strike).start()
            else:
                strike()

    at = count


def _read(order: str) -> tuple[str, str, int, float]:
    words = order.split()
    try:
        deed, point = words[:2]
        passings = int(words[2]) if len(words) > 2 else 1
        delay_s = float(words[3].removeprefix("+")) / 1000 if len(words) > 3 else 0.0
        if deed not in SIGNALS or point not in POINTS or passings < 1:
            raise ValueError(order)
        return deed, point, passings, delay_s
    except ValueError:
        raise ConfigurationError(
            f"{order!r} is no order",
            where="cassorm.faults",
            remedy=f"Write `kill|stop POINT [PASSINGS [+MILLISECONDS]]`; points are {', '.join(POINTS)}",
        ) from None
