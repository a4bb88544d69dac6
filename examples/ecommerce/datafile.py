"""Files of comma-separated text, plain or gzipped, as records that know the line of the file they begin at."""

import csv
import gzip
import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from cassorm import CassormError

_GZIP = b"\x1f\x8b"
_TEXT = 200
"""Characters of a broken record that are kept to show it."""


class DataFileError(CassormError):
    """A file that cannot be replayed as it is."""


class Record(NamedTuple):
    """One row of the file: `line` is where it begins, counted from 1; `problem` says why it is no row, if so."""

    line: int
    fields: list[str]
    text: str
    problem: str | None = None


class _Physical(NamedTuple):
    number: int
    text: str
    decoded: bool
    """False when the bytes are no UTF-8."""


class _Lines:
    """Physical lines of the file; `taken` holds those that the record now being read was made of."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = iter(file)
        self._again: deque[_Physical] = deque()
        self._hash = hashlib.sha256()
        self.number = 0
        self.taken: list[_Physical] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._next()
        self.taken.append(line)
        return line.text

    def _next(self) -> _Physical:
        raw = next(self._file)
        self._hash.update(raw)
        self.number += 1
        try:
            text, decoded = raw.decode("utf-8-sig" if self.number == 1 else "utf-8"), True
        except UnicodeDecodeError:
            text, decoded = raw.decode(errors="replace"), False
        return _Physical(self.number, text, decoded)

    def give_back(self, lines: Sequence[_Physical]) -> None:
        """Let lines come again, before those that follow."""
        self._again.extendleft(reversed(lines))

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read, uncompressed."""
        return self._hash.hexdigest()


class DataFile:
    """A file that is read from its beginning to its end, once.

    `progress` is called now and then with the bytes of the file read since its last call. After the last record,
    `digest` is the SHA-256 of what the file holds, uncompressed: it knows a file by its content, not by its name.
    """

    def __init__(self, path: Path, progress: Callable[[float], None] = lambda _: None, *, so_far: str) -> None:
        self.path = path
        self.digest = ""
        self._progress = progress
        self._so_far = so_far

    def records(self) -> Iterator[Record]:
        """Yield all records, the header first; blank lines are passed over.

        A quote that is opened and never closed would make one record of all rows up to the next quote. When one of
        those lines is a row by itself, only the first is broken, and the others are read again.

        Raises:
            DataFileError: it cannot be read to its end; says how far it could.
        """
        count = done = 0
        lines: _Lines | None = None
        try:
            with _open(self.path) as raw, _text(raw, self.path) as file:
                lines = _Lines(file)
                for count, record in enumerate(_records(lines), 1):
                    if count % 1_000 == 0:
                        done = self._advance(done, raw.tell())
                    yield record
                self._advance(done, raw.tell())
                self.digest = lines.digest
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            last = lines.number if lines is not None else 0
            raise DataFileError(
                f"the compressed data end or break after line {last:,}, {max(0, count - 1):,} rows in ({error})",
                where=str(self.path),
                remedy=f"{self._so_far}. Get the whole file and run the same command again: it continues with whatever "
                "is not there yet",
            ) from error
        except OSError as error:
            raise DataFileError(
                f"cannot be read: {error.strerror or error}",
                where=str(self.path),
                remedy=f"{self._so_far}. Check the path and its permissions, and run the same command again",
            ) from error

    def _advance(self, before: int, now: int) -> int:
        self._progress(now - before)
        return now


def _open(path: Path) -> BinaryIO:
    if path.exists() and not path.is_file():
        raise DataFileError(
            "is no file", where=str(path), remedy="Name a .csv or .csv.gz; it is read twice, so a pipe will not do"
        )
    return path.open("rb")


def _text(raw: BinaryIO, path: Path) -> BinaryIO:
    """Return the uncompressed content, by what the file holds rather than by its name."""
    start = raw.read(len(_GZIP))
    raw.seek(0, os.SEEK_SET)
    if start == _GZIP:
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]  # it reads as one
    if path.suffix == ".gz":
        raise gzip.BadGzipFile("it does not begin as gzip data do")
    return raw


def _records(lines: _Lines) -> Iterator[Record]:
    reader = csv.reader(lines)
    width: int | None = None
    while True:
        lines.taken.clear()
        problem = None
        try:
            fields = next(reader, None)
        except csv.Error as error:
            fields, problem = [], f"is no comma-separated text: {error}"
        if fields is None:
            return
        if not fields and problem is None:
            continue
        taken = lines.taken
        if width is None:
            width = len(fields)
        elif problem is None and len(fields) != width:
            problem = f"has {len(fields)} fields, the header has {width}"
        if problem is not None and any(_width(line.text) == width for line in taken[1:]):
            lines.give_back(taken[1:])
            del taken[1:]
            problem = "opens a quote that is not closed"
        if not all(line.decoded for line in taken):
            problem = "is not UTF-8 text"
        yield Record(taken[0].number, fields, "".join(line.text for line in taken).strip("\r\n")[:_TEXT], problem)


def _width(text: str) -> int:
    try:
        return len(next(csv.reader([text]), []))
    except csv.Error:
        return 0
