"""The source of model classes for the tables of a schema: what `cassorm schema generate --format models` prints."""

from collections.abc import Iterator, Mapping, Sequence

from cassorm.cql.types import CqlType
from cassorm.errors import SchemaError
from cassorm.orm.from_schema import attribute, class_name
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Column, Index, Table, UserType

# CQL type -> annotation, and where the name in it comes from.
_NATIVE: Mapping[str, tuple[str, str | None]] = {
    "ascii": ("Ascii", "cassorm"),
    "bigint": ("int", None),
    "blob": ("bytes", None),
    "boolean": ("bool", None),
    "counter": ("Counter", "cassorm"),
    "date": ("date", "datetime"),
    "decimal": ("Decimal", "decimal"),
    "double": ("float", None),
    "duration": ("Duration", "cassorm"),
    "float": ("Float32", "cassorm"),
    "inet": ("IPv4Address | IPv6Address", "ipaddress"),
    "int": ("Int", "cassorm"),
    "smallint": ("SmallInt", "cassorm"),
    "text": ("str", None),
    "time": ("time", "datetime"),
    "timestamp": ("datetime", "datetime"),
    "timeuuid": ("TimeUUID", "cassorm"),
    "tinyint": ("TinyInt", "cassorm"),
    "uuid": ("UUID", "uuid"),
    "varint": ("VarInt", "cassorm"),
}
_WIDTH = 120
_EMPTY = {"list": "list", "set": "set", "map": "dict"}


def model_source(schema: Schema) -> str:
    """A module with a class for each user type and each table; made into models, they have the same shape.

    Raises:
        SchemaError: a column has a type that no Python type fits.
    """
    writer = _Writer()
    classes = [writer.user_type(kind) for kind in schema.types]
    classes += [writer.table(table) for table in schema.tables]
    names = ", ".join(keyspace.name for keyspace in schema.keyspaces)
    head = f'"""The tables of {names or "a schema"}; written by cassorm schema generate."""'
    return "\n\n\n".join([f"{head}\n\n{writer.imports()}", *classes]) + "\n"


class _Writer:
    """Writes classes, and remembers what they have to import."""

    def __init__(self) -> None:
        self._imports: dict[str, set[str]] = {}

    def imports(self) -> str:
        groups: tuple[list[str], list[str]] = ([], [])
        for module, names in sorted(self._imports.items()):
            groups[module.startswith("cassorm")].append(_import(module, sorted(names, key=_place)))
        return "\n\n".join("\n".join(group) for group in groups if group)

    def user_type(self, kind: UserType) -> str:
        self._use("Udt", "cassorm")
        lines = [f"class {class_name(kind.name)}(Udt, type_name={kind.name!r}):", f'    """Type {kind.name}."""', ""]
        lines += [f"    {column.name}: {self._type(column.cql_type, column)} | None = None" for column in kind.fields]
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
        groups = [[attribute(name) for name in group] for group in table.unique if len(group) > 1]
        if groups:
            options.append(f"unique={groups!r}")
        lines = [
            f"class {class_name(table.name)}(Model, {', '.join(options)}):",
            f'    """A row of {table.name}."""',
            "",
        ]
        lines += [f"    {self._field(table, column)}" for column in table.columns]
        lines += [f"    # {line}" for line in _unsaid(table)]
        return "\n".join(lines)

    def _field(self, table: Table, column: Column) -> str:
        cql, name = column.cql_type, attribute(column.name)
        said = [] if name == column.name else [f"name={column.name!r}"]
        if not cql.is_native:
            said.append(f"type={column.type!r}")
        index = next((index for index in table.indexes if index.column == column.name), None)
        if index is not None:
            said.append(f"index={self._index(index)}")
        if (column.name,) in table.unique:
            said.append("unique=True")
        made = self._type(cql, column)
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

    def _type(self, cql: CqlType, column: Column) -> str:
        if cql.is_native:
            text, module = _NATIVE[cql.name]
            for name in text.split(" | "):
                self._use(name, module)
            return text
        if cql.is_user_type:
            return class_name(cql.name)
        inner = [self._type(arg, column) for arg in cql.args]
        match cql.name:
            case "vector":
                self._use("Annotated", "typing")
                self._use("Vector", "cassorm")
                of = "" if cql.args[0].name == "float" else f", {cql.args[0].name!r}"
                return f"Annotated[list[{inner[0]}], Vector({cql.size}{of})]"
            case "list":
                return f"list[{inner[0]}]"
            case "set":
                return f"{'frozenset' if cql.frozen else 'set'}[{inner[0]}]"
            case "map":
                return f"dict[{inner[0]}, {inner[1]}]"
            case "tuple":
                return f"tuple[{', '.join(f'{part} | None' for part in inner)}]"
        raise SchemaError(
            f"no Python type is that of {cql}", where=f"column {column.name}", remedy="Generate YAML or CQL instead"
        )

    def _use(self, name: str, module: str | None) -> None:
        if module is not None:
            self._imports.setdefault(module, set()).add(name)


def _place(name: str) -> tuple[int, str]:
    """Where import sorters put a name: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _import(module: str, names: Sequence[str]) -> str:
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
