"""YAML and JSON text as plain data that remembers its lines."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from cassorm.errors import SchemaFileError

DataPath = tuple[str | int, ...]

# Aliases may stand for each other many times over: what unfolds to more than this is no table file.
_MOST_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """YAML as people write schemas: `no`, `on` and `2024-01-01` are text, as in YAML 1.2."""


_BOOL, _TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _TIMESTAMP)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass(slots=True)
class Document:
    """Plain data, and the line (from 1) of every place in it."""

    data: object
    lines: dict[DataPath, int] = field(default_factory=dict)

    def line(self, path: DataPath) -> int | None:
        """The line of `path`, or of the nearest place around it; None when nothing is known of lines."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def parse_yaml(text: str, file: str) -> Document:
    """The data of one YAML document.

    Raises:
        SchemaFileError: the text is no YAML, names a key twice, or holds more than one document.
    """
    try:
        return _read(text, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SchemaFileError(
            f"no YAML: {error.problem or error.context}",
            file=file,
            line=mark.line + 1 if mark else None,
            remedy="Correct the text there",
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SchemaFileError(
            f"no YAML: {error.reason}", file=file, line=line, remedy="Remove the character that cannot stand there"
        ) from error


def parse_json(text: str, file: str) -> Document:
    """The data of a JSON text; its lines are known where they can be told.

    Raises:
        SchemaFileError: the text is no JSON, or names a key twice.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise SchemaFileError(
            f"no JSON: {error.msg}", file=file, line=error.lineno, remedy="Correct the text there"
        ) from error
    except RecursionError as error:
        raise _too_deep(file) from error
    # JSON is YAML but for tabs, which can only be blanks in it: the other reader knows the lines.
    try:
        lines = _read(text.replace("\t", " "), file).lines
    except yaml.YAMLError:
        lines = {}
    return Document(data, lines)


def _read(text: str, file: str) -> Document:
    document = Document(None)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reader(loader, document.lines, file).read(node, ())
    except RecursionError as error:
        raise _too_deep(file) from error
    return document


def _too_deep(file: str) -> SchemaFileError:
    return SchemaFileError("no schema: nested too deeply", file=file, remedy="Write fewer levels")


class _Reader:
    """Turns nodes into data and notes their lines."""

    def __init__(self, loader: _Loader, lines: dict[DataPath, int], file: str) -> None:
        self._loader = loader
        self._lines = lines
        self._file = file
        self._nodes = 0
        self._open: set[int] = set()

    def read(self, node: yaml.Node, path: DataPath) -> object:
        self._nodes += 1
        if id(node) in self._open or self._nodes > _MOST_NODES:
            raise self._wrong("an alias that unfolds without end", node, "Write the part out")
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._open.add(id(node))
        found: object
        match node:
            case yaml.MappingNode():
                found = self._mapping(node, path)
            case yaml.SequenceNode():
                found = [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            case _:
                found = self._scalar(node)
        self._open.discard(id(node))
        return found

    def _scalar(self, node: yaml.Node) -> object:
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            raise self._wrong(f"{node.value!r} is no {node.tag}", node, "Put it in quotation marks") from error

    def _mapping(self, node: yaml.MappingNode, path: DataPath) -> Mapping[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._wrong("a key that is no text", key_node, "Write a name before the colon")
            # The text as written: a column may well be called `null` or `12`.
            key = str(key_node.value)
            if key in found:
                raise self._wrong(f"{key!r} is there twice", key_node, "Remove one, or rename it")
            self._lines[*path, key] = key_node.start_mark.line + 1
            found[key] = self.read(value_node, (*path, key))
        return found

    def _wrong(self, problem: str, node: yaml.Node, remedy: str) -> SchemaFileError:
        return SchemaFileError(problem, file=self._file, line=node.start_mark.line + 1, remedy=remedy)
