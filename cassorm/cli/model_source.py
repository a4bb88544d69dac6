"""The source of model classes for the tables of a schema: what `cassorm schema generate --format models` prints."""

import keyword
from collections.abc import Collection, Iterator, Mapping, Sequence

from cassorm.cql.types import CqlType
from cassorm.errors import SchemaError
from cassorm.orm.from_schema import TYPE_NAMES, attributes, class_name, key_types
from cassorm.orm.model import RESERVED_NAMES
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Column, Index, Table, UserType

# A column may well be called `date`: in the class it would hide the type.
_DT = "datetime as dt"
# CQL type -> annotation, and where the name in it comes from.
_NATIVE: Mapping[str, tuple[str, str | None]] = {
    "ascii": ("Ascii", "cassorm"),
    "bigint": ("int", None),
    "blob": ("bytes", None),
    "boolean": ("bool", None),
    "counter": ("Counter", "cassorm"),
    "date": ("dt.date", _DT),
    "decimal": ("Decimal", "decimal"),
    "double": ("float", None),
    "duration": ("Duration", "cassorm"),
    "float": ("Float32", "cassorm"),
    "inet": ("IPv4Address | IPv6Address", "ipaddress"),
    "int": ("Int", "cassorm"),
    "smallint": ("SmallInt", "cassorm"),
    "text": ("str", None),
    "time": ("dt.time", _DT),
    "timestamp": ("dt.datetime", _DT),
    "timeuuid": ("TimeUUID", "cassorm"),
    "tinyint": ("TinyInt", "cassorm"),
    "uuid": ("UUID", "uuid"),
    "varint": ("VarInt", "cassorm"),
}
# What the module may import: no class of its own can be called so, and no field whose class goes on to use it.
_IMPORTED = frozenset(
    [name for text, _ in _NATIVE.values() for name in text.split(" | ")]
    + [
        "Annotated",
        "CK",
        "Col",
        "Counter",
        "IndexOn",
        "Model",
        "PK",
        "SAI",
        "Secondary",
        "Static",
        "Udt",
        "Vector",
        "View",
    ]
)
_USED = RESERVED_NAMES | _IMPORTED | {"col", "dict", "dt", "frozenset", "list", "pk", "ck", "set", "tuple"}
_WIDTH = 120
_EMPTY = {"list": "list", "set": "set", "map": "dict"}


def model_source(schema: Schema) -> str:
    """A module with a class for each user type and each table; made into models, they have the same shape.

    Raises:
        SchemaError: a column has a type that no Python type fits.
    """
    writer = _Writer(schema)
    classes = [writer.user_type(kind) for kind in schema.types]
    classes += [writer.table(table) for table in schema.tables]
    names = ", ".join(keyspace.name for keyspace in schema.keyspaces)
    head = f'"""The tables of {names or "a schema"}; written by cassorm schema generate."""'
    return "\n\n\n".join([f"{head}\n\n{writer.imports()}", *classes]) + "\n"


