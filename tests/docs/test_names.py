"""What the documentation names is there, and what is public is in the documentation."""

import importlib
import re
from typing import Any

import pytest
import typer.main

import cassorm
from cassorm.cli.app import app
from tests.docs import reference
from tests.docs.pages import Page, pages

_CODE = re.compile(r"`([^`\n]+)`")
_DOTTED = re.compile(r"^(cassorm(?:\.\w+)+)")
_FILES = {"py", "md", "yaml", "toml", "cql", "json", "lock"}


def resolves(dotted: str) -> bool:
    """Whether `cassorm.a.b` is a module, or a name in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_dotted_name_of_cassorm_is_there(page: Page) -> None:
    named = {match[1] for code in _CODE.findall(page.prose) if (match := _DOTTED.match(code))}
    assert [name for name in sorted(named) if name.rpartition(".")[2] not in _FILES and not resolves(name)] == []


@pytest.mark.parametrize("name", [name for name in cassorm.__all__ if not name.startswith("_")])
def test_every_public_name_is_documented(name: str) -> None:
    word = re.compile(rf"\b{name}\b")
    assert any(word.search(page.text) for page in pages()), f"no page says what {name} is for"


def test_the_page_of_public_names_is_what_the_docstrings_say() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.page(), "run `make reference`"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_shown_exists_with_its_options(page: Page) -> None:
    wrong = [line for line in commands(page) if not is_known(line.split())]
    assert wrong == []


def commands(page: Page) -> list[str]:
    """The lines of blocks and of code in the text that call `cassorm`, without what comes behind a comment or a pipe."""
    lines = [line for block in page.blocks if block.language in ("", "bash", "sh", "console") for line in block.lines]
    lines += _CODE.findall(page.prose)
    called = [line.removeprefix("$ ").strip() for line in lines]
    cut = [re.split(r"\s(?:#|\||>|&&|--\s)", line)[0] for line in called if re.match(r"cassorm [a-z]", line)]
    return [re.sub(r"\[(--[^\]]*)\]", r"\1", line) for line in cut]


def is_known(words: list[str]) -> bool:
    """Whether each word that must be a command or an option is one."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("cassorm", [], resilient_parsing=True)
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        found = command.get_command(context, rest[0])
        if found is None:
            return False
        command, rest = found, rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    return asked <= known | {"--help", "-h"}
