"""A place in the tokens of a .cql file: what stands there, and errors that name its line."""

from collections.abc import Iterator

from cassorm.cql.identifiers import RESERVED
from cassorm.cql.tokens import Token
from cassorm.errors import SchemaFileError


class Cursor:
    """Steps through tokens; `words` and `symbol` step on only when what they look for stands there."""

    def __init__(self, found: list[Token], file: str) -> None:
        self._tokens = found
        self._at = 0
        self.file = file

    @property
    def token(self) -> Token | None:
        """The token that stands here; None at the end of the file."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    @property
    def line(self) -> int:
        """The line of the token here, or of the last one."""
        return self._tokens[min(self._at, len(self._tokens) - 1)].line

    def step(self) -> None:
        """Go on to the next token."""
        self._at += 1

    def words(self, *words: str) -> bool:
        """Whether these unquoted words stand here, in any case; they are stepped over."""
        following = self._tokens[self._at : self._at + len(words)]
        if tuple(token.value for token in following if token.kind == "word") != words:
            return False
        self._at += len(words)
        return True

    def symbol(self, text: str) -> bool:
        """Whether this symbol stands here; it is stepped over."""
        token = self.token
        if token is None or token.kind != "symbol" or token.text != text:
            return False
        self.step()
        return True

    def call(self) -> str | None:
        """The word here when an opening bracket follows it, in lower case; both are stepped over."""
        following = self._tokens[self._at : self._at + 2]
        if [token.kind for token in following] != ["word", "symbol"] or following[1].text != "(":
            return None
        self._at += 2
        return following[0].value

    def need(self, text: str) -> None:
        """Step over a word or symbol.

        Raises:
            SchemaFileError: something else stands here.
        """
        if not (self.words(text) or self.symbol(text)):
            raise self.wrong(f"{self.shown()} where {text.upper()} belongs", remedy=f"Write {text.upper()} there")

    def name(self, what: str) -> str:
        """The name here, bare ones in lower case; it is stepped over.

        Raises:
            SchemaFileError: something else stands here, or a word of CQL that is not quoted.
        """
        token = self.token
        if token and (token.kind == "quoted" or (token.kind == "word" and token.value not in RESERVED)):
            self.step()
            return token.value
        raise self.wrong(
            f"{self.shown()} is no name of a {what}", remedy='Write the name, in "" if it is a word of CQL'
        )

    def names(self) -> Iterator[str]:
        """The column names here, with commas between them.

        Raises:
            SchemaFileError: something else stands among them.
        """
        yield self.name("column")
        while self.symbol(","):
            yield self.name("column")

    def qualified(self, what: str) -> tuple[str | None, str]:
        """The keyspace, if there is one, and the name here.

        Raises:
            SchemaFileError: something else stands here.
        """
        name = self.name(what)
        return (name, self.name(what)) if self.symbol(".") else (None, name)

    def string(self) -> str:
        """The text in single quotes that stands here; it is stepped over.

        Raises:
            SchemaFileError: something else stands here.
        """
        token = self.token
        if token and token.kind == "string":
            self.step()
            return token.value
        raise self.wrong(f"{self.shown()} is no text", remedy="Write text in single quotes")

    def elements(self, opening: str = "(", closing: str = ")") -> Iterator[None]:
        """Once per element of the list in brackets here; the caller reads the element.

        Raises:
            SchemaFileError: no list stands here, or it is not closed.
        """
        self.need(opening)
        if self.symbol(closing):
            return
        while True:
            yield
            if self.symbol(closing):
                return
            self.need(",")

    def shown(self) -> str:
        """The token here, as errors show it."""
        return repr(self.token.text[:40]) if self.token else "the end of the file"

    def wrong(self, problem: str, *, remedy: str, line: int | None = None) -> SchemaFileError:
        """An error that names this place, or `line`."""
        return SchemaFileError(problem, file=self.file, line=line or self.line, remedy=remedy)
