"""Print numbers about the structure of the source tree, and compare them with docs/numbers.md.

Usage: python bin/_measure.py [--check] [DIRECTORY]

Without an option, print a table of the numbers in DIRECTORY (by default this project). With --check, fail if a number
is larger than in the column "now" of docs/numbers.md. Migrations and the lines of an area grow with the product, so
they are not compared. The numbers and seconds of tests come from the last `bin/test` of all tests, if there was one.
They are never compared, because a slow machine breaks no rule.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _closing_line
import _plain_words
import grimp

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("requests_app", "audit_app", "lockbox_site")
#: Directories that Django requires, which do not count as rooms.
DJANGOS = {"__init__", "apps", "migrations", "management", "templatetags", "tasks"}
AREAS = (
    "requests_app",
    "audit_app",
    "lockbox_site",
    "templates",
    "static",
    "tests",
    "clients",
    "verify",
    "bench",
    "docs",
)
#: The limits in tests/parity/test_statements.py, with the names that they have there.
BUDGETS = {"INSIDE": "in the operation", "WEB": "on the page", "API": "over the API"}
#: These numbers grow with the product.
GROWING = {"Migrations", *(f"Lines of {area}" for area in AREAS)}
ROW = re.compile(r"^\| (?P<name>[^|]+?) \| (?P<before>[^|]*?) \| (?P<now>[^|]*?) \|$", re.MULTILINE)


def rooms(root: Path) -> list[str]:
    found = {path.stem if path.suffix == ".py" else path.name for path in (root / "requests_app").iterdir()}
    return sorted(name for name in found if name not in DJANGOS and not name.startswith(("_", ".")))


def imports_of(root: Path) -> grimp.ImportGraph:
    sys.path.insert(0, str(root))
    return grimp.build_graph(*PRODUCT, cache_dir=None)


def in_circles(graph: grimp.ImportGraph) -> int:
    """Return the number of modules that import themselves, through other modules."""
    above = {module: graph.find_upstream_modules(module) for module in graph.modules}
    return sum(
        any(module in above[imported] for imported in graph.find_modules_directly_imported_by(module))
        for module in graph.modules
    )


def arrows(graph: grimp.ImportGraph, places: list[str]) -> tuple[int, int]:
    """Return the number of arrows between rooms, and of pairs of rooms with arrows both ways.

    An arrow: one part of `requests_app` imports another.
    """
    pairs = set()
    for importer in graph.find_descendants("requests_app"):
        for imported in graph.find_modules_directly_imported_by(importer):
            if not imported.startswith("requests_app."):
                continue
            ends = [module.split(".")[1] for module in (importer, imported)]
            if ends[0] != ends[1] and set(ends) <= set(places):
                pairs.add((ends[0], ends[1]))
    return len(pairs), sum((there, here) in pairs for here, there in pairs) // 2


def files(root: Path, area: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", area], capture_output=True, text=True, check=True
    )
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def lines_of(path: Path) -> int:
    try:
        return len(path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        return 0


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (length in lines, name) for each function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, node.name


def statements(root: Path) -> dict[str, int]:
    """Return how many SQL statements a decision is allowed to take. The numbers are read from the tests."""
    source = (root / "tests" / "parity" / "test_statements.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"({', '.join(BUDGETS)})":
            limits = ast.literal_eval(node.value)
            return {f"Statements of a decision {BUDGETS[name]}": n for name, n in zip(BUDGETS, limits, strict=True)}
    raise SystemExit("tests/parity/test_statements.py has no budgets.")


def unclear_words(root: Path) -> dict[str, int]:
    """Return, for each area, the number of unclear words, which `bin/test static` would refuse."""
    tree = _plain_words.Tree(root)
    return {f"Unclear words in {area}": len(list(tree.offences(area))) for area in _plain_words.AREAS}


def last_run(root: Path) -> dict[str, int]:
    """Return, for each part of the last run of all tests, the number of its test cases and its seconds.

    Return an empty dict if there was no such run.
    """
    reports = {name: root / "var" / "test-results" / f"{name}.xml" for name in ("full", "sqlite", "browser")}
    if not all(path.exists() for path in reports.values()):
        return {}
    found: dict[str, int] = {}
    for name, path in reports.items():
        counts, seconds = _closing_line.counts_of(path)
        found |= {f"Test cases of {name}": counts.total(), f"Seconds of {name}": round(seconds)}
    return found


def numbers(root: Path) -> dict[str, int]:
    places = rooms(root)
    graph = imports_of(root)
    there, both = arrows(graph, places)
    sources = [path for area in PRODUCT for path in files(root, area) if path.suffix == ".py"]
    sources = [path for path in sources if "migrations" not in path.parts]
    found = {
        "Rooms of requests_app": len(places),
        "Arrows between rooms": there,
        "Pairs of rooms with arrows both ways": both,
        "Modules in a circle of imports": in_circles(graph),
        "Migrations": sum(path.name[:4].isdigit() for area in PRODUCT for path in files(root, area)),
        "Longest module": max(lines_of(path) for path in sources),
        "Longest function": max(length for path in sources for length, _name in functions(path)),
    }
    found |= {f"Lines of {area}": sum(lines_of(path) for path in files(root, area)) for area in AREAS}
    found["Lines of docs/openapi.json"] = lines_of(root / "docs" / "openapi.json")
    return found | statements(root)


def documented(root: Path) -> dict[str, str]:
    text = (root / "docs" / "numbers.md").read_text(encoding="utf-8")
    return {match["name"]: match["now"] for match in ROW.finditer(text)}


def differences(counted: dict[str, int], written: dict[str, str]) -> list[str]:
    found = []
    for name, number in counted.items():
        expected = int(written.get(name, "-1").replace(",", ""))
        if name not in GROWING and number > expected:
            found.append(f"{name}: counted {number:,}, docs/numbers.md has {written.get(name, 'nothing')}")
    return found


def main(arguments: list[str]) -> int:
    given = [argument for argument in arguments if argument != "--check"]
    root = Path(given[0]).resolve() if given else ROOT
    counted = numbers(root)
    if "--check" not in arguments:
        counted |= unclear_words(root) | last_run(root)
        print("\n".join(f"| {name} | {number:,} |" for name, number in counted.items()))
        return 0
    wrong = differences(counted, documented(root))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
