"""Migration files: names, numbers, statements, and what is refused before anything is sent."""

from pathlib import Path

import pytest

from cassorm.errors import SchemaFileError
from cassorm.schema.migration_file import CqlStatement, read_migrations, split, write_migration


def texts(text: str) -> list[tuple[str, int]]:
    return [(statement.text, statement.line) for statement in split(text, "f.cql")]


def test_a_file_is_cut_at_its_semicolons_and_each_statement_knows_its_line() -> None:
    text = "-- first;\nCREATE TABLE t (\n  id int PRIMARY KEY\n);;\n\nINSERT INTO t (id)\n VALUES (1) /* ; */ ;\nDROP TABLE t"
    assert texts(text) == [
        ("CREATE TABLE t (\n  id int PRIMARY KEY\n)", 2),
        ("INSERT INTO t (id)\n VALUES (1)", 6),
        ("DROP TABLE t", 8),
    ]


def test_semicolons_in_strings_functions_and_batches_cut_nothing() -> None:
    batch = "BEGIN UNLOGGED BATCH\n INSERT INTO t (a) VALUES ('x;y');\n DELETE FROM t WHERE a = 'z';\nAPPLY BATCH"
    function = "CREATE FUNCTION f (a int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return a; $$"
    assert texts(f"{batch};\n{function};") == [(batch, 1), (function, 5)]


def test_only_statements_about_the_schema_wait_for_all_nodes() -> None:
    assert CqlStatement("create index on t (a)", 1).is_ddl
    assert not CqlStatement("INSERT INTO t (a) VALUES (1)", 1).is_ddl


WRONG = {
    "SELECT * FROM t;": (1, "reads, and nobody sees"),
    "DROP TABLE a;\nUSE shop;": (2, "run in the keyspace"),
    "\nCRATE TABLE t (a int);": (2, "Did you mean CREATE?"),
    "DROP TABLE a;\n42;": (2, "Begin with ALTER, BEGIN"),
    "DROP TABLE t;\nCREATE TABLE t (\n  a int,\n  PRIMARY KEY (a;\n": (4, r"'\(' is opened and never closed"),
    "DROP TABLE t);": (1, r"'\)' closes nothing"),
    "INSERT INTO t (a)\nVALUES ('x);": (2, "string is opened"),
    "BEGIN BATCH\nDELETE FROM t WHERE a = 1;": (1, "APPLY BATCH"),
    "-- nothing\n": (1, "holds no statement"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_named_with_its_line_and_the_remedy(tmp_path: Path, text: str) -> None:
    line, said = WRONG[text]
    (tmp_path / "0001_a.cql").write_text(text)
    with pytest.raises(SchemaFileError, match=said) as caught:
        read_migrations(tmp_path)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "0001_a.cql"), line)


NAMES = {
    ("create.cql",): "is no name of a migration.* 0001_create_orders.cql",
    ("0000_a.cql",): "is no name of a migration",
    ("0001-a.cql",): "is no name of a migration",
    ("99999999999999_a.cql",): "is no name of a migration",
    ("0001_a.cql", "0003_b.cql"): "0003_b.cql: number 0002 is missing before it",
    ("0002_a.cql",): "number 0001 is missing",
    ("0001_a.cql", "0001_b.py"): "0001_b.py: has the number of 0001_a.cql",
    ("0001_a.cql", "1_b.cql"): "1_b.cql: has the number of 0001_a.cql",
}


@pytest.mark.parametrize("names", NAMES)
def test_numbers_that_are_none_missing_or_there_twice_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("async def upgrade(db): ..." if name.endswith(".py") else "DROP TABLE t")
    with pytest.raises(SchemaFileError, match=NAMES[names]):
        read_migrations(tmp_path)


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SchemaFileError, match=r"is no folder.*--new NAME"):
        read_migrations(tmp_path / "none")


def test_files_come_by_number_and_others_are_passed_over(tmp_path: Path) -> None:
    for name in ("10_j.cql", *(f"{n}_x.cql" for n in range(1, 10)), "README.md", "__init__.py", ".0011_swap.cql"):
        (tmp_path / name).write_text("DROP TABLE t")
    (tmp_path / "__pycache__").mkdir()
    assert [migration.number for migration in read_migrations(tmp_path)] == list(range(1, 11))


PYTHON = {
    "import os\n": (1, r"has no upgrade\(\)"),
    "x = 1\ndef upgrade(db):\n  pass\n": (2, "upgrade is not async"),
    "async def upgrade():\n  pass\n": (1, "takes 0 parameters"),
    "async def upgrade(a, b):\n  pass\n": (1, "takes 2 parameters"),
    "async def upgrade(db:\n": (1, "is no Python"),
    "a\0b": (None, "is no Python"),
}


@pytest.mark.parametrize("text", PYTHON)
def test_a_python_file_without_upgrade_is_refused_and_never_imported(tmp_path: Path, text: str) -> None:
    line, said = PYTHON[text]
    (tmp_path / "0001_a.py").write_text(f"{text}")
    with pytest.raises(SchemaFileError, match=said) as caught:
        read_migrations(tmp_path)
    if line is not None:
        assert caught.value.line == line


def test_reading_a_python_file_does_not_run_it(tmp_path: Path) -> None:
    (tmp_path / "0001_a.py").write_text("raise SystemExit\nasync def upgrade(db, *, again=True): ...\n")
    (migration,) = read_migrations(tmp_path)
    assert (migration.steps, migration.statements) == (1, ())


def test_the_checksum_does_not_know_line_ends_and_knows_every_other_change(tmp_path: Path) -> None:
    def checksum(text: bytes) -> str:
        (tmp_path / "0001_a.cql").write_bytes(text)
        return read_migrations(tmp_path)[0].checksum

    first = checksum(b"DROP TABLE a;\nDROP TABLE b;\n")
    assert checksum(b"DROP TABLE a;\r\nDROP TABLE b;\r\n") == first
    assert checksum(b"DROP TABLE a;\nDROP TABLE  b;\n") != first


def test_what_was_run_is_told_apart_from_what_was_not(tmp_path: Path) -> None:
    def head(text: str) -> str:
        (tmp_path / "0001_a.cql").write_text(text)
        return read_migrations(tmp_path)[0].checksum_of_first(1)

    assert head("DROP TABLE a; DROP TABLE b;") == head("-- mended\nDROP TABLE a;\nDROP TABLE c;")
    assert head("DROP TABLE a;") != head("DROP TABLE b;")


def test_a_new_file_takes_the_next_number(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    assert write_migration(folder, "create orders", statements="DROP TABLE t;\n").name == "0001_create_orders.cql"
    assert write_migration(folder, "fill-totals", python=True).name == "0002_fill_totals.py"
    assert [migration.steps for migration in read_migrations(folder)] == [1, 1]
    # Nothing written into it yet: whoever runs it is told so.
    assert write_migration(folder, "later").name == "0003_later.cql"
    with pytest.raises(SchemaFileError, match=r"0003_later.cql:1: holds no statement"):
        read_migrations(folder)
    with pytest.raises(SchemaFileError, match="is no name of a migration"):
        write_migration(tmp_path / "other", "../x")
