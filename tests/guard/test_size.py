"""The README says how long the guard for Python is, so that nobody is surprised who wants to read it."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import lockbox_guard

CODE = Path(str(lockbox_guard.__file__)).parent
ROW = re.compile(r"^\| ((?:`\w+\.py`(?:, )?)+) \| (\d+) \|", re.MULTILINE)
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of(path: Path) -> int:
    """Return how many lines of code a file has, without blank lines, comments and docstrings."""
    with path.open("rb") as file:
        found = {
            number
            for token in tokenize.tokenize(file.readline)
            if token.type not in NO_CODE and token.type != tokenize.ENCODING
            for number in range(token.start[0], token.end[0] + 1)
        }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            found -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(found)


def test_the_readme_says_how_long_each_file_is() -> None:
    rows = ROW.findall((CODE.parent / "README.md").read_text())
    stated = {tuple(re.findall(r"\w+\.py", names)): int(most) for names, most in rows}
    assert sorted(name for names in stated for name in names) == sorted(path.name for path in CODE.glob("*.py"))
    for names, most in stated.items():
        # Rounded up, so that the figure is true and a small change needs no new one.
        assert most - 20 < sum(lines_of(CODE / name) for name in names) <= most, names
    assert sum(stated.values()) < 1000
