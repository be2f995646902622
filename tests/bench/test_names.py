"""Each module of the bench finds in the others what it uses of them. No checker of types reads these modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def unknown_names(source: str) -> Iterator[str]:
    """Yield the names that this text of a module uses of modules of the bench that do not have them."""
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "bench"]
    modules = {name.asname or name.name: name.name for node in imports for name in node.names}
    for node in nodes:
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id not in modules:
            continue
        if not hasattr(import_module(f"bench.{modules[node.value.id]}"), node.attr):
            yield f"{modules[node.value.id]}.{node.attr}"


def test_no_module_of_the_bench_uses_a_name_that_another_one_does_not_have() -> None:
    found = {path.name: sorted(unknown_names(path.read_text())) for path in sorted(BENCH.glob("*.py"))}
    assert {name: unknown for name, unknown in found.items() if unknown} == {}


def test_a_name_that_is_gone_is_found() -> None:
    source = "def make():\n    from bench import grants as rows\n    return rows.ensure, rows.not_there\n"
    assert list(unknown_names(source)) == ["grants.not_there"]
