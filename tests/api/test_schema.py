"""The OpenAPI document describes exactly the routes of the API, and its statements are true."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection
from django.test import Client as Browser
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from audit_app import checkpoints
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.doors.api import events, quota, reader
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.scim import views as scim
from requests_app.operations._announced import ANNOUNCED
from requests_app.operations._second import CONTROLLED
from tests.api.routes import OPEN, resolved
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.isolation.world import routes

#: Routes that are not in the document: the document itself, errors, and routes that other standards describe.
OUTSIDE = {"openapi", "reader", "token", "metadata", "nothing", "azure_nothing", "authzen"}
OUTSIDE |= {route.name for route in scim.urlpatterns}
_IN_PATH = re.compile(r"<(?:\w+:)?(\w+)>")

document = reader.document()
# Not lockbox_site.rsgi: importing it starts the thread that watches streams, which would end the streams of other
# tests.
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _routes() -> Iterator[tuple[str, str, Any]]:
    """Yield address, name and view class of every route of the API."""
    for route in routes():
        if route.namespace == "api":
            # The generator names the key of a row as callers see it: id.
            address = _IN_PATH.sub(r"{\1}", route.path).replace("{pk}", "{id}")
            yield f"/{address}", route.name, route.entry.callback


def test_strangers_have_the_document_and_its_page_made_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are public and long. If each call made them again, strangers could use up the threads."""
    browser = Browser()
    first = browser.get("/api/v1/openapi.json")
    assert browser.get("/api/").status_code == 200
    monkeypatch.setattr(reader, "document", lambda: pytest.fail("made anew"))
    again = browser.get("/api/v1/openapi.json")
    assert (again["Content-Type"], again.content is first.content) == ("application/json", True)
    assert browser.get("/api/").status_code == 200


def test_every_route_is_in_the_document_and_every_path_is_a_route() -> None:
    routes = {address for address, name, _view in _routes() if name not in OUTSIDE}
    assert routes == set(document["paths"])


def test_every_method_that_a_route_takes_is_in_the_document() -> None:
    taken = {
        (address, method)
        for address, name, view in _routes()
        if name not in OUTSIDE and hasattr(view, "cls") and issubclass(view.cls, ApiView)
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(view.cls, method)
    }
    assert taken == {(path, method) for path, method, _operation in _operations()}


def test_each_operation_has_a_name_a_summary_and_a_scope_or_none_that_is_needed() -> None:
    names = [operation["operationId"] for _path, _method, operation in _operations()]
    assert len(names) == len(set(names))
    assert [path for path, _method, operation in _operations() if not operation.get("summary")] == []
    without = {operation["operationId"] for _path, _method, operation in _operations() if "x-scope" not in operation}
    assert without == {"me", "azure_operations_list", "step_up"}


def test_every_route_whose_act_may_need_a_second_person_documents_202() -> None:
    views = {view.cls for _path, _name, view in _routes() if hasattr(view, "cls") and issubclass(view.cls, ApiView)}
    # Switching Lockbox on needs no second person. The operation is the same as for switching it off.
    controlled = {
        view for view in views if _called_by(view) & {*CONTROLLED, *ANNOUNCED} and view.__name__ != "EnableLockbox"
    }
    assert controlled
    assert {view for view in views if view.may_be_proposed} == controlled


def _called_by(view: type[ApiView]) -> set[str]:
    """Return the operations that a view calls in its module, or the act from which it was generated."""
    if (declared := getattr(view, "declared", None)) is not None:
        return {declared.name}
    defined_here = [each for each in view.__mro__ if each.__module__ == view.__module__]
    return set(re.findall(r"operations\.([a-z_]+)", "".join(inspect.getsource(each) for each in defined_here)))


def test_a_body_takes_what_it_names_and_nothing_else() -> None:
    shapes = [
        (operation["operationId"], resolved(media["schema"]))
        for _path, _method, operation in _operations()
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if operation["operationId"] not in OPEN
    ]
    assert len(shapes) > 30
    assert [name for name, shape in shapes if shape.get("additionalProperties") is not False] == []


def test_every_group_of_the_page_has_a_heading() -> None:
    assert {tag for _path, _method, operation in _operations() for tag in operation["tags"]} <= reader.GROUPS.keys()


@pytest.mark.django_db
def test_the_page_for_people_shows_every_operation_and_every_code(client: Browser) -> None:
    page = client.get("/api/").content.decode()
    wanted = [f'id="{operation["operationId"]}"' for _path, _method, operation in _operations()]
    wanted += [f'id="problem-{each.anchor}"' for each in reader.codes()]
    wanted += [f">{scope}<" for scope in Scope]
    assert [each for each in wanted if each not in page] == []
    assert "sent_already" not in page, "that is the answer to a form"
    assert {"busy", "streams_full", "request_timeout"} <= {each.code for each in reader.codes()}


def test_a_body_that_is_refused_when_empty_is_required() -> None:
    """All other bodies have no required member, and the operations accept an empty body."""
    taken_empty = {
        *(f"access_requests_{act}" for act in ("approve", "deny", "release", "revoke", "withdraw")),
        *(f"tickets_{act}" for act in ("assign", "close", "resolve")),
        "webhooks_change",
    }
    bodies = {op["operationId"]: op["requestBody"] for _path, _method, op in _operations() if "requestBody" in op}
    assert {name for name, body in bodies.items() if not body.get("required")} == taken_empty
    assert {"evaluation", "evaluations", "tickets_ask", "tenants_change", "clients_change"} <= bodies.keys()