class _Writer:
    """Writes classes, and remembers what they have to import."""

    def __init__(self, schema: Schema) -> None:
        self._imports: dict[str, set[str]] = {}
        self._hashable = key_types(schema)
        self._types: dict[tuple[str | None, str], str] = {}
        self._tables: dict[tuple[str | None, str], str] = {}
        taken = set(_IMPORTED)
        for parts, names, suffix in ((schema.tables, self._tables, "Row"), (schema.types, self._types, "Type")):
            for part in parts:
                names[part.keyspace, part.name] = made = _free(class_name(part.name), suffix, taken)
                taken.add(made)

    def imports(self) -> str:
        groups: tuple[list[str], list[str]] = ([], [])
        for module, names in sorted(self._imports.items(), key=lambda entry: (bool(entry[1]), entry[0])):
            groups[module.startswith("cassorm")].append(_import(module, sorted(names, key=_place)))
        return "\n\n".join("\n".join(group) for group in groups if group)

    def user_type(self, kind: UserType) -> str:
        self._use("Udt", "cassorm")
        hashable = kind.name in self._hashable
        options = f"type_name={kind.name!r}{', frozen=True' if hashable else ''}"
        name = self._types[kind.keyspace, kind.name]
        lines = [f"class {name}(Udt, {options}):", f'    """Type {kind.name}."""', ""]
        names = attributes(kind.fields, TYPE_NAMES | _USED)
        for column in kind.fields:
            made = self._type(column.cql_type, column, kind.keyspace, hashable=hashable)
            field, default = names[column.name], "None"
            said = [] if field == column.name else [f"name={column.name!r}"]
            if column.cql_type.is_multicell:
                said.append(f"type={column.type!r}")
            if said:
                self._use("col", "cassorm")
                default = f"col({', '.join(said)}, default=None)"
            lines.append(f"    {field}: {made} | None = {default}")
        return "\n".join(lines)

    def table(self, table: Table) -> str:
        self._use("Model", "cassorm")
        said = {
            "keyspace": table.keyspace,
            "table": table.name,
            "options": dict(table.options),
            "comment": table.comment,
        }
        options = [f"{name}={value!r}" for name, value in said.items() if value]
        if table.views:
            self._use("View", "cassorm")
            options.append(f"views={table.views!r}")
        names = attributes(table.columns, _USED)
        groups = [[names[name] for name in group] for group in table.unique if len(group) > 1]
        if groups:
            options.append(f"unique={groups!r}")
        lines = [
            f"class {self._tables[table.keyspace, table.name]}(Model, {', '.join(options)}):",
            f'    """A row of {table.name}."""',
            "",
        ]
        lines += [f"    {self._field(table, column, names[column.name])}" for column in table.columns]
        lines += [f"    # {line}" for line in _unsaid(table)]
        return "\n".join(lines)

    def _field(self, table: Table, column: Column, name: str) -> str:
        cql = column.cql_type
        said = [] if name == column.name else [f"name={column.name!r}"]
        if not cql.is_native:
            said.append(f"type={column.type!r}")
        index = next((index for index in table.indexes if index.column == column.name), None)
        if index is not None:
            said.append(f"index={self._index(index)}")
        if (column.name,) in table.unique:
            said.append("unique=True")
        made = self._type(cql, column, table.keyspace)
        order = dict(table.clustering).get(column.name)
        if column.name in table.partition_key:
            return self._declared(name, "PK", made, "pk", said)
        if order is not None:
            return self._declared(name, "CK", made, "ck", [*said, *(['order="desc"'] if order == "desc" else [])])
        if cql.name == "counter":
            self._use("col", "cassorm")
            return f"{name}: Counter = col({', '.join([*said, 'default=0'])})"
        kind = "Static" if column.static else "Col"
        if cql.is_collection and not cql.frozen:
            return self._declared(name, kind, made, "col", [*said, f"default_factory={_EMPTY[cql.name]}"])
        return self._declared(name, kind, f"{made} | None", "col", [*said, "default=None"])

    def _declared(self, name: str, kind: str, made: str, call: str, said: list[str]) -> str:
        self._use(kind, "cassorm")
        if not said:
            return f"{name}: {kind}[{made}]"
        self._use(call, "cassorm")
        return f"{name}: {kind}[{made}] = {call}({', '.join(said)})"

    def _index(self, index: Index) -> str:
        said = [f"name={index.name!r}", *([f"target={index.target!r}"] if index.target else [])]
        plain = all(key.isidentifier() for key in index.options)
        if index.kind == "sai" and plain:
            self._use("SAI", "cassorm")
            return f"SAI({', '.join([*said, *(f'{key}={value!r}' for key, value in index.options.items())])})"
        if index.kind == "secondary" and not index.options:
            self._use("Secondary", "cassorm")
            return f"Secondary({', '.join(said)})"
        self._use("IndexOn", "cassorm.orm.markers")
        return f"IndexOn({', '.join([f'kind={index.kind!r}', *said, f'options={dict(index.options)!r}'])})"

    def _type(self, cql: CqlType, column: Column, keyspace: str | None, *, hashable: bool = False) -> str:
        if cql.is_native:
            text, module = _NATIVE[cql.name]
            for name in text.split(" | "):
                self._use(name, module)
            return text
        if cql.is_user_type:
            return self._types.get((keyspace, cql.name), class_name(cql.name))
        inside = [hashable or cql.name == "set" or (cql.name == "map" and at == 0) for at in range(len(cql.args))]
        inner = [self._type(arg, column, keyspace, hashable=each) for arg, each in zip(cql.args, inside, strict=True)]
        match cql.name:
            case "vector":
                self._use("Annotated", "typing")
                self._use("Vector", "cassorm")
                of = "" if cql.args[0].name == "float" else f", {cql.args[0].name!r}"
                return f"Annotated[list[{inner[0]}], Vector({cql.size}{of})]"
            case "list":
                return f"tuple[{inner[0]}, ...]" if hashable else f"list[{inner[0]}]"
            case "set":
                return f"{'frozenset' if cql.frozen else 'set'}[{inner[0]}]"
            case "map" if not hashable:
                return f"dict[{inner[0]}, {inner[1]}]"
            case "tuple":
                return f"tuple[{', '.join(f'{part} | None' for part in inner)}]"
        raise SchemaError(
            f"no Python type is that of {cql}", where=f"column {column.name}", remedy="Generate YAML or CQL instead"
        )

    def _use(self, name: str, module: str | None) -> None:
        if module is not None:
            self._imports.setdefault(module, set()).update([] if module == _DT else [name])


def _free(name: str, suffix: str, taken: Collection[str]) -> str:
    """A class's name that no other class has, and that is none in Python's or the module's own use."""
    made = name
    while made in taken or not made.isidentifier() or keyword.iskeyword(made):
        made = f"{name if name.isidentifier() else f'Table{name}'}{suffix}" if made == name else f"{made}_"
    return made


def _place(name: str) -> tuple[int, str]:
    """Where import sorters put a name: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _import(module: str, names: Sequence[str]) -> str:
    if not names:
        return f"import {module}"
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _unsaid(table: Table) -> Iterator[str]:
    """What a field cannot say: it has room for one index."""
    seen: set[str] = set()
    for index in table.indexes:
        if index.column in seen:
            yield f"Index {index.name} on {index.column} is not declared here: keep it in a schema file."
        seen.add(index.column)
