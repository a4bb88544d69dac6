"""The `cassorm schema` command, in this process or in one of its own."""

import asyncio
import contextlib
import io
import logging
import sys

from cassorm.cli.app import main


async def cassorm(*arguments: str, hosts: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command; on a thread, since it has an event loop of its own."""
    return await asyncio.to_thread(run, ["schema", *arguments, "--hosts", ",".join(hosts)])


def run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    logger = logging.getLogger("cassorm.events")
    level = logger.level
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as left:
            code = int(str(left.code or 0))
        finally:
            logger.setLevel(level)  # a command sets it for its process, and this one goes on
    return code, out.getvalue(), err.getvalue()


async def start(*arguments: str, hosts: list[str]) -> asyncio.subprocess.Process:
    """The command as a process that runs."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cassorm", "schema", *arguments, "--hosts", ",".join(hosts), stdout=pipe, stderr=pipe
    )
