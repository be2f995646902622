"""The project's files, for tests that loop over them. Each process lists, reads and parses each file only once."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The Python packages of the product.
PACKAGES = ("requests_app", "audit_app", "lockbox_site")
#: The directories of the product's files, without tests and documents.
PRODUCT = (*PACKAGES, "templates", "bin", "deploy", "bench")


def name_of(path: Path) -> str:
    """Return the path relative to the project's root, as in `requests_app/domain/clock.py`."""
    return path.relative_to(ROOT).as_posix()


@cache
def files_in(place: str) -> tuple[Path, ...]:
    """Return every file below a directory of the project, in order, without compiled files."""
    found = (path for path in (ROOT / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return tuple(sorted(found))


def product_files(*suffixes: str) -> list[Path]:
    """Return all files of the product. With suffixes, return only files with one of them."""
    return [path for place in PRODUCT for path in files_in(place) if not suffixes or path.suffix in suffixes]


def modules(*packages: str, with_migrations: bool = True) -> list[Path]:
    """Return every Python module of these packages, by default of all the product's packages."""
    found = [path for package in packages or PACKAGES for path in files_in(package) if path.suffix == ".py"]
    return [path for path in found if with_migrations or "migrations" not in path.parts]


def templates(*suffixes: str) -> list[Path]:
    """Return every template with one of these suffixes, by default the HTML templates."""
    return [path for path in files_in("templates") if path.suffix in (suffixes or (".html",))]


@cache
def text_of(path: Path) -> str:
    """Return the text of a file in UTF-8."""
    return path.read_text("utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file. All tests share the tree, so do not change it."""
    return ast.parse(text_of(path), filename=str(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a Python file's syntax tree, in no particular order."""
    return tuple(ast.walk(tree_of(path)))


def nodes_in(code: str) -> tuple[ast.AST, ...]:
    """Return every node of a piece of code, as `nodes_of` does for a file."""
    return tuple(ast.walk(ast.parse(code)))
