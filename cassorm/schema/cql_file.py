"""CREATE statements of .cql files, read into values."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from cassorm.cql.tokens import tokens
from cassorm.errors import QueryError, SchemaFileError
from cassorm.schema.cursor import Cursor
from cassorm.schema.declared import Attached, Declared, Place, ordered
from cassorm.schema.foreign import COMPUTED
from cassorm.schema.keyspace import Keyspace
from cassorm.schema.table import ALL_COLUMNS, Column, Index, Order, Table, Target, UserType, View

_SAI = {"storageattachedindex", "sai", "org.apache.cassandra.index.sai.storageattachedindex"}
_TARGETS: dict[str, Target] = {"values": "values", "keys": "keys", "entries": "entries", "full": "full"}
_LONGEST_NUMBER = 30
_ONLY = "A schema file holds CREATE KEYSPACE, TABLE, TYPE, INDEX and MATERIALIZED VIEW: run anything else by itself"

_T = TypeVar("_T")
_Lines = dict[tuple[str, ...], int]


def declarations(text: str, file: str) -> Iterator[Declared]:
    """What the CREATE statements of `text` declare, each with its place, in their order.

    Raises:
        SchemaFileError: another statement, or one that cannot be read; the error names the line.
    """
    try:
        parser = _Parser(list(tokens(text)), file)
    except QueryError as error:
        line = int((error.where or "line 1").removeprefix("line "))
        raise SchemaFileError(error.problem, file=file, line=line, remedy=error.remedy or "Close it") from error
    while parser.symbol(";"):
        pass
    if parser.token is None:
        raise SchemaFileError("declares nothing", file=file, line=1, remedy=_ONLY)
    while parser.token is not None:
        yield parser.statement()
        while parser.symbol(";"):
            pass


def _copies(value: object) -> int | str:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_NUMBER else text


class _Parser(Cursor):
    """Recursive descent, one method for each statement."""

    _lines: _Lines

    def statement(self) -> Declared:
        self._lines = {(): self.line}
        if not self.words("create"):
            raise self.wrong(f"{self.shown()} declares nothing", remedy=_ONLY)
        custom = self.words("custom")
        for words, read in self._readers(custom=custom):
            if self.words(*words):
                self.words("if", "not", "exists")
                declared = read()
                break
        else:
            raise self.wrong(f"CREATE {self.shown()} cannot stand in a schema file", remedy=_ONLY)
        if self.token is not None and self.token.text != ";":
            raise self.wrong(
                f"{self.shown()} after the end of the statement", remedy="Put a semicolon between statements"
            )
        return declared

    def _readers(self, *, custom: bool) -> Iterator[tuple[tuple[str, ...], Callable[[], Declared]]]:
        yield ("index",), lambda: self._index(custom=custom)
        if not custom:
            yield ("keyspace",), self._keyspace
            yield ("table",), self._table
            yield ("columnfamily",), self._table
            yield ("type",), self._type
            yield ("materialized", "view"), self._view

    # --- statements

    def _keyspace(self) -> Declared:
        name = self.name("keyspace")
        options, _, _ = self._with()
        replication = options.pop("replication", None)
        durable = options.pop("durable_writes", True)
        options.pop("tablets", None)  # the engine's dialect decides
        if not isinstance(replication, dict) or not isinstance(durable, bool) or options:
            raise self.wrong(
                f"keyspace {name} with {', '.join(options) or 'no replication'}",
                remedy="Write WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}",
            )
        if str(replication.get("class", "")).endswith("NetworkTopologyStrategy"):
            replication.pop("class")
        copies = {key: _copies(value) for key, value in replication.items()}
        return self._made(lambda: Keyspace(name, copies, durable))

    def _type(self) -> Declared:
        keyspace, name = self.qualified("type")
        fields = [self._column() for _ in self.elements()]
        return self._made(lambda: UserType(name, tuple(fields), keyspace))

    def _table(self) -> Declared:
        keyspace, name = self.qualified("table")
        columns: list[Column] = []
        key: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        for _ in self.elements():
            if self.words("primary", "key"):
                key = self._key(key)
                continue
            columns.append(self._column(static=True))
            if self.words("primary", "key"):
                if key is not None:
                    raise self.wrong(f"table {name} has two primary keys", remedy="Keep one")
                self._lines["key",] = self.line
                key = (columns[-1].name,), ()
        if key is None:
            raise self.wrong(f"table {name} has no primary key", remedy="Add PRIMARY KEY (...)")
        options, orders, comment = self._with()
        partition_key, clustering = key
        return self._made(
            lambda: Table(
                name=name,
                keyspace=keyspace,
                columns=tuple(columns),
                partition_key=partition_key,
                clustering=ordered(clustering, orders),
                options=options,
                comment=comment,
            )
        )

    def _index(self, *, custom: bool) -> Declared:
        name = "" if self.words("on") else self.name("index")
        if name:
            self.need("on")
        keyspace, table = self.qualified("table")
        self.need("(")
        called = self.call()
        if called is not None and called not in _TARGETS:
            raise self.wrong(f"an index on {called}(...)", remedy=f"Index a column, or {', '.join(_TARGETS)} of one")
        target = None if called is None else _TARGETS[called]
        column = self.name("column")
        if target:
            self.need(")")
        self.need(")")
        used = self.string() if self.words("using") else None
        if custom and used is None:
            raise self.wrong("a custom index without a class", remedy="Add USING 'StorageAttachedIndex'")
        options: dict[str, str] = {}
        if self.words("with"):
            self.need("options")
            self.need("=")
            options = {key: str(value) for key, value in self._map().items()}
        kind = "secondary" if used is None else "sai" if used.lower() in _SAI else used
        return self._made(lambda: Attached(keyspace, table, Index(column, name, kind, target, options)))

    def _view(self) -> Declared:
        keyspace, name = self.qualified("view")
        self.need("as")
        self.need("select")
        columns = ALL_COLUMNS if self.symbol("*") else tuple(self.names())
        if self.symbol("("):
            raise self.wrong(f"view {name} computes {columns[-1]}(...)", remedy=COMPUTED)
        self.need("from")
        base_keyspace, table = self.qualified("table")
        present = set(self._present())
        if not self.words("primary", "key"):
            raise self.wrong(f"view {name} has no primary key", remedy="Add PRIMARY KEY (...) after the WHERE")
        partition_key, clustering = self._key(None)
        if present != {*partition_key, *clustering}:
            raise self.wrong(
                f"view {name} says IS NOT NULL of {', '.join(sorted(present)) or 'no column'}",
                remedy="Say it of every column of the view's key, and of no other",
            )
        options, orders, comment = self._with()
        return self._made(
            lambda: Attached(
                base_keyspace or keyspace,
                table,
                View(name, partition_key, ordered(clustering, orders), columns, options, comment),
            )
        )

    def _present(self) -> Iterator[str]:
        self.need("where")
        while True:
            column = self.name("column")
            if not self.words("is", "not", "null"):
                raise self.wrong(
                    f"a view that filters on {column}",
                    remedy="A view holds every row of its table: say IS NOT NULL of its key columns, and filter in queries",
                )
            yield column
            if not self.words("and"):
                return

    # --- parts of statements

    def _column(self, *, static: bool = False) -> Column:
        line = self.line
        name = self.name("column")
        self._lines["columns", name] = line
        written: list[str] = []
        depth = 0
        while (token := self.token) is not None:
            ends = token.text in (",", ")") or (token.kind == "word" and token.value in ("static", "primary"))
            if ends and depth <= 0:
                break
            depth += {"<": 1, ">": -1}.get(token.text, 0)
            written.append(token.text)
            self.step()
        is_static = static and self.words("static")
        return self._at_place(lambda: Column(name, " ".join(written), is_static))

    def _key(self, before: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if before is not None:
            raise self.wrong("a second primary key", remedy="Keep one")
        self._lines["key",] = self.line
        self.need("(")
        if self.symbol("("):
            partition = tuple(self.names())
            self.need(")")
        else:
            partition = (self.name("column"),)
        clustering = tuple(self.names()) if self.symbol(",") else ()
        self.need(")")
        return partition, clustering

    def _with(self) -> tuple[dict[str, object], dict[str, Order], str]:
        options: dict[str, object] = {}
        orders: dict[str, Order] = {}
        more = self.words("with")
        while more:
            line = self.line
            if self.words("clustering", "order", "by"):
                orders |= self._orders()
            else:
                name = self.name("option")
                if name in ("compact", "id"):
                    raise self.wrong(f"{name.upper()} cannot be set in a schema file", remedy="Remove it", line=line)
                self.need("=")
                if name in options:
                    raise self.wrong(f"option {name} is there twice", remedy="Remove one", line=line)
                self._lines["options", name] = line
                options[name] = self._value()
            more = self.words("and")
        if options.get("extensions") == {}:
            del options["extensions"]  # DESCRIBE prints it for every table
        comment = options.pop("comment", "")
        return options, orders, str(comment)

    def _orders(self) -> dict[str, Order]:
        orders: dict[str, Order] = {}
        for _ in self.elements():
            line = self.line
            name = self.name("column")
            self._lines["clustering_order", name] = line
            descending = self.words("desc")
            if not descending:
                self.words("asc")
            orders[name] = "desc" if descending else "asc"
        return orders

    def _value(self, *, nested: bool = False) -> object:
        token = self.token
        if token is not None:
            if token.text == "{" and not nested:
                return self._map()
            self.step()
            match token.kind, token.value:
                case "string", text:
                    return text
                case "number", text if len(text) <= _LONGEST_NUMBER:
                    return int(text) if text.lstrip("-").isdigit() else float(text)
                case "word", ("true" | "false") as text:
                    return text == "true"
        raise self.wrong(
            f"{token.text!r} is no value" if token else "a value is missing",
            remedy="Write text in single quotes, a number, true, false or {...}",
        )

    def _map(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for _ in self.elements("{", "}"):
            key = self.string()
            self.need(":")
            found[key] = self._value(nested=True)
        return found

    def _at_place(self, make: Callable[[], _T]) -> _T:
        with Place(self.file, self._lines).named():
            return make()

    def _made(self, make: Callable[[], Keyspace | UserType | Table | Attached]) -> Declared:
        return self._at_place(make), Place(self.file, self._lines)
