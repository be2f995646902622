"""House rules that a linter does not know, each with a proof that it bites."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = "requests_app/operations/_change.py"
CLOCK = "requests_app/clock.py"
RECORDER = "audit_app/recorder.py"
#: The outbox's own rows have a state, too, which is no state of the table.
OUTBOX = {
    "requests_app/operations/log.py",
    "requests_app/outbox/delivery.py",
    "requests_app/outbox/together.py",
    "requests_app/outbox/handlers.py",
    "requests_app/operations/webhooks.py",
    "requests_app/webhooks/delivery.py",
}


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("requests_app", "audit_app", "lockbox_site"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def state_assignments(tree: ast.Module) -> list[int]:
    """Lines that set `.state`, by assignment, setattr, or a queryset's update()."""
    lines = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else targets
        flat = [leaf for target in targets for leaf in ast.walk(target)]
        if any(isinstance(leaf, ast.Attribute) and leaf.attr == "state" for leaf in flat):
            lines.append(line)
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "update" and any(keyword.arg == "state" for keyword in node.keywords):
                lines.append(node.lineno)
            if name == "setattr" and any(isinstance(arg, ast.Constant) and arg.value == "state" for arg in node.args):
                lines.append(node.lineno)
    return lines


def clock_readings(tree: ast.Module) -> list[int]:
    """Lines that ask for the time: datetime.now, timezone.now, time.time, auto_now, Now()."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            asks = name.endswith(("datetime.now", "datetime.utcnow", "timezone.now", "date.today", "datetime.today"))
            if asks or name in (
                "time.time",
                "time.monotonic",
                "Now",
                "localtime",
                "localdate",
                "timezone.localdate",
            ):
                lines.append(node.lineno)
        if isinstance(node, ast.keyword) and node.arg in ("auto_now", "auto_now_add"):
            lines.append(node.value.lineno)
    return lines


def entry_writings(tree: ast.Module) -> list[int]:
    """Lines that make or write audit entries."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            writes = name.rpartition(".")[2] in {
                "create",
                "bulk_create",
                "get_or_create",
                "update_or_create",
                "update",
            }
            if name.endswith("AuditEntry") or ("AuditEntry.objects" in name and writes):
                lines.append(node.lineno)
    return lines


def offhand_states(tree: ast.Module) -> list[int]:
    """Lines that set `.state` to something else than the target of an edge of the table."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            named = any(isinstance(target, ast.Attribute) and target.attr == "state" for target in node.targets)
            values = [node.value] if named else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".update"):
            values = [keyword.value for keyword in node.keywords if keyword.arg == "state"]
        else:
            values = []
        if not all("edge.target" in ast.unparse(value) for value in values):
            lines.append(getattr(node, "lineno", 0))
    return lines


def host_readings(tree: ast.Module) -> list[int]:
    """Lines that make an address from the Host header, which the caller writes; addresses.absolute() is for that."""
    names = ("build_absolute_uri", "get_host", "get_current_site")
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names
    ]


def test_no_address_comes_from_the_host_header() -> None:
    assert [f"{path}:{line}" for path, tree in _sources() for line in host_readings(tree)] == []


def test_only_the_kernel_assigns_a_state() -> None:
    broken = [
        f"{path}:{line}"
        for path, tree in _sources()
        if path not in {KERNEL, *OUTBOX}
        for line in state_assignments(tree)
    ]
    assert broken == []


def test_the_kernel_assigns_no_state_but_an_edges_target() -> None:
    """So it offers no move past the table to whoever imports it."""
    kernel = ast.parse((ROOT / KERNEL).read_text())
    assert len(state_assignments(kernel)) == 4
    assert offhand_states(kernel) == []


def test_only_the_clock_asks_for_the_time() -> None:
    broken = [f"{path}:{line}" for path, tree in _sources() if path != CLOCK for line in clock_readings(tree)]
    assert broken == []


def test_only_the_recorder_writes_entries() -> None:
    broken = [f"{path}:{line}" for path, tree in _sources() if path != RECORDER for line in entry_writings(tree)]
    assert broken == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (state_assignments, "row.state = 'OPEN'"),
        (state_assignments, "a, row.state = 1, 2"),
        (state_assignments, "rows.update(state='OPEN')"),
        (state_assignments, "setattr(row, 'state', 'OPEN')"),
        (offhand_states, "def move_ticket(row, target):\n    row.state = target"),
        (offhand_states, "rows.update(state=State.OPEN)"),
        (clock_readings, "from datetime import datetime\ndatetime.now()"),
        (clock_readings, "timezone.now()"),
        (clock_readings, "time.time()"),
        (clock_readings, "models.DateTimeField(auto_now=True)"),
        (host_readings, "request.build_absolute_uri('/')"),
        (host_readings, "self.request.get_host()"),
        (entry_writings, "AuditEntry.objects.create(seq=1)"),
        (entry_writings, "models.AuditEntry(seq=1)"),
        (entry_writings, "AuditEntry.objects.bulk_create([])"),
    ],
)
def test_the_rules_bite(rule, code: str) -> None:
    assert rule(ast.parse(code))


LINT = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]


def test_the_import_contracts_hold() -> None:
    good = subprocess.run(LINT, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert good.returncode == 0, good.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("requests_app/operations/grants.py", "import requests_app.web.home"),
        ("requests_app/operations/grants.py", "import requests_app.operations.tickets"),
        ("requests_app/web/home.py", "import requests_app.tasks"),
        ("requests_app/lifecycle.py", "import requests_app.models"),
        ("requests_app/models/tenants.py", "import requests_app.operations"),
        ("audit_app/recorder.py", "import requests_app.clock"),
        ("requests_app/operations/content.py", "import rest_framework"),
    ],
)
def test_the_import_contracts_bite(tmp_path: Path, path: str, line: str) -> None:
    """One wrong import in a copy of the tree breaks a contract."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("requests_app", "audit_app", "lockbox_site"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / path).open("a") as file:
        file.write(f"\n{line}\n")
    broken = subprocess.run(LINT, cwd=tmp_path, capture_output=True, text=True, timeout=150)
    assert broken.returncode == 1, broken.stdout[-3000:]
    assert "BROKEN" in broken.stdout
