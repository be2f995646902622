"""The OpenAPI document describes exactly the routes of the API, and what it says is true."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client as Browser
from django.utils import translation
from drf_spectacular.settings import spectacular_settings

from lockbox_site import pseudolocale
from requests_app.domain.acts import ACTS
from requests_app.domain.scopes import Scope
from requests_app.doors.api import generator, plain, reader, schema
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.scim import views as scim
from requests_app.operations._announced import ANNOUNCED
from requests_app.operations._second import CONTROLLED
from tests.api.routes import OPEN, kind_of, resolved
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.guards import guard
from tests.isolation.world import routes

#: Routes that are not in the document: the document itself, errors, and routes that other standards describe.
OUTSIDE = {"openapi", "reader", "token", "metadata", "nothing", "azure_nothing", "authzen", "ssf", "jwks"}
OUTSIDE |= {"access_task_schema"}
OUTSIDE |= {route.name for route in scim.urlpatterns}
#: Only proxies call these, and no program has to know them: docs/web-tools.md.
OUTSIDE |= {"gate_original", "gate_forwarded", "gate_open", "gate_code", "gate_status", "gate_done"}
#: Operations that do an act under another name.
ALSO_DO = {"release_with_token": "release"}
_IN_PATH = re.compile(r"<(?:\w+:)?(\w+)>")

document = reader.document()


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _routes() -> Iterator[tuple[str, str, Any]]:
    """Yield (path, name, view class) for every route of the API."""
    for route in routes():
        if route.namespace == "api":
            # The generator names the key of a row as callers see it: id.
            address = _IN_PATH.sub(r"{\1}", route.path).replace("{pk}", "{id}")
            yield f"/{address}", route.name, route.entry.callback


def test_strangers_have_the_document_and_its_page_made_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are public and long. If each call made them again, strangers could occupy all threads."""
    browser = Browser()
    first = browser.get("/api/v1/openapi.json")
    assert browser.get("/api/").status_code == 200
    for part in ("document", "groups", "codes", "render_to_string"):
        monkeypatch.setattr(reader, part, lambda *_: pytest.fail("made anew"))
    again = browser.get("/api/v1/openapi.json")
    assert (again["Content-Type"], again.content is first.content) == ("application/json", True)
    assert browser.get("/api/").status_code == 200


def test_a_second_reader_waits_until_all_routes_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise, the document that is made for the second one, and stored, could lack a description."""
    begun, goes_on, done = threading.Event(), threading.Event(), list[str]()

    def described() -> None:
        begun.set()
        assert goes_on.wait(30)
        done.append("described")

    def second() -> None:
        schema.describe()
        done.append("second reader")

    monkeypatch.setattr(schema, "_waiting", [described])
    threads = [threading.Thread(target=schema.describe), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    # Without the wait, the second one ends here.
    threads[1].join(0.2)
    goes_on.set()
    for thread in threads:
        thread.join(30)
    assert done == ["described", "second reader"]


def test_the_page_of_the_document_is_made_once_for_each_language() -> None:
    """The language of the first reader is not that of all others."""
    pseudolocale.install()
    found = []
    for language in ("en", pseudolocale.LANGUAGE, "en"):
        with translation.override(language):
            found.append(reader.described(language))
    assert [">Routes</h2>" in page for page in found] == [True, False, True]
    assert found[0] is found[2]


def test_the_library_checks_the_document_that_we_make() -> None:
    """`manage.py check --deploy` does this, in a process that has not described the routes yet."""
    assert spectacular_settings.DEFAULT_GENERATOR_CLASS is generator.Generator


def test_every_route_is_in_the_document_and_every_path_is_a_route() -> None:
    routes = {address for address, name, _view in _routes() if name not in OUTSIDE}
    assert routes == set(document["paths"])


def test_every_enum_that_the_settings_name_is_in_the_document() -> None:
    """A name in the settings has no effect if no field has its values. The client's type then gets another name."""
    names: Any = settings.SPECTACULAR_SETTINGS["ENUM_NAME_OVERRIDES"]
    assert names.keys() - document["components"]["schemas"].keys() == set()


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
    # These never need a second person. Their operations do more than the routes.
    never = {view.__name__ for view in views if view.is_never_proposed}
    assert never == {"EnableLockbox", "Plans", "SwitchOffProviderPerson"}
    held = {act.name for act in ACTS.values() if {each.name for each in act.proposes} & {*CONTROLLED, *ANNOUNCED}}
    controlled = {view for view in views if _called_by(view) & held and view.__name__ not in never}
    assert controlled
    assert {view for view in views if view.may_be_proposed()} == controlled


