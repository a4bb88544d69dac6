"""What table definitions of other toolkits say that is no part of a Cassandra table, and how to get the same.

The words are those of CassandraORM and of express-cassandra, on which it is built.
"""

_CLASS = "declare the table as a class (`cassorm schema generate --format models` writes it), and "
_HOOKS = f"Cassandra runs no code: {_CLASS}give it methods under @before_save, @after_save and so on"

_OF_TABLE = {
    "relations": "Cassandra joins nothing: fetch the rows of many parents at once by "
    "`await db.related(Order.where(), Order.customer_id, ids)`, from a table whose partition key they are",
    "methods": f"Cassandra keeps no code: {_CLASS}give it the methods",
    "ttl": "Write `options: {default_time_to_live: SECONDS}`, or give ttl= to inserts",
    "table_name": "Write `table:`",
    "custom_index": "Write it into `indexes`: {column: NAME, kind: CLASS, options: {...}}",
    "custom_indexes": "Write them into `indexes`: {column: NAME, kind: CLASS, options: {...}}",
    "es_index_mapping": "Cassandra keeps no search index of Elasticsearch's: index columns, or feed it what you write",
    "graph_mapping": "Cassandra keeps no graph: keep a table for each way that is asked for",
    **dict.fromkeys(
        (f"{when}_{what}" for when in ("before", "after") for what in ("save", "update", "delete", "create")), _HOOKS
    ),
}
_OF_FIELD = {
    "default": f"Cassandra keeps no defaults: {_CLASS}write col(default=...)",
    "unique": "Cassandra keeps nothing unique but keys: write `unique: [NAME]` beside `fields`, for a lookup table",
    "index": "Write `indexes: [NAME]` beside `fields`",
    "required": f"A column outside the key may be missing: {_CLASS}give the field a type without None and no default",
    "rule": f"Cassandra checks no values: {_CLASS}write col(ge=0), Field(...) or a pydantic validator",
    "validate": f"Cassandra checks no values: {_CLASS}write col(ge=0), Field(...) or a pydantic validator",
    "virtual": f"Cassandra computes no columns: {_CLASS}write a property, or pydantic's @computed_field",
    "typeDef": "Write the whole type: map<text, int>",
    "ref": "Cassandra joins nothing: keep the other row's key, and fetch it by `get`, or many by `db.get_many`",
}
_OF_VIEW = {
    "filters": "A view holds every row of its table: say where() in the query",
    "where": "A view holds every row of its table: say where() in the query",
    "group_by": "A view copies rows: group in the query, or count in a table of counters",
}
_OF_OPTIONS = {
    "timestamps": f"Add columns created_at and updated_at: {_CLASS}write col(default_factory=now) and a @before_save",
    "versions": f"Add a column, {_CLASS}make it `Version[int]`: db.save compares and advances it",
}

COMPUTED = (
    "A view copies rows and computes nothing: ask `Model.where(...).values(count_rows())`, which reads them, or keep "
    "the numbers in a table of counters"
)
"""What to do instead of a view over `COUNT(*)` and the like."""


def said_elsewhere(path: tuple[object, ...]) -> str | None:
    """What to write instead of the key at the end of `path`, None for one that no other toolkit has either."""
    key = str(path[-1])
    match path:
        case (*_, "fields", _, _):
            return _OF_FIELD.get(key)
        case (*_, "materialized_views", _, _):
            return _OF_VIEW.get(key)
        case (_,) | ("tables", _, _):
            return _OF_TABLE.get(key)
    return None


def option_elsewhere(name: str) -> str | None:
    """What to write instead of the option `name`; see `said_elsewhere`."""
    return _OF_OPTIONS.get(name)


def is_computed(column: str) -> bool:
    """Whether what a view selects is a function of columns, such as `COUNT(*)`."""
    return column.rstrip().endswith(")")
