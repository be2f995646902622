"""`bin/_measure.py --check` finds a number that has become larger, and modules that import each other."""

from __future__ import annotations

import importlib
from types import ModuleType

import grimp
import pytest

from tests.sources import ROOT


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bin"))
    return importlib.import_module("_measure")


def test_a_number_that_has_become_larger_or_that_is_not_documented_is_found(measure: ModuleType) -> None:
    written = measure.documented(ROOT)
    fits = {name: int(now.replace(",", "")) for name, now in written.items() if name.startswith("Statements of")}
    assert len(fits) == 3
    assert measure.differences(fits, written) == []
    assert measure.differences({name: number - 1 for name, number in fits.items()}, written) == []
    assert len(measure.differences({name: number + 1 for name, number in fits.items()}, written)) == 3
    assert measure.differences({"Lines of docs": 10**9}, written) == []
    assert measure.differences({"Doors": 1}, written) == ["Doors: counted 1, docs/numbers.md has nothing"]


def test_modules_that_import_each_other_are_counted(measure: ModuleType) -> None:
    graph = grimp.ImportGraph()
    for importer, imported in ("ab", "bc", "ca", "cd", "ea"):
        graph.add_import(importer=importer, imported=imported)
    assert measure.in_circles(graph) == 3