# --- Responses agree with the document -----------------------------------------------------------------------


#: Rules that the document can't express: an operation can refuse a well-formed call, and 428 is about a header.
_OUT = [checks.positive_data_acceptance, checks.missing_required_header]


@pytest.fixture
def _connections_stay_open() -> Iterator[None]:
    """Keep connections open. A WSGI call would close them, and one of them contains the test's database."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "pause", lambda seconds: None)


@pytest.fixture
def world(cast: Cast, _connections_stay_open: None) -> dict[str, Any]:
    """Return the id of a row of Contoso for everything that a path can contain."""
    pending, grant = cast.confirmed(), cast.opened()
    client = operations.create_client(
        tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines")
    ).row
    hook = operations.add_webhook(
        cast.contoso.pk, url="https://hooks.example/in", events=["*"], actor=cast.as_("ines")
    ).webhook
    message = operations.send_webhook_test(hook.pk, actor=cast.as_("ines"))
    address = operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))
    checkpoint = checkpoints.sign(cast.contoso.pk, at=clock.now())
    assert checkpoint is not None
    return {
        "old": 1,
        "new": checkpoint.size,
        "webhooks": hook.pk,
        "message": message.pk,
        "tenant": cast.contoso.pk,
        "subscription": cast.contoso.pk,
        "requests": pending.pk,
        "access-requests": pending.pk,
        "clients": client.pk,
        "tickets": pending.ticket_id,
        "comment": operations.comment(pending.ticket_id, body="Still so.", actor=cast.as_("mia")).pk,
        "grants": grant.pk,
        "seq": 1,
        "person": cast.mia.pk,
        "address": address.pk,
        "resource": cast.resource().pk,
        "services": cast.exchange.pk,
    }


def _kind(path: str) -> str:
    """Return the kind of row in the path: for `/api/v1/access-requests/{id}/deny`, access requests."""
    found = re.search(r"/([a-z-]+)/\{id\}", path)
    return found[1] if found else ""


@pytest.mark.deep
@pytest.mark.timeout(300)
@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    # Only PostgreSQL has bounds for numbers. So only there the bounds of all parameters are tried, about 70 calls for
    # each operation.
    phases=[*([Phase.explicit] if connection.vendor == "postgresql" else []), Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.django_db
def test_no_call_is_answered_otherwise_than_the_document_says(
    case: Any, cast: Cast, world: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    callers = request.node.__dict__.setdefault("_callers", {})
    turn = callers["turn"] = callers.get("turn", 0) + 1
    name = ("ada", "priya", "ines", "stella")[turn % 4]
    if name not in callers:
        callers[name] = token_of(cast, name)
    out = list(_OUT)
    if turn % 3:
        out.append(checks.negative_data_rejection)  # the test may have replaced the invalid id
        # A random id finds no row. So two of three calls use the id of a row that exists.
        for parameter in case.path_parameters or {}:
            known = world.get(_kind(case.path) if parameter == "id" else parameter)
            if known is not None:
                case.path_parameters[parameter] = str(known)
    quota.CALLS.clear()
    case.call_and_validate(headers={"Authorization": f"Bearer {callers[name]}"}, excluded_checks=out)


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.django_db
@pytest.mark.usefixtures("_connections_stay_open")
@pytest.mark.parametrize("name", ["ines", "priya", "stella"])
def test_lives_that_follow_the_links_are_answered_as_the_document_says(cast: Cast, name: str) -> None:
    """Follow the document's links in random order: create, read, change and end rows."""
    secret = token_of(cast, name)

    class Life(schema.as_state_machine()):
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            quota.CALLS.clear()
            return {"headers": {"Authorization": f"Bearer {secret}"}}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            # Every call has the token, even if the library wants to send another one or none.
            case.validate_response(response, excluded_checks=[*_OUT, checks.ignored_auth])

    Life.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )


def _may_be_empty(wanted: dict[str, Any]) -> bool:
    is_text = wanted.get("type") == "string" and wanted.get("format") not in ("uuid", "date-time")
    in_pattern = re.search(wanted.get("pattern", ""), "") is not None
    return is_text and "" in wanted.get("enum", [""]) and not wanted.get("minLength") and in_pattern


def _queries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, method, operation in _operations():
        for parameter in map(resolved, operation.get("parameters", [])):
            if method == "get" and parameter["in"] == "query":
                yield path, parameter["name"], parameter["schema"]


@pytest.mark.django_db
def test_an_empty_parameter_is_answered_as_the_document_says(cast: Cast, world: dict[str, Any]) -> None:
    callers = [Caller(token_of(cast, name)) for name in ("ines", "ada", "stella")]
    wrong = []
    for path, name, wanted in _queries():
        address = re.sub(
            r"\{(\w+)\}", lambda match, of=path: str(world[_kind(of) if match[1] == "id" else match[1]]), path
        )
        version = "" if "api-version" in name or "providers" not in path else "&api-version=2018-02-28-preview"
        answers = []
        for caller in callers:
            answers.append(status := caller.get(f"{address}?{name}={version}").status_code)
            if status not in (401, 403, 404):
                break
        if status not in ((200,) if _may_be_empty(wanted) else (400, 422)):
            wrong.append((path, name, answers))
    assert wrong == []
