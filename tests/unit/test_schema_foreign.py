"""What CassandraORM's table definitions say and Cassandra cannot keep is refused, with the way to get the same."""

import re
from pathlib import Path
from typing import Any

import pytest

from cassorm.errors import SchemaFileError
from cassorm.schema.load import load

USERS: dict[str, Any] = {"fields": {"id": "uuid", "email": "text", "visits": "int"}, "key": ["id"]}
RELATIONS = {"orders": {"model": "orders", "foreignKey": "user_id", "type": "hasMany"}}


def field(**said: object) -> dict[str, Any]:
    return {"fields": {**USERS["fields"], "email": {"type": "text", **said}}}


def view(**said: object) -> dict[str, Any]:
    return {"materialized_views": {"by_email": {"key": ["email", "id"], **said}}}


@pytest.mark.parametrize(
    ("said", "problem", "remedy"),
    [
        ({"relations": RELATIONS}, "unknown key relations", "db.related"),
        ({"methods": {"name": "..."}}, "unknown key methods", "declare the table as a class"),
        ({"before_save": "..."}, "unknown key before_save", "@before_save"),
        ({"after_update": "..."}, "unknown key after_update", "@after_save"),
        ({"ttl": 60}, "unknown key ttl", "default_time_to_live"),
        ({"table_name": "users"}, "unknown key table_name", "Write `table:`"),
        ({"custom_indexes": []}, "unknown key custom_indexes", "`indexes`"),
        ({"es_index_mapping": {}}, "unknown key es_index_mapping", "Elasticsearch"),
        ({"graph_mapping": {}}, "unknown key graph_mapping", "a table for each way"),
        (field(default="none"), "unknown key fields.email.default", r"col\(default="),
        (field(unique=True), "unknown key fields.email.unique", "`unique: "),
        (field(index=True), "unknown key fields.email.index", "`indexes: "),
        (field(required=True), "unknown key fields.email.required", "without None"),
        (field(rule={"validators": []}), "unknown key fields.email.rule", "pydantic validator"),
        (field(virtual={}), "unknown key fields.email.virtual", "computed_field"),
        (field(ref="users"), "unknown key fields.email.ref", "db.get_many"),
        (field(typeDef="<text, int>"), "unknown key fields.email.typeDef", "whole type"),
        ({"options": {"timestamps": True}}, "unknown option 'timestamps'", "@before_save"),
        ({"options": {"versions": True}}, "unknown option 'versions'", r"Version\[int\]"),
        (view(filters={"email": {"$gte": "a"}}), "unknown key materialized_views.by_email.filters", r"where\(\)"),
        (view(select=["email", "COUNT(*)"]), r"view by_email: computes COUNT\(\*\)", "table of counters"),
    ],
)
def test_it_is_an_error_that_says_how_to_get_the_same(said: dict[str, Any], problem: str, remedy: str) -> None:
    with pytest.raises(SchemaFileError, match=problem) as refused:
        load({**USERS, **said}, name="users")
    assert re.search(remedy, refused.value.remedy or ""), refused.value.remedy


def test_a_view_in_cql_that_counts_is_refused_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "events.cql"
    file.write_text(
        "CREATE TABLE k.events (event_type text, id uuid PRIMARY KEY);\n"
        "CREATE MATERIALIZED VIEW k.events_by_type AS\n"
        "SELECT event_type, COUNT(*) as count FROM k.events WHERE event_type IS NOT NULL PRIMARY KEY (event_type);\n"
    )
    with pytest.raises(SchemaFileError, match=r"events\.cql:3: view events_by_type computes count.*table of counters"):
        load(file)


def test_in_a_file_of_several_tables_the_same_words_are_known(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("tables:\n  users:\n    fields: {id: uuid}\n    key: id\n    relations: {}\n")
    with pytest.raises(SchemaFileError, match=r"shop\.yaml:5: unknown key tables\.users\.relations.*db\.related"):
        load(file)
