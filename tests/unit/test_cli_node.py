"""`cassorm node run`: which of the two a signal is meant for."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from cassorm.cli.node import Around

COMMAND = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


class Ready:
    """A cluster that is there at once."""

    hosts = ("127.0.0.1:1",)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None: ...


async def test_a_signal_that_comes_while_the_command_is_being_started_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, start = tmp_path / "up", asyncio.create_subprocess_exec

    async def start_slowly(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*arguments, **options)
        while not up.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    around = Around(Ready(), [sys.executable, "-c", COMMAND, str(up)])  # type: ignore[arg-type]  # all that it asks of one
    try:
        assert await asyncio.wait_for(around.run(), 30) == 9
    finally:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
