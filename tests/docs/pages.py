"""The pages of the documentation, and the Python in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(`{3,})\s*(\w*)")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block: the line of its first line of code, counted from 1; `not_run` is the reason why, if it is not."""

    language: str
    line: int
    lines: tuple[str, ...]
    not_run: str | None

    @property
    def source(self) -> str:
        """The code, on the lines where it stands in the page."""
        return "\n" * (self.line - 1) + "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        kept, fence = [], None
        for line in self.text.splitlines():
            opened = _FENCE.match(line)
            if fence is None and opened:
                fence = opened[1]
            elif fence is not None and line.strip() == fence:
                fence = None
            elif fence is None:
                kept.append(line)
        return "\n".join(kept)

    @property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        lines = self.text.splitlines()
        at = 0
        while at < len(lines):
            opened = _FENCE.match(lines[at])
            if opened is None:
                at += 1
                continue
            end = lines.index(opened[1], at + 1)
            before = next((line for line in reversed(lines[:at]) if line.strip()), "")
            marked = _NOT_RUN.match(before)
            found.append(Block(opened[2], at + 2, tuple(lines[at + 1 : end]), marked and marked[1]))
            at = end + 1
        return found

    @property
    def python(self) -> list[Block]:
        return [block for block in self.blocks if block.language in ("python", "py")]

    @property
    def program(self) -> str:
        """All blocks that run, as one program: each line of code stands where it stands in the page."""
        lines = [""] * len(self.text.splitlines())
        for block in self.python:
            if block.not_run is None:
                lines[block.line - 1 : block.line - 1 + len(block.lines)] = block.lines
        return "\n".join(lines) + "\n"


def pages() -> list[Page]:
    """README and everything in docs/."""
    return [Page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
