"""The `cassorm schema` command as a process."""

import asyncio
import sys


async def cassorm(*arguments: str, hosts: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    process = await start(*arguments, hosts=hosts)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def start(*arguments: str, hosts: list[str]) -> asyncio.subprocess.Process:
    """The command, running."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cassorm", "schema", *arguments, "--hosts", ",".join(hosts), stdout=pipe, stderr=pipe
    )
