"""The project's rules for its source code. For each rule, another test shows that its check finds an offence."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import Contract

from tests.sources import PACKAGES, ROOT, modules, name_of, nodes_in, nodes_of, tree_of

KERNEL = "requests_app/operations/_change.py"
CLOCK = "requests_app/domain/clock.py"
RECORDER = "audit_app/recorder.py"
#: These files set the state of an outbox row, which is not a state of an access request.
OUTBOX = {
    "requests_app/operations/log.py",
    "requests_app/work/outbox.py",
    "requests_app/messages/together.py",
    "requests_app/messages/handlers.py",
    "requests_app/operations/webhooks.py",
    "requests_app/operations/_receivers.py",
    "requests_app/work/webhooks/delivery.py",
}

#: A rule takes every node of a piece of code, and returns the numbers of the lines that break it.
Nodes = Sequence[ast.AST]
Rule = Callable[[Nodes], list[int]]


def state_assignments(nodes: Nodes) -> list[int]:
    """Return the lines that set `.state`: by assignment, with setattr, or with a queryset's update()."""
    lines = []
    for node in nodes:
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


def clock_readings(nodes: Nodes) -> list[int]:
    """Return the lines that read the time: datetime.now, timezone.now, time.time, auto_now, Now()."""
    lines = []
    for node in nodes:
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


def entry_writings(nodes: Nodes) -> list[int]:
    """Return the lines that create or write audit entries."""
    lines = []
    for node in nodes:
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


def offhand_states(nodes: Nodes) -> list[int]:
    """Return the lines that set `.state` to something other than the target of a transition."""
    lines = []
    for node in nodes:
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


def host_readings(nodes: Nodes) -> list[int]:
    """Return the lines that build a URL from the Host header.

    The caller chooses this header, so code must use addresses.absolute() instead.
    """
    names = ("build_absolute_uri", "get_host", "get_current_site")
    return [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names
    ]


def judgements(nodes: Nodes) -> list[int]:
    """Return the lines that call or import a check which can refuse: `policy.require…`, `standing.require…`."""
    modules_with_checks = ("policy", "standing", "access")
    calls = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith("require")
        and ast.unparse(node.func.value).rpartition(".")[2] in modules_with_checks
    ]
    imports = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").rpartition(".")[2] in modules_with_checks
        and any(each.name.startswith("require") for each in node.names)
    ]
    return calls + imports


def role_checks(nodes: Nodes) -> list[int]:
    """Return the lines that check a role: `require_staff` and `require_role`."""
    return [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("require_staff", "require_role")
    ]


def breaches(rule: Rule, *, allowed: Collection[str] = ()) -> dict[str, list[int]]:
    """Return, by file, the lines of the product that break a rule. Files in `allowed` are left out."""
    found = {name_of(path): rule(nodes_of(path)) for path in modules(with_migrations=False)}
    assert found.keys() >= {*allowed}, "an exception names a file that is not there"
    return {name: lines for name, lines in found.items() if lines and name not in allowed}


def test_no_page_judges() -> None:
    """A page only shows what a query returns, and the refusal that an operation raises (ADR 85)."""
    judging = breaches(judgements)
    assert {name for name in judging if name.startswith("requests_app/doors/web/")} == set()


def test_the_rule_finds_a_page_that_judges() -> None:
    judging = "policy.require_role(actor, ROLES, tenant_id=row.pk)\nstanding.require_move(row, edge, at=at)"
    assert judgements(list(ast.walk(ast.parse(judging)))) == [1, 2]
    assert judgements(list(ast.walk(ast.parse("from requests_app.domain.policy import require_role as may")))) == [1]
    assert judgements(list(ast.walk(ast.parse("readers.require_staff(actor)")))) == []


#: Operations that check a role themselves, with the reason why the kernel can't do it.
ASK_FOR_A_ROLE = {
    "_announced.propose": "An administrator does some of these acts, and a proposal of the staff is written for staff.",
    "_invitations.require_sender": "It is also asked about the sender, when somebody accepts the invitation.",
    "access_requests.submit": "The act has an order of its own: its row is made of what the engineer asks for.",
    "checks.ask_for_check": "This is no act: it has no declaration and no entry.",
    "imports.check_import": "This is no act: it has no declaration and no entry, and it changes nothing.",
    "invitations._may_manage": "After the declaration: only some of its roles may manage this invitation.",
}


