"""The form of table files: what YAML, JSON and dicts may say, turned into values."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from cassorm.cql.dialect import Profile
from cassorm.errors import SchemaError, SchemaFileError
from cassorm.schema.declared import Declared, Place, ordered
from cassorm.schema.documents import DataPath, Document
from cassorm.schema.foreign import said_elsewhere
from cassorm.schema.keyspace import Keyspace
from cassorm.schema.options import OPTIONS
from cassorm.schema.table import ALL_COLUMNS, Column, Index, Order, Table, Target, UserType, View

_KEY = "Write [id], [id, created_at] or [[org, day], created_at]: the first part is the partition key"


def _key(value: object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        raise ValueError(f"{value!r} is no key")
    first = parts[0] if isinstance(parts[0], list) else [parts[0]]
    if not first or not all(isinstance(name, str) for name in (*first, *parts[1:])):
        raise ValueError(f"{value!r} is no key")
    return tuple(first), tuple(parts[1:])


def _group(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value!r} is no column, nor a list of them")
    return tuple(names)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_NAME = {"type": "string"}
KeyForm = Annotated[
    tuple[tuple[str, ...], tuple[str, ...]],
    BeforeValidator(_key),
    WithJsonSchema(
        {
            "anyOf": [
                _NAME,
                {"type": "array", "minItems": 1, "items": {"anyOf": [_NAME, {"type": "array", "items": _NAME}]}},
            ],
            "description": "The partition key (a list of columns when it has several), then the clustering columns.",
        }
    ),
]
UniqueForm = Annotated[
    tuple[str, ...],
    BeforeValidator(_group),
    WithJsonSchema({"anyOf": [_NAME, {"type": "array", "minItems": 1, "items": _NAME}]}),
]
OrderForm = Annotated[Order, BeforeValidator(_lower)]
OptionsForm = Annotated[dict[str, Any], Field(json_schema_extra={"propertyNames": {"enum": sorted(OPTIONS)}})]
ReplicationForm = int | dict[str, int | str]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _ShortForm(_Form):
    """A form that may be written as one text, which then is its first field."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {next(iter(cls.model_fields)): value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [_NAME, handler.resolve_ref_schema(handler(core_schema))]}


class FieldForm(_ShortForm):
    """A column: its type, or a mapping that also says whether it is static."""

    type: str = Field(description="A CQL type, such as text or map<text, frozen<list<int>>>.")
    static: bool = Field(default=False, description="One value for the whole partition.")


class IndexForm(_ShortForm):
    """An index: the column's name, or a mapping that says more."""

    column: str
    name: str = Field(default="", description="TABLE_COLUMN_idx unless it is given.")
    kind: str | None = Field(default=None, description="sai, secondary or a class; the engine's best unless given.")
    target: Target | None = Field(default=None, description="What of a collection is indexed.")
    options: dict[str, str | int | float | bool] = {}


class ViewForm(_Form):
    """A materialized view."""

    select: list[str] = Field(default=list(ALL_COLUMNS), description='Columns, or ["*"] for all.')
    key: KeyForm
    clustering_order: dict[str, OrderForm] = {}
    options: OptionsForm = {}
    comment: str = ""


class TableForm(_Form):
    """A table in a file of several."""

    keyspace: str | None = None
    comment: str = ""
    fields: dict[str, FieldForm] = Field(description="The columns, in their order.")
    key: KeyForm
    clustering_order: dict[str, OrderForm] = Field(default={}, description="asc unless it is given.")
    profile: Profile | None = Field(default=None, description="How the table is used; decides its compaction.")
    options: OptionsForm = {}
    indexes: list[IndexForm] = []
    unique: list[UniqueForm] = Field(
        default=[], description="Columns, or groups of them, kept unique by lookup tables."
    )
    materialized_views: dict[str, ViewForm] = {}


class OneTableForm(TableForm):
    """A file that declares one table."""

    name: str | None = None
    table: str | None = Field(default=None, description="The same as `name`.")
    replication: ReplicationForm | None = None
    types: dict[str, dict[str, str]] = Field(default={}, description="User types: their fields by name.")


class ManyTablesForm(_Form):
    """A file that declares several tables."""

    keyspace: str | None = None
    replication: ReplicationForm | None = Field(default=None, description="Copies, or copies by data centre.")
    types: dict[str, dict[str, str]] = Field(default={}, description="User types: their fields by name.")
    tables: dict[str, TableForm]


# The forms that stand below a key of these names, for the keys that an unknown one may have meant.
_BELOW: dict[object, type[_Form]] = {
    "fields": FieldForm,
    "indexes": IndexForm,
    "materialized_views": ViewForm,
    "tables": TableForm,
}

_F = TypeVar("_F", bound=_Form)


def declarations(document: Document, file: str | None, name: str | None = None) -> Iterator[Declared]:
    """What the document declares, each with its place: the keyspace, then types, then tables.

    Raises:
        SchemaFileError: a key, a value or a type that cannot stand there; the error names the line.
    """
    reader = _Reader(document, file)
    data = document.data
    if not isinstance(data, Mapping) or not data:
        raise reader.error(
            (), "declares nothing", remedy="Write `fields` and `key` of a table, or several under `tables`"
        )
    if "tables" in data:
        many = reader.form(ManyTablesForm, data)
        yield from reader.shared(many)
        for table_name, form in many.tables.items():
            yield reader.table(form, table_name, ("tables", table_name), many.keyspace)
        return
    one = reader.form(OneTableForm, data)
    yield from reader.shared(one)
    if one.name and one.table:
        raise reader.error(("table",), "`name` and `table` are both there", remedy="Remove one of them")
    table_name = one.name or one.table or name or ""
    if not table_name:
        raise reader.error((), "the table has no name", remedy="Add `name:`")
    yield reader.table(one, table_name, (), one.keyspace)


