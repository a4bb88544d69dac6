"""Schema files, folders and dicts, read into one schema."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cassorm.errors import SchemaError, SchemaFileError
from cassorm.schema import cql_file, table_file
from cassorm.schema.declared import Attached, Declared, Place
from cassorm.schema.documents import Document, parse_json, parse_yaml
from cassorm.schema.keyspace import Keyspace, Schema, check_user_types
from cassorm.schema.table import Column, Index, Table, UserType, lookup_name

SUFFIXES = (".yaml", ".yml", ".json", ".cql")

Source = Path | str | Mapping[str, Any]
_Name = tuple[str | None, str]


def load(source: Source, name: str | None = None) -> Schema:
    """The schema of a file, of all files in a folder, or of a dict in the form of a table file.

    Tables, types and keyspaces come in the order in which they can be created; a folder's files are read in the
    order of their names, with those of its folders. `name` is the table's, where the source names none.

    Raises:
        SchemaFileError: something cannot be read, or is wrong; the error names file, line and remedy.
    """
    return load_all([source], name=name)


def load_all(sources: Iterable[Source], *, name: str | None = None) -> Schema:
    """The one schema of several sources: an index may stand in another file than its table.

    Raises:
        SchemaFileError: something cannot be read, or is wrong; the error names file, line and remedy.
    """
    merge = _Merge()
    for source in sources:
        for declared, place in _read(source, name):
            merge.add(declared, place)
    return merge.schema()


def _read(source: Source, name: str | None) -> Iterator[Declared]:
    if isinstance(source, Mapping):
        yield from table_file.declarations(Document(source), None, name)
        return
    if not isinstance(source, str | Path):
        raise SchemaFileError(f"{source!r} is no schema", remedy="Give a dict, or the path of a file or folder")
    path = Path(source)
    if not path.is_dir():
        yield from _read_file(path, name)
        return
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise SchemaFileError(
            "holds no schema file", file=str(path), remedy=f"Name one that has {', '.join(SUFFIXES)} files"
        )
    for file in files:
        yield from _read_file(file, None)


def _read_file(path: Path, name: str | None) -> Iterator[Declared]:
    file = str(path)
    if path.suffix not in SUFFIXES:
        raise SchemaFileError(
            f"{path.suffix or 'no suffix'} is that of no schema file", file=file, remedy=f"Use {', '.join(SUFFIXES)}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SchemaFileError(problem, file=file, remedy="Check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise SchemaFileError("is no text in UTF-8", file=file, remedy="Save it as UTF-8") from error
    if path.suffix == ".cql":
        return cql_file.declarations(text, file)
    document = parse_json(text, file) if path.suffix == ".json" else parse_yaml(text, file)
    return table_file.declarations(document, file, name)


class _Merge:
    """Puts what was declared together, and checks what only the whole can tell."""

    def __init__(self) -> None:
        self._keyspaces: dict[str, Keyspace] = {}
        self._types: dict[_Name, UserType] = {}
        self._tables: dict[_Name, Table] = {}
        self._places: dict[tuple[str, _Name], Place] = {}

    def add(self, declared: Keyspace | UserType | Table | Attached, place: Place) -> None:
        match declared:
            case Keyspace(name=name):
                # Every file of a folder may name the keyspace, as long as they agree.
                if self._keyspaces.get(name, declared) != declared:
                    first = self._places["keyspace", (None, name)]
                    raise place.error(
                        f"keyspace {name} is declared otherwise at {first}",
                        remedy="Give it the same replication everywhere, or in one place alone",
                    )
                self._places.setdefault(("keyspace", (None, name)), place)
                self._keyspaces[name] = declared
            case UserType(keyspace=keyspace, name=name):
                self._once("type", (keyspace, name), place)
                self._types[keyspace, name] = declared
            case Table(keyspace=keyspace, name=name):
                self._once("table", (keyspace, name), place)
                self._tables[keyspace, name] = declared
            case Attached():
                self._attach(declared, place)

    def schema(self) -> Schema:
        types = tuple(self._types.values())
        for kind in types:
            self._check_types(
                kind.fields, f"type {kind.name}", kind.keyspace, self._places["type", (kind.keyspace, kind.name)]
            )
        for (keyspace, name), table in self._tables.items():
            place = self._places["table", (keyspace, name)]
            self._check_types(table.columns, table.where, keyspace, place)
            # Indexes share one set of names in a keyspace, tables and views another.
            for index in table.indexes:
                self._once("index", (keyspace, index.name), place, ("indexes", index.column))
            for view in table.views:
                self._once("table", (keyspace, view.name), place, ("views", view.name))
            for group in table.unique:
                self._once("table", (keyspace, lookup_name(name, group)), place, ("unique", group[0]))
        try:
            return Schema(tuple(self._tables.values()), types, tuple(self._keyspaces.values()))
        except SchemaError as error:
            name = error.part[-1]
            place = next(place for (what, found), place in self._places.items() if (what, found[1]) == ("type", name))
            raise place.error(f"type {name}: {error.problem}", remedy=error.remedy or "") from error

    def _once(self, what: str, name: _Name, place: Place, part: tuple[str, ...] = ("name",)) -> None:
        first = self._places.setdefault((what, name), place)
        if first is not place:
            shown = ".".join(word for word in name if word)
            raise place.error(
                f"{what} {shown} is declared twice, first at {first}", remedy="Remove one, or rename it", part=part
            )

    def _attach(self, attached: Attached, place: Place) -> None:
        name = (attached.keyspace, attached.table)
        table = self._tables.get(name)
        if table is None:
            known = ", ".join(table.where for table in self._tables.values()) or "none"
            raise place.error(
                f"an index or view on {attached.table}, which is not declared before it",
                remedy=f"Declare the table first; declared so far: {known}",
            )
        with place.named():
            if isinstance(attached.part, Index):
                self._tables[name] = replace(table, indexes=(*table.indexes, attached.part))
            else:
                self._tables[name] = replace(table, views=(*table.views, attached.part))

    def _check_types(self, columns: Iterable[Column], where: str, keyspace: str | None, place: Place) -> None:
        with place.named():
            check_user_types(columns, {name: kind for (of, name), kind in self._types.items() if of == keyspace}, where)