def test_the_kernel_asks_for_the_role_and_no_act_does() -> None:
    """The kernel checks the role once it knows the row, so that it can write a refusal into the log.

    A check in an act could also differ from the act's declaration (ADR 83).
    """
    found = {
        f"{path.stem}.{function.name}"
        for path in modules()
        if path.parent == ROOT / "requests_app" / "operations"
        for function in tree_of(path).body
        if isinstance(function, ast.FunctionDef) and role_checks(list(ast.walk(function)))
    }
    assert found == ASK_FOR_A_ROLE.keys()


def test_no_address_comes_from_the_host_header() -> None:
    # The fast path only asks Django whether the host is one of this site, as its middleware does.
    assert breaches(host_readings, allowed={"lockbox_site/serving/as_django.py"}) == {}


def test_only_the_kernel_assigns_a_state() -> None:
    assert breaches(state_assignments, allowed={KERNEL, *OUTBOX}) == {}


def test_the_kernel_assigns_no_state_but_an_edges_target() -> None:
    """Otherwise a module could make the kernel do a transition that is not in the table."""
    kernel = nodes_of(ROOT / KERNEL)
    assert len(state_assignments(kernel)) == 3
    assert offhand_states(kernel) == []


def test_only_the_clock_asks_for_the_time() -> None:
    # The probe of a container runs every few seconds. It only compares two readings of the machine's uptime, and the
    # clock would make it import Django.
    assert breaches(clock_readings, allowed={CLOCK, "lockbox_site/probing.py"}) == {}


def test_only_the_recorder_writes_entries() -> None:
    assert breaches(entry_writings, allowed={RECORDER}) == {}


def named_programs(nodes: Nodes) -> list[int]:
    """Return the lines with a text for people that names a command of manage.py (see platform/program.py)."""
    lines = []
    for node in nodes:
        calls = ("_", "gettext", "gettext_lazy", "ngettext", "CommandError")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
            texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            lines += [node.lineno for text in texts if isinstance(text, str) and "manage.py" in text]
    return lines


def test_a_message_names_the_program_that_was_called() -> None:
    assert breaches(named_programs) == {}


#: Code that breaks a rule, with the rule.
BROKEN: list[tuple[Rule, str]] = [
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
    (role_checks, "policy.require_staff(current.actor)"),
    (role_checks, "def find(current, row_id):\n    require_role(current.actor, ROLES, tenant_id=row_id)"),
    (host_readings, "request.build_absolute_uri('/')"),
    (host_readings, "self.request.get_host()"),
    (entry_writings, "AuditEntry.objects.create(seq=1)"),
    (entry_writings, "models.AuditEntry(seq=1)"),
    (entry_writings, "AuditEntry.objects.bulk_create([])"),
    (named_programs, "_('Run: manage.py migrate')"),
]


def test_each_rule_finds_what_breaks_it() -> None:
    assert [(rule.__name__, code) for rule, code in BROKEN if not rule(nodes_in(code))] == []


# --- Import contracts ----------------------------------------------------------------------------------------
#
# `bin/test static` checks the product (lint-imports). These tests prove that a wrong import breaks a contract.

KINDS: dict[str, type[Contract]] = {
    each.type_name: each for each in (LayersContract, ForbiddenContract, IndependenceContract)
}


def contracts() -> Iterator[Contract]:
    """Yield the import contracts in pyproject.toml."""
    found: dict[str, Any] = read_configuration(str(ROOT / "pyproject.toml"))
    for options in found["contracts_options"]:
        yield KINDS[options["type"]](options["name"], found["session_options"], options)


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def broken_contracts(*imports: tuple[str, str], more: str = "") -> list[str]:
    """Return the names of the import contracts that a product would break if it had exactly the imports in `imports`.

    `more` is the name of a module to add to the product's modules.
    """
    graph = grimp.ImportGraph()
    for path in modules():
        graph.add_module(module_of(name_of(path)))
    if more:
        graph.add_module(more)
    for importer, imported in imports:
        if imported.partition(".")[0] not in PACKAGES:
            graph.add_module(imported, is_squashed=True)
        graph.add_import(importer=importer, imported=imported)
    return [contract.name for contract in contracts() if not contract.check(graph, verbose=False).kept]


