"""What the tests watch an event loop with tells a loop that is blocked from a machine that is busy."""

import asyncio
import os
import time

from tests.cluster.watching import Heartbeat


async def test_a_call_that_blocks_the_loop_is_seen() -> None:
    async with Heartbeat() as heart:
        time.sleep(0.5)  # noqa: ASYNC251 - this is what is to be seen
        await asyncio.sleep(0.02)
    assert max(heart.blocked_s) > 0.25


async def test_a_process_that_does_not_get_to_run_is_not_a_blocked_loop() -> None:
    async with Heartbeat() as heart:
        stop = f"kill -STOP {os.getpid()}; sleep 0.7; kill -CONT {os.getpid()}"
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec("sh", "-c", stop)
        await process.wait()
        assert time.monotonic() - begun > 0.6
    assert max(heart.blocked_s) < 0.3
