"""What every test here may use; nodes, sessions, keyspaces and stores come from `cassorm.testing.plugin`."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_ORDER = ("flows", "faults", "cluster", "docs", "typing", "contracts", "unit")
"""Folders whose files take longest come first: the processes that share the files then end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items.sort(key=lambda item: _ORDER.index(item.path.relative_to(here).parts[0]))
