"""CQL text cut into tokens: enough to tell statements apart and to read DDL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from cassorm.errors import QueryError

Kind = Literal["word", "quoted", "string", "number", "symbol"]

_TOKEN = re.compile(
    r"""
    (?P<blank>   \s+ | --[^\n]* | //[^\n]* | /\*.*?\*/ )
  | (?P<string>  '(?:[^']|'')*' | \$\$.*?\$\$ )
  | (?P<quoted>  "(?:[^"]|"")*" )
  | (?P<number>  -?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_-]) )
  | (?P<word>    [A-Za-z0-9_]+(?:-[0-9A-Fa-f]+)* )
  | (?P<symbol>  [<>!+-]= | \.\. | [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
# A quotation mark that is left over as a lone symbol was never closed.
_OPENED = {"'": "string", '"': "quoted name"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text as written, its line, counted from 1, and the offset of its first character."""

    kind: Kind
    text: str
    line: int
    start: int = 0

    @property
    def value(self) -> str:
        """What the token stands for: words in lower case, names and strings without their quotation marks."""
        match self.kind:
            case "word":
                return self.text.lower()
            case "quoted":
                return self.text[1:-1].replace('""', '"')
            case "string":
                return self.text[2:-2] if self.text.startswith("$$") else self.text[1:-1].replace("''", "'")
            case _:
                return self.text


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, without blanks and comments.

    Raises:
        QueryError: a string, a quoted name or a comment is not closed.
    """
    line = 1
    for match in _TOKEN.finditer(text):
        kind, found = _KINDS.get(match.lastgroup or ""), match.group()
        if kind == "symbol":
            _check_closed(found, text[match.start() : match.start() + 2], line)
        if kind:
            yield Token(kind, found, line, match.start())
        line += found.count("\n")


def _check_closed(symbol: str, begin: str, line: int) -> None:
    opened = _OPENED.get(symbol) or {"/*": "comment", "$$": "string"}.get(begin)
    if opened:
        raise QueryError(f"a {opened} is opened and never closed", where=f"line {line}", remedy="Close it")