def test_a_route_needs_the_scopes_of_the_acts_that_it_does() -> None:
    """Decisions, files and SCIM name their scopes themselves, because several methods or acts share them."""
    views = {view.cls for _path, _name, view in _routes() if hasattr(view, "cls") and issubclass(view.cls, ApiView)}
    with_more = {view: {act.name for acts in view.acts_with_more.values() for act in acts} for view in views}
    # These two do another act for a client with `requests:submit`, which the operation requires.
    assert {view.__name__: with_more[view] for view in views if with_more[view]} == {
        "AccessTasks": {"submit"},
        "CancelAccessTask": {"withdraw"},
    }
    assert [view for view in views if not with_more[view] <= _called_by(view)] == []
    called = {view: (_called_by(view) & ACTS.keys()) - with_more[view] for view in views}
    named = {view: {act.name for acts in view.acts.values() for act in acts} for view in views}
    assert [view for view in views if view.acts and named[view] != called[view]] == []
    scopes = {view: {view.scope_of(method) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")} for view in views}
    wanted = {
        view: {(view.is_of_provider and ACTS[name].provider_scope) or ACTS[name].scope for name in called[view]}
        for view in views
    }
    assert [view for view in views if not wanted[view] <= scopes[view]] == []
    several = [view for view in views if any(len({act.scope for act in acts}) != 1 for acts in view.acts.values())]
    assert several == []
    assert [view for view in views if view.acts.keys() & view.scopes.keys()] == []


def _called_by(view: type[ApiView]) -> set[str]:
    """Return the operations that a view calls in its module. For a generated view, return its act."""
    if view.__module__ == plain.__name__:
        return {act.name for acts in view.acts.values() for act in acts}
    defined_here = [each for each in view.__mro__ if each.__module__ == view.__module__]
    found = re.findall(r"operations\.([a-z_]+)", "".join(inspect.getsource(each) for each in defined_here))
    return {ALSO_DO.get(name, name) for name in found}


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
    """The other bodies have no required member, and their operations accept an empty body."""
    taken_empty = {
        *(f"access_requests_{act}" for act in ("approve", "deny", "release", "revoke", "withdraw")),
        *(f"tickets_{act}" for act in ("assign", "close", "resolve")),
        "grants_token",
        "webhooks_change",
        "signal_streams_create",
        "signal_poll",
        "access_tasks_cancel",
    }
    bodies = {op["operationId"]: op["requestBody"] for _path, _method, op in _operations() if "requestBody" in op}
    assert {name for name, body in bodies.items() if not body.get("required")} == taken_empty
    assert {"evaluation", "evaluations", "tickets_ask", "tenants_change", "clients_change"} <= bodies.keys()


# --- Responses agree with the document -----------------------------------------------------------------------


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
@pytest.mark.usefixtures("nobody_waits")
def test_an_empty_parameter_is_answered_as_the_document_says(cast: Cast, ids_in_paths: dict[str, Any]) -> None:
    callers = [*(Caller(token_of(cast, name)) for name in ("ines", "ada", "stella")), guard(cast)]
    wrong = []
    for path, name, wanted in _queries():
        address = re.sub(
            r"\{(\w+)\}", lambda match, of=path: str(ids_in_paths[kind_of(of) if match[1] == "id" else match[1]]), path
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
