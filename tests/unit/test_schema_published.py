"""The files under schemas/ say what the code does."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cassorm.cli.schema import toolkit_cql, toolkit_schema
from cassorm.cql.dialect import for_engine
from cassorm.schema import ddl
from cassorm.schema.load import load
from cassorm.schema.table_file import json_schema

SCHEMAS = Path(__file__).parents[2] / "schemas"
STORES = sorted((SCHEMAS / "event-store").glob("*.cql"))
JSON_SCHEMA: dict[str, Any] = json.loads((SCHEMAS / "table.schema.json").read_text())
CASSANDRA_5 = for_engine("cassandra", "5.0")


def test_both_cassandras_and_scylladb_are_published() -> None:
    assert [file.stem for file in STORES] == ["cassandra-4.1", "cassandra-5.0", "scylla-2025.4"]


@pytest.mark.parametrize("file", STORES, ids=lambda file: file.stem)
def test_the_published_event_store_is_what_the_code_creates(file: Path) -> None:
    engine, _, version = file.stem.partition("-")
    dialect = for_engine(engine, version)
    assert file.read_text() == toolkit_cql(dialect) + "\n", (
        f'run: cassorm schema show --engine "{engine} {version}" > schemas/event-store/{file.name}'
    )
    assert load(file).tables == tuple(ddl.resolve(table, dialect) for table in toolkit_schema())


def test_the_published_json_schema_is_that_of_the_code() -> None:
    assert json_schema() == JSON_SCHEMA, "run: cassorm schema show --format json-schema > schemas/table.schema.json"


def test_the_example_says_the_same_in_yaml_and_cql() -> None:
    in_yaml, in_cql = (load(SCHEMAS / "examples" / f"shop.{suffix}") for suffix in ("yaml", "cql"))
    assert in_cql.tables == tuple(ddl.resolve(table, CASSANDRA_5) for table in in_yaml)
    assert in_cql.types == in_yaml.types
    assert (SCHEMAS / "examples" / "shop.cql").read_text().partition("\n\n")[2] == ddl.script(in_yaml, CASSANDRA_5)


def test_the_example_is_valid_under_the_json_schema() -> None:
    example = yaml.safe_load((SCHEMAS / "examples" / "shop.yaml").read_text())
    assert list(violations(example, JSON_SCHEMA)) == []


@pytest.mark.parametrize(
    "form",
    [
        {"name": "t", "fields": {"id": "int", "a": "int", "n": {"type": "int", "static": True}}, "key": ["id", "a"]},
        {"fields": {"id": "int"}, "key": [["id"]], "options": {"gc_grace_seconds": 1}, "profile": "lwt-only"},
        {"tables": {"t": {"fields": {"id": "int", "a": "int"}, "key": ["id", "a"], "clustering_order": {"a": "desc"}}}},
        {"fields": {"id": "int", "a": "int"}, "key": "id", "indexes": ["a", {"column": "a", "kind": "sai"}]},
        {"fields": {"id": "int", "a": "int"}, "key": "id", "materialized_views": {"v": {"key": ["a", "id"]}}},
    ],
)
def test_what_loads_is_valid_under_the_json_schema(form: dict[str, Any]) -> None:
    assert list(violations(form, JSON_SCHEMA)) == []
    if "indexes" not in form:
        assert load(form, name="t").tables


@pytest.mark.parametrize(
    "form",
    [
        {"name": "t", "feilds": {"id": "int"}, "key": "id"},
        {"name": "t", "fields": {"id": 7}, "key": "id"},
        {"name": "t", "fields": {"id": "int"}},
        {"name": "t", "fields": {"id": "int"}, "key": "id", "profile": "fast"},
        {"name": "t", "fields": {"id": "int"}, "key": "id", "options": {"gc_grace": 1}},
        {"name": "t", "fields": {"id": "int"}, "key": "id", "clustering_order": {"id": "up"}},
        {"tables": {"t": {"fields": {"id": "int"}, "key": "id", "types": {}}}},
    ],
)
def test_what_does_not_load_is_not_valid_under_the_json_schema(form: dict[str, Any]) -> None:
    assert list(violations(form, JSON_SCHEMA))
    with pytest.raises(Exception, match=r"unknown|lacks|fields\.id|Use"):
        load(form)


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "object": dict,
    "array": list,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def violations(value: Any, schema: Mapping[str, Any], at: str = "$") -> Iterator[str]:
    """What breaks the schema, for the keywords that ours uses."""
    if "$ref" in schema:
        schema = JSON_SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    unknown = set(schema) - _KEYWORDS
    assert not unknown, f"the validator of this test does not know {unknown}"
    if "anyOf" in schema:
        options = [list(violations(value, option, at)) for option in schema["anyOf"]]
        if all(options):
            yield f"{at}: {min(options, key=len)}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    expected = schema.get("type")
    if expected and (not isinstance(value, _TYPES[expected]) or (isinstance(value, bool) and expected != "boolean")):
        yield f"{at}: {value!r} is no {expected}"
    elif isinstance(value, dict):
        yield from _in_object(value, schema, at)
    elif isinstance(value, list):
        yield from _in_array(value, schema, at)


_KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "default"),
    *("anyOf", "enum", "type", "properties", "additionalProperties", "propertyNames", "required", "items", "minItems"),
}


def _in_object(value: dict[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from (f"{at}: lacks {name}" for name in schema.get("required", ()) if name not in value)
    for name, item in value.items():
        yield from violations(name, schema.get("propertyNames", {}), f"{at}.{name}")
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
        if inner is False:
            yield f"{at}: has no place for {name}"
        elif inner is not True:
            yield from violations(item, inner, f"{at}.{name}")


def _in_array(value: Sequence[Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{at}: too short"
    for number, item in enumerate(value):
        yield from violations(item, schema.get("items", {}), f"{at}[{number}]")


def test_every_option_and_profile_stands_in_the_reference() -> None:
    reference = (SCHEMAS.parent / "docs" / "reference" / "schema-files.md").read_text()
    table = JSON_SCHEMA["$defs"]["TableForm"]["properties"]
    for name in [*table, *table["options"]["propertyNames"]["enum"]]:
        assert re.search(rf"`{name}`", reference), name
