"""Reads the documents: their fenced blocks, their prose, and the names that occur in both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.sources import ROOT, files_in, name_of, text_of

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_HEADING = re.compile(r"^#+ +(.*)$")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is the number of its first line."""

    document: str
    line: int
    language: str
    text: str


def documents() -> list[Path]:
    """Return every document of the project."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += [ROOT / place / "README.md" for place in ("deploy", "templates/components", "verify")]
    return [*found, *(path for path in files_in("docs") if path.suffix == ".md")]


@cache
def _parted(path: Path) -> tuple[list[Block], str]:
    """Return a document's fenced blocks, and all other lines as one text."""
    blocks: list[Block] = []
    prose: list[str] = []
    opened: re.Match[str] | None = None
    block_lines: list[str] = []
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, block_lines, began = fence, [], number
        elif opened is not None and fence and not fence["language"]:
            blocks.append(Block(name_of(path), began, opened["language"], "\n".join(block_lines)))
            opened = None
        elif opened is not None:
            block_lines.append(line.removeprefix(opened["indent"]))
        else:
            prose.append(line)
    if opened is not None:
        raise ValueError(f"{path}: the block of line {began} has no end")
    return blocks, "\n".join(prose)


def blocks(language: str) -> list[Block]:
    return [block for path in documents() for block in _parted(path)[0] if block.language == language]


def prose(path: Path) -> str:
    return _parted(path)[1]


def commands(block: Block) -> list[str]:
    """Return the commands in a block that is marked `sh`, one for each line.

    A backslash at a line's end continues the command.
    """
    joined = block.text.replace("\\\n", " ")
    lines = (re.sub(r"\s+# .*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def links(path: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(prose(path))]


def code_spans(path: Path) -> list[str]:
    # Inside a table, a pipe is escaped.
    return [span.replace("\\|", "|") for span in _CODE.findall(prose(path))]


def bold(path: Path) -> list[str]:
    return [words for words in _BOLD.findall(prose(path)) if "`" not in words]


def anchors(path: Path) -> set[str]:
    """Return the fragments with which links reach a document's headings, as GitHub computes them."""
    return {slug(match[1]) for line in prose(path).splitlines() if (match := _HEADING.match(line))}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
