"""The views of the pages that `_things` declares.

A view shows what its page declares, and runs the declared operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.html import strip_tags
from django.utils.safestring import mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.errors import Malformed, TooMany, Unacceptable, WrongState
from requests_app.doors.web._step_up import is_fresh, to_step_up
from requests_app.doors.web._things import Button, Done, Link, Page, Paragraphs, Secret, Table, Visit, Words
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries import tenant as tenants


def addresses(*pages: Page) -> list[URLPattern]:
    return [path(page.path, view_of(page), name=page.name) for page in pages]


def view_of(page: Page) -> Callable[..., HttpResponse]:
    takes_forms = page.action is not None or bool(page.all_buttons)

    @login_required
    @sensitive_post_parameters()
    @require_http_methods(["GET", "HEAD", *(["POST"] if takes_forms else [])])
    def view(request: HttpRequest, **ids: Any) -> HttpResponse:
        visit = _visit(page, request, ids)
        if request.method != "POST":
            return _opened(page, visit)
        sent = [button for button in page.all_buttons if button.field in request.POST]
        return _pressed(visit, sent) if sent else _sent(page, visit)

    return view


def _visit(page: Page, request: HttpRequest, ids: dict[str, Any]) -> Visit:
    """Return the visit, with the tenant and the row that the page is about.

    The operations check what the person can do with the row, and log each refusal.
    """
    visit = Visit(request=request, actor=actor_in(request), at=instant(request))
    if "tenant" in ids:
        is_shown = page.is_for_administrators and request.method != "POST"
        find = tenants.administered if is_shown else tenants.tenant
        visit.of_tenant = find(ids["tenant"], actor=visit.actor)
    if page.find is not None:
        visit.thing = page.find(visit, ids)
    return visit


def _opened(page: Page, visit: Visit) -> HttpResponse:
    if page.proof_first and not is_fresh(visit.request, at=visit.at):
        return to_step_up(visit.request)
    action = page.action
    return _show(page, visit, action.form(visit, None) if action and action.offered(visit) else None)


def _pressed(visit: Visit, sent: list[Button]) -> HttpResponse:
    form = sent[0].form(visit.request.POST)
    form.require_known()
    form.require_valid()
    value = form.cleaned_data[sent[0].field]
    button = next(button for button in sent if button.value in ("", value))
    if button.find is not None:
        visit.thing = button.find(visit, value)
    messages.success(visit.request, _outcome(visit, button.done, button.run(visit)))
    return redirect(visit.request.path)


def _sent(page: Page, visit: Visit) -> HttpResponse:
    action = page.action
    if action is None:
        raise Malformed
    form, status = action.form(visit, visit.request.POST), Unacceptable.status
    form.require_known()
    if form.is_valid():
        try:
            result = action.run(visit, form.cleaned_data)
        except (Unacceptable, TooMany, WrongState) as refusal:
            form.refuse(refusal)
            status = refusal.status
        else:
            if action.secret is not None:
                return _shown_once(visit, action.secret(visit, result))
            messages.success(visit.request, _outcome(visit, action.done, result))
            return redirect(action.then(visit) if action.then else visit.request.path)
    elif action.act is not None:
        row = visit.thing or visit.tenant
        operations.require_may(action.act, row.pk, is_offered=action.offered(visit), actor=visit.actor)
    if page.is_for_administrators:
        tenants.administered(visit.tenant.pk, actor=visit.actor)
    return _show(page, visit, form, status=status)


def _outcome(visit: Visit, done: Done, result: Any) -> str:
    return done(visit, result) if callable(done) else visit.says(done)


# --- What is shown -----------------------------------------------------------------------------------------


def _show(page: Page, visit: Visit, form: StrictForm | None, *, status: int = 200) -> HttpResponse:
    action = page.action
    context = {
        **_of_every_page(visit, heading=page.heading, title=page.title, back=page.back),
        "page": page,
        "thing": visit.thing,
        "lead": _paragraphs(visit, page.lead),
        "facts": [fact for fact in page.facts if fact.is_shown(visit, visit.thing)],
        "table": _table(visit, page.table),
        "links": [_link(visit, link) for link in page.links],
        "buttons": [button for button in page.buttons if button.offered(visit, visit.thing)],
        "also": _table(visit, page.also),
        **page.more(visit),
    }
    if action is not None and form is not None:
        context["form"] = form
        context["action"] = {
            "label": visit.says(action.label),
            "lead": _paragraphs(visit, action.lead),
            "consequences": _paragraphs(visit, action.consequences),
            "missing": action.missing(form),
            "cancel_url": page.back.to(visit) if page.back and action.cancel else "",
            "declared": action,
        }
    return render(visit.request, page.template, context, status=status)


def _shown_once(visit: Visit, made: Secret) -> HttpResponse:
    """Show the secret in the answer to the act itself, because no later page shows it."""
    context = {
        **_of_every_page(visit, heading=made.heading, title=made.title, back=made.back),
        "made": made,
        "thing": visit.thing,
        "secret": made.value,
        "warning": visit.says(made.warning),
        "text": visit.says(made.text),
    }
    response = render(visit.request, "things/secret.html", context)
    return secret_answer(response)


def _of_every_page(visit: Visit, *, heading: Words, title: Words, back: Link | None) -> dict[str, Any]:
    return {
        **(about(visit.actor, visit.of_tenant) if visit.of_tenant else {}),
        "now": visit.at,
        "heading": visit.says(heading),
        "title": mark_safe(strip_tags(visit.says(title or heading))),  # noqa: S308 - escaped text without its tags
        "back": _link(visit, back) if back else None,
    }


def _paragraphs(visit: Visit, words: Paragraphs) -> list[str]:
    each = words if isinstance(words, tuple) else (words,)
    return [text for text in map(visit.says, each) if text]


def _link(visit: Visit, link: Link) -> dict[str, str]:
    return {"url": link.to(visit), "label": visit.says(link.label), "style": link.style}


def _table(visit: Visit, table: Table | None) -> dict[str, Any] | None:
    """Return what the template needs to show a table, or None without a table. A row can have a button or a link."""
    if table is None:
        return None
    lines = [(row, _beside(visit, table, row)) for row in table.rows(visit)]
    beside = table.link or table.button
    return {
        "declared": table,
        "lines": lines,
        "hint": visit.says(table.hint),
        "beside": beside.column if beside and any(each for _row, each in lines) else "",
    }


def _beside(visit: Visit, table: Table, row: Any) -> dict[str, Any] | None:
    if table.link is not None:
        return {"url": table.link.to(row), "label": table.link.label, "describes": row}
    button = table.button
    if button is None or not button.offered(visit, row):
        return None
    return {"label": button.label, "name": button.field, "value": row.pk, "describes": button.describes(row)}
