"""The dashboard has the types that Grafana publishes. No package index has a Grafana that runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.test_files import DASHBOARD
from tests.sources import text_of

pytestmark = [pytest.mark.deep, pytest.mark.timeout(300)]

PACKAGES = ("@grafana/schema@13.2.3", "typescript@5.9.3")
RAW = "./node_modules/@grafana/schema/dist/types/raw"
#: JSON has the values of Grafana's enumerations, and not their names. `Target` is a query of its Prometheus.
TYPES = f"""
import type {{ Dashboard, Panel, RowPanel }} from "{RAW}/dashboard/x/types.gen";
import type {{ Options as Stat }} from "{RAW}/composable/stat/panelcfg/x/types.gen";
import type {{ Options as Series, FieldConfig as Drawn }} from "{RAW}/composable/timeseries/panelcfg/x/types.gen";
type Json<T> = T extends string ? `${{T}}` : T extends number | boolean | null | undefined ? T
    : T extends Array<infer U> ? Json<U>[] : T extends object ? {{ [K in keyof T]: Json<T[K]> }} : T;
type Fields = Json<NonNullable<Panel["fieldConfig"]>>;
interface Target {{ refId: string; datasource: {{ type: string; uid: string }}; expr: string; legendFormat?: string }}
type Shown<O, F> = Omit<Json<Panel>, "options" | "targets" | "fieldConfig"> & {{
    options?: Json<Partial<O>>;
    targets: Target[];
    fieldConfig: {{
        defaults: Omit<Fields["defaults"], "custom"> & {{ custom?: Json<F> }};
        overrides: Fields["overrides"];
    }};
}};
"""
OF_PANEL = {"stat": "Shown<Stat, {}>", "timeseries": "Shown<Series, Drawn>", "row": "Json<RowPanel>"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with Grafana's types and the compiler. It needs a package index."""
    made = tmp_path_factory.mktemp("grafana")
    (made / "package.json").write_text("{}")
    words = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    done = subprocess.run(words, cwd=made, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return made


def faults(place: Path, found: dict[str, Any]) -> list[str]:
    """Return what the compiler says about this dashboard."""
    lines = [
        f"export const panel{panel['id']}: {OF_PANEL[panel['type']]} = {json.dumps(panel)};"
        for panel in found["panels"]
    ]
    # Grafana's types leave out the two members that only Prometheus's annotations have.
    notes = [
        {name: value for name, value in note.items() if name not in ("expr", "titleFormat")}
        for note in found["annotations"]["list"]
    ]
    rest = {**found, "panels": [], "annotations": {"list": notes}}
    lines.append(f"export const dashboard: Json<Dashboard> = {json.dumps(rest)};")
    (place / "check.ts").write_text("\n".join([TYPES, *lines]))
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    done = subprocess.run(
        ["node_modules/.bin/tsc", *flags, "check.ts"], cwd=place, capture_output=True, text=True, timeout=200
    )
    return done.stdout.splitlines()


def test_the_dashboard_has_grafanas_types(place: Path) -> None:
    assert faults(place, json.loads(text_of(DASHBOARD))) == []


def test_a_member_that_grafana_does_not_know_is_found(place: Path) -> None:
    found = json.loads(text_of(DASHBOARD))
    panel = next(panel for panel in found["panels"] if panel["type"] == "stat")
    panel["options"]["colorMode"] = "rainbow"
    assert any("rainbow" in line for line in faults(place, found))
    panel["options"]["colorMode"] = "background"
    found["refreshh"] = "5s"
    assert any("refreshh" in line for line in faults(place, found))
