"""Numbered migration files as values: read and checked before anything is sent."""

import ast
import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cassorm.cql.tokens import Token, tokens
from cassorm.errors import QueryError, SchemaFileError

_NAME = re.compile(r"([0-9]+)_([A-Za-z0-9_]+)\.(cql|py)")
_SUFFIXES = (".cql", ".py")
_NUMBERED = "Name it with the next number and what it does, such as 0001_create_orders.cql"
_DDL = frozenset({"create", "alter", "drop"})
_VERBS = _DDL | {"insert", "update", "delete", "begin", "truncate", "grant", "revoke"}
_REFUSED = {
    "use": "Leave it out: migrations run in the keyspace that they are for",
    "select": "Leave it out, or write a .py migration: it reads, and nobody sees what",
    "describe": "Leave it out: it is a command of cqlsh",
    "source": "Leave it out: it is a command of cqlsh",
    "copy": "Leave it out: it is a command of cqlsh",
    "consistency": "Leave it out: it is a command of cqlsh",
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class CqlStatement:
    """One statement of a file, and the line on which it begins."""

    text: str
    line: int

    @property
    def is_ddl(self) -> bool:
        """Whether it changes the schema, so that all nodes have to agree on it."""
        return next(tokens(self.text)).value in _DDL


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, the checksum of its text, and its statements; a .py file has none and is one step."""

    number: int
    path: Path
    checksum: str
    statements: tuple[CqlStatement, ...] = ()

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def steps(self) -> int:
        """How many steps it takes: one for each statement."""
        return len(self.statements) or 1

    def line(self, statement: int) -> int:
        """The line of a statement, both counted from 1."""
        return self.statements[statement - 1].line if statement <= len(self.statements) else 1

    def checksum_of_first(self, count: int) -> str:
        """A checksum of the first statements alone: those that have been run must not change any more."""
        return _sum("\n".join(statement.text for statement in self.statements[:count])) if count else ""


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder by number, 1 first; other files than .cql and .py are passed over.

    Raises:
        SchemaFileError: a name without a number, a number that is missing or there twice, or a file that is wrong.
    """
    if not folder.is_dir():
        raise SchemaFileError(
            "is no folder", file=str(folder), remedy="Name the folder of the migrations, or make one with --new NAME"
        )
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in _SUFFIXES or path.name.startswith(("_", ".")) or path.is_dir():
            continue
        number = _number(path)
        if number in found:
            raise SchemaFileError(
                f"has the number of {found[number].name}", file=str(path), remedy="Give one of them the next number"
            )
        found[number] = path
    for number, path in sorted(found.items()):
        if number > 1 and number - 1 not in found:
            raise SchemaFileError(
                f"number {number - 1:04} is missing before it", file=str(path), remedy="Restore that file, or renumber"
            )
    return tuple(_read(number, path) for number, path in sorted(found.items()))


def write_migration(folder: Path, name: str, *, statements: str = "", python: bool = False) -> Path:
    """The new file of the next number; without statements it says what to write there.

    Raises:
        SchemaFileError: the name is none, or the files that are there are wrong.
    """
    slug = re.sub(r"[\s-]+", "_", name.strip())
    if not re.fullmatch("[A-Za-z0-9_]+", slug):
        raise SchemaFileError(
            f"{name!r} is no name of a migration", file=str(folder), remedy="Use letters, digits and underscores"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(read_migrations(folder)) + 1:04}_{slug}{'.py' if python else '.cql'}"
    with path.open("x", encoding="utf-8") as file:
        file.write(statements or (_PYTHON if python else _CQL))
    return path


_CQL = """\
-- Statements end with a semicolon and run in this order. Say IF NOT EXISTS where CQL knows it:
-- a migration that stops in the middle is resumed at the statement that it reached.
"""
_PYTHON = '''\
"""What this migration does."""

from cassorm import Session


async def upgrade(db: Session) -> None:
    """Run again from its beginning when it was stopped in the middle: make it safe to repeat."""
    await db.ddl("")
'''


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    if match is None or len(match[1]) > _MOST_DIGITS or int(match[1]) == 0:
        raise SchemaFileError("is no name of a migration", file=str(path), remedy=_NUMBERED)
    return int(match[1])


def _read(number: int, path: Path) -> Migration:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SchemaFileError(problem, file=str(path), remedy="Check its permissions") from error
    except UnicodeDecodeError as error:
        raise SchemaFileError("is no text in UTF-8", file=str(path), remedy="Save it as UTF-8") from error
    if path.suffix == ".cql":
        return Migration(number, path, _sum(text), tuple(split(text, str(path))))
    _check_python(text, str(path))
    return Migration(number, path, _sum(text))


def _sum(text: str) -> str:
    # The same on every system: git may give the lines other ends (read_text has made them one already).
    return hashlib.sha256(text.encode()).hexdigest()


def _check_python(text: str, file: str) -> None:
    write = "Write `async def upgrade(db):`"
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise SchemaFileError(f"is no Python: {error}", file=file, line=line, remedy="Correct it") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "upgrade":
            given = [*node.args.posonlyargs, *node.args.args]
            if isinstance(node, ast.FunctionDef):
                raise SchemaFileError("upgrade is not async", file=file, line=node.lineno, remedy=write)
            if len(given) - len(node.args.defaults) != 1 or any(default is None for default in node.args.kw_defaults):
                problem = f"upgrade takes {len(given)} parameters, not one"
                raise SchemaFileError(problem, file=file, line=node.lineno, remedy=write)
            return
    raise SchemaFileError("has no upgrade()", file=file, line=1, remedy=write)


def split(text: str, file: str) -> Iterator[CqlStatement]:
    """The statements of a .cql file, each as it is written, without its semicolon; a batch is one.

    Raises:
        SchemaFileError: something that no statement begins with, that is not closed, or no statement at all.
    """
    try:
        found = list(tokens(text))
    except QueryError as error:
        line = int((error.where or "line 1").removeprefix("line "))
        raise SchemaFileError(error.problem, file=file, line=line, remedy=error.remedy or "Close it") from error
    pieces = list(_pieces(found))
    if not pieces:
        raise SchemaFileError("holds no statement", file=file, line=1, remedy="Write statements, or remove the file")
    for piece in pieces:
        _check_statement(piece, file)
        last = piece[-1]
        yield CqlStatement(text[piece[0].start : last.start + len(last.text)], piece[0].line)


def _pieces(found: Iterable[Token]) -> Iterator[list[Token]]:
    piece: list[Token] = []
    for token in found:
        in_batch = bool(piece) and piece[0].value == "begin" and not _applies(piece)
        if token.kind == "symbol" and token.text == ";" and not in_batch:
            if piece:
                yield piece
            piece = []
        elif piece or token.text != ";":
            piece.append(token)
    if piece:
        yield piece


def _applies(piece: Sequence[Token]) -> bool:
    return [token.value for token in piece[-2:]] == ["apply", "batch"]


def _check_statement(piece: Sequence[Token], file: str) -> None:
    first = piece[0]
    if first.kind != "word" or first.value not in _VERBS:
        near = difflib.get_close_matches(first.value, _VERBS, n=1)
        remedy = _REFUSED.get(first.value) or (
            f"Did you mean {near[0].upper()}?" if near else f"Begin with {', '.join(sorted(map(str.upper, _VERBS)))}"
        )
        problem = f"{first.text[:40]!r} begins no statement of a migration"
        raise SchemaFileError(problem, file=file, line=first.line, remedy=remedy)
    if first.value == "begin" and not _applies(piece):
        raise SchemaFileError("a batch without its end", file=file, line=first.line, remedy="Write APPLY BATCH;")
    opened: list[Token] = []
    for token in piece:
        if token.kind != "symbol":
            continue
        if token.text in _CLOSING:
            opened.append(token)
        elif token.text in _CLOSING.values() and (not opened or _CLOSING[opened.pop().text] != token.text):
            problem = f"{token.text!r} closes nothing"
            raise SchemaFileError(problem, file=file, line=token.line, remedy="Remove it, or open it before")
    if opened:
        problem = f"{opened[-1].text!r} is opened and never closed"
        raise SchemaFileError(problem, file=file, line=opened[-1].line, remedy="Close it, before the semicolon")