class _Reader:
    def __init__(self, document: Document, file: str | None) -> None:
        self._document = document
        self._file = file

    def form(self, form: type[_F], data: Mapping[str, object]) -> _F:
        try:
            return form.model_validate(_lists(data))
        except ValidationError as errors:
            # A misspelt key is also a missing one: the key that is there says more.
            found = sorted(errors.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")
            raise self._refused(form, found[0]) from None

    def error(self, path: DataPath, problem: str, *, remedy: str) -> SchemaFileError:
        return SchemaFileError(problem, file=self._file, line=self._document.line(path), remedy=remedy)

    def shared(self, form: OneTableForm | ManyTablesForm) -> Iterator[Declared]:
        if form.replication is not None:
            if form.keyspace is None:
                raise self.error(("replication",), "replication of no keyspace", remedy="Add `keyspace:`")
            place = self._place({(): ("keyspace",), ("replication",): ("replication",)})
            with place.named():
                yield Keyspace(form.keyspace, form.replication), place
        for name, fields in form.types.items():
            parts: dict[tuple[str, ...], DataPath] = {(): ("types", name)}
            parts |= {("columns", field): ("types", name, field) for field in fields}
            place = self._place(parts)
            with place.named():
                yield UserType(name, tuple(Column(*pair) for pair in fields.items()), form.keyspace), place

    def table(self, form: TableForm, name: str, at: DataPath, keyspace: str | None) -> Declared:
        place = self._place(_parts(form, at))
        with place.named():
            partition_key, clustering = form.key
            table = Table(
                name=name,
                keyspace=form.keyspace or keyspace,
                comment=form.comment,
                columns=tuple(Column(key, field.type, field.static) for key, field in form.fields.items()),
                partition_key=partition_key,
                clustering=ordered(clustering, form.clustering_order),
                profile=form.profile,
                options=form.options,
                indexes=tuple(_index(index) for index in form.indexes),
                unique=tuple(form.unique),
                views=tuple(_view(key, view) for key, view in form.materialized_views.items()),
            )
        return table, place

    def _place(self, parts: Mapping[tuple[str, ...], DataPath]) -> Place:
        found = {part: self._document.line(path) for part, path in parts.items()}
        return Place(self._file, {part: line for part, line in found.items() if line is not None})

    def _refused(self, form: type[_Form], error: Mapping[str, Any]) -> SchemaFileError:
        path: DataPath = tuple(error["loc"])
        last = path[-1] if path else ""
        problem, remedy = f"{'.'.join(map(str, path))}: {error['msg']}", "Correct the value"
        match error["type"]:
            case "extra_forbidden":
                below = _BELOW.get(path[-3], form) if len(path) >= 3 else form
                near = difflib.get_close_matches(str(last), below.model_fields, n=2, cutoff=0.5)
                problem = f"unknown key {'.'.join(map(str, path))}"
                known = f"Did you mean {' or '.join(near)}?" if near else f"Use {', '.join(below.model_fields)}"
                remedy = said_elsewhere(path) or known
            case "missing":
                problem = f"{'.'.join(map(str, path[:-1])) or 'the table'} lacks `{last}`"
                remedy = f"Add `{last}:`"
            case "value_error" if last == "key":
                problem, remedy = str(error["ctx"]["error"]), _KEY
            case "literal_error":
                problem = f"{'.'.join(map(str, path))}: {error['input']!r}"
                remedy = f"Use {error['ctx']['expected']}"
        return self.error(path, problem, remedy=remedy)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of table files, for editors and validators."""
    schema = TypeAdapter(OneTableForm | ManyTablesForm).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cassorm table file", **schema}


def _lists(value: Any) -> Any:
    """Tuples as lists, as a file would give them: a dict in code may hold either."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def _parts(form: TableForm, at: DataPath) -> dict[tuple[str, ...], DataPath]:
    parts: dict[tuple[str, ...], DataPath] = {(): at}
    parts |= {("columns", name): (*at, "fields", name) for name in form.fields}
    parts |= {(key,): (*at, key) for key in ("key", "clustering_order", "profile", "comment")}
    parts |= {("options", name): (*at, "options", name) for name in form.options}
    parts |= {("indexes", index.column): (*at, "indexes", n) for n, index in enumerate(form.indexes)}
    parts |= {("unique", group[0]): (*at, "unique", n) for n, group in enumerate(form.unique) if group}
    parts |= {("views", name): (*at, "materialized_views", name) for name in form.materialized_views}
    if "name" in form.model_fields_set or "table" in form.model_fields_set:
        parts["name",] = (*at, "name" if "name" in form.model_fields_set else "table")
    return parts


def _index(form: IndexForm) -> Index:
    options = {key: _option(value) for key, value in form.options.items()}
    return Index(form.column, form.name, form.kind, form.target, options)


def _option(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _view(name: str, form: ViewForm) -> View:
    partition_key, clustering = form.key
    try:
        columns = ordered(clustering, form.clustering_order)
    except SchemaError as error:
        raise SchemaError(f"view {name}: {error.problem}", remedy=error.remedy, part=("views", name)) from error
    return View(name, partition_key, columns, tuple(form.select), form.options, form.comment)
