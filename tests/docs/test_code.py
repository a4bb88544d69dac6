"""Every Python block of README and docs runs, page by page, from top to bottom, in an interpreter of its own.

A block after `<!-- not run: reason -->` is only compiled. A page with tests in it is run by pytest.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, Page, pages

_PYTEST_INI = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
filterwarnings = error
"""


def needs_node(page: Page) -> bool:
    return any(word in page.program for word in ("connect(", "event_store", "cassorm_"))


def run(page: Page, folder: Path, hosts: list[str] | None) -> None:
    code = folder / "test_page.py"
    code.write_text(page.program, encoding="utf-8")
    (folder / "pytest.ini").write_text(_PYTEST_INI, encoding="utf-8")
    how = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "def test_" in page.program else ["-W", "error"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CASSORM_", "PYTEST"))}
    if hosts:
        environment["CASSORM_HOSTS"] = ",".join(hosts)
    ran = subprocess.run(
        [sys.executable, *how, str(code)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, f"{page.name}, at the line shown:\n{ran.stdout}\n{ran.stderr}"


_RUNNABLE = [page for page in pages() if page.program.strip()]
_NOT_RUN = [(page, block) for page in pages() for block in page.python if block.not_run]


@pytest.mark.parametrize("page", [page for page in _RUNNABLE if not needs_node(page)], ids=lambda page: page.name)
def test_a_page_without_a_database_runs(page: Page, tmp_path: Path) -> None:
    run(page, tmp_path, None)


@pytest.mark.cluster
@pytest.mark.parametrize("page", [page for page in _RUNNABLE if needs_node(page)], ids=lambda page: page.name)
def test_a_page_runs_on_a_node(page: Page, tmp_path: Path, cassandra_hosts: list[str]) -> None:
    run(page, tmp_path, cassandra_hosts)


@pytest.mark.parametrize(("page", "block"), _NOT_RUN, ids=lambda part: part.name if isinstance(part, Page) else "")
def test_a_block_that_is_not_run_compiles(page: Page, block: Block) -> None:
    compile(block.source, page.name, "exec")


def test_the_pages_that_lead_a_newcomer_have_code_that_runs() -> None:
    names = {page.name for page in _RUNNABLE}
    assert {"README.md", "docs/tutorial/first-aggregate.md", "docs/how-to/testing.md"} <= names
    assert (ROOT / "README.md").exists()