SITE = "The site stands above the product, and the product above its log"
ROOMS = "Imports point down from room to room, and every module has a room"
FOREIGN = "The domain never sees the API framework, the sign-in library or htmx"
#: A wrong import, and the contract that it breaks.
WRONG = [
    ("requests_app.operations.grants", "requests_app.doors.web.home", ROOMS),
    ("requests_app.operations.grants", "requests_app.operations.tickets", "Operations never call operations"),
    ("requests_app.doors.web.home", "requests_app.tasks", ROOMS),
    ("requests_app.domain.lifecycle", "requests_app.models", ROOMS),
    ("requests_app.models.tenants", "requests_app.operations", ROOMS),
    ("requests_app.domain.policy", "requests_app.platform.outbound", ROOMS),
    ("requests_app.words.times", "requests_app.queries.home", ROOMS),
    ("requests_app.doors.api.mutes", "requests_app.doors.web.mutes", "Doors know nothing of each other"),
    ("audit_app.recorder", "requests_app.domain.clock", "The witness knows nothing of what it watches"),
    ("audit_app.recorder", "requests_app.domain.clock", SITE),
    ("audit_app.recorder", "lockbox_site.logs", SITE),
    ("requests_app.domain.clock", "lockbox_site.logs", SITE),
    ("requests_app.operations.content", "rest_framework", FOREIGN),
]


def test_without_an_import_no_contract_is_broken() -> None:
    assert len([*contracts()]) == 6
    assert broken_contracts() == []


@pytest.mark.parametrize(("importer", "imported", "contract"), WRONG)
def test_one_wrong_import_breaks_a_contract(importer: str, imported: str, contract: str) -> None:
    assert contract in broken_contracts((importer, imported))


def test_a_module_without_a_room_breaks_a_contract() -> None:
    assert broken_contracts(more="requests_app.domain.anything") == []
    assert broken_contracts(more="requests_app.anything") == [ROOMS]


#: The parts of requests_app from top to bottom. They are named here again, because a contract must not check itself.
#: Parts in one line must not import each other.
FLOORS = (
    "apps",
    "management",
    "doors tasks",
    "templatetags",
    "work",
    "operations",
    "messages",
    "queries",
    "words",
    "identity content",
    "models",
    "migrations",
    "platform",
    "domain",
)


def broken(name: str, imports: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return what a contract reports about a product that has exactly these imports."""
    graph = grimp.ImportGraph()
    for path in modules():
        graph.add_module(module_of(name_of(path)))
    for importer, imported in imports:
        graph.add_module(imported, is_squashed=imported.partition(".")[0] not in PACKAGES)
        graph.add_import(importer=importer, imported=imported)
    [contract] = [each for each in contracts() if each.name == name]
    return dict(contract.check(graph, verbose=False).metadata)


def test_every_import_that_does_not_point_down_breaks_the_contract() -> None:
    upwards = {
        (f"requests_app.{lower}", f"requests_app.{upper}")
        for number, floor in enumerate(FLOORS)
        for lower in floor.split()
        for upper in " ".join(FLOORS[: number + 1]).split()
        if upper != lower
    }
    found = broken(ROOMS, upwards)["invalid_dependencies"]
    assert {(each["importer"], each["imported"]) for each in found} == upwards


def test_no_room_below_the_doors_may_import_a_framework() -> None:
    rooms = ["domain", "platform", "models", "content", "queries", "words", "messages", "operations"]
    frameworks = ["rest_framework", "drf_spectacular", "django_filters", "authlib", "allauth", "django_htmx"]
    wrong = {(f"requests_app.{room}", framework) for room in rooms for framework in frameworks}
    found = broken(FOREIGN, wrong)["invalid_chains"]
    assert {(each["downstream_module"], each["upstream_module"]) for each in found} == wrong


def test_operations_may_import_only_the_parts_that_they_share() -> None:
    """The exceptions of the contract name modules that are no operations. The names of these begin with "_"."""
    [contract] = [each for each in contracts() if each.name == "Operations never call operations"]
    allowed = [line.partition(" -> ") for line in contract.contract_options["ignore_imports"]]
    shared = "requests_app.operations._"
    assert {(importer, imported) for importer, _to, imported in allowed if not imported.startswith(shared)} == {
        ("requests_app.operations.content", "requests_app.operations.streams")
    }
