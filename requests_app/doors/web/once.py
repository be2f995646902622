"""Makes sure that a form acts once. If the same form is sent again, it gets the first answer and does nothing.

Every form has a one-time token (`templatetags.once`). The act records the token in its own transaction, as it does with
an `Idempotency-Key`. So a double click, a reload, or a retry from the page about a failure (`again`) can't act twice.
If the person goes back in the browser, the form is loaded again with another token.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import structlog
from django.contrib import messages
from django.db import DatabaseError, InterfaceError
from django.db.models import CharField, UUIDField
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor, Once
from requests_app.domain.errors import SentAlready
from requests_app.doors.web._secrets import sentences_in
from requests_app.doors.web.context import began
from requests_app.doors.web.errors import page_about
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.sent import FILES, PREFIX, PROOF, sent_with
from requests_app.models import IdempotencyKey
from requests_app.platform import outcome
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.templatetags.once import FIELD

log = structlog.get_logger(__name__)

#: How long to wait for the first try's answer, which is stored immediately after the act, and how often to check for
#: it.
ANSWER_SECONDS, LOOK_SECONDS = 1.0, 0.05
_RECENT = timedelta(seconds=10)
_SHOWN = 200
#: Our tokens are shorter. A longer text is ignored, so that it is not repeated in the forms of the next page.
_MOST_TOKEN = 100
#: Fields of every form that do not change what the form asks for.
_NOT_CONTENT = frozenset({FIELD, "csrfmiddlewaretoken"})
#: An account has a key only once.
_DONE = CompiledQuery(
    lambda account, key: IdempotencyKey.objects.filter(account=account, key=key, done_at__isnull=False),
    account=UUIDField(),
    key=CharField(),
)


class OnceMiddleware:
    """Removes the token from the form, answers repeated forms, and stores where the first answer led."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        once: Once | None = getattr(request, "once", None)
        if once is None:
            return response
        if once.claim in outcome.current().used:
            if once.leads_to:
                return response
            _keep(once, response)
        elif not 300 <= response.status_code < 400 and (row := _if_done(once)) is not None:
            # The first try was committed meanwhile, so the refusal of this try would be wrong.
            return _answered(request, once, row)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Check whether this form was sent before.

        The CSRF check comes before this, and the check of a proof after it.
        """
        match = request.resolver_match
        if request.method != "POST" or match is None or "api" in match.app_names or FIELD not in request.POST:
            return None
        token = request.POST[FIELD] if len(request.POST[FIELD]) <= _MOST_TOKEN else ""
        rest = request.POST.copy()
        del rest[FIELD]
        request.POST = rest  # type: ignore[assignment]  # a copy that nobody changes
        outcome.current().token = token
        # A person who is not signed in acts with a secret or a password, which works only once.
        if not token or match.view_name in FILES or not request.user.is_authenticated:
            return None
        request.once = once = _once(request, token)  # type: ignore[attr-defined]  # read above
        row = _done(once)
        if row is not None:
            return _answered(request, once, row)
        request.actor = actor_in(request).sending(once)  # type: ignore[attr-defined]  # read by actor_in()
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        once: Once | None = getattr(request, "once", None)
        if not isinstance(exception, SentAlready) or once is None or (row := _done(once)) is None:
            return None
        return _answered(request, once, row)


def _once(request: HttpRequest, token: str) -> Once:
    """Return the claim for this form. The address is a part of its key, because a page can have several forms."""
    # An Idempotency-Key of the API never contains a space, so the keys can't be equal.
    key = f"form {_hashed(token, request.path)}"
    asked = _hashed(*_content(request))
    return Once(claim=uuid4(), account_id=request.user.pk, key=key, asked=asked, sent_at=began(request))


def leading_to(request: HttpRequest, address: str) -> Actor:
    """Return the actor for an act whose answer always redirects to `address`. The address is stored with the act."""
    once: Once | None = getattr(request, "once", None)
    if once is not None:
        request.once = replace(once, leads_to=address)  # type: ignore[attr-defined]  # read above
        request.actor = actor_in(request).sending(request.once)  # type: ignore[attr-defined]  # read by actor_in()
    return actor_in(request)


def _content(request: HttpRequest) -> list[str]:
    """Return the sent values, without the fields that every form has and without the proof."""
    view = request.resolver_match.view_name if request.resolver_match else ""
    left_out = _NOT_CONTENT | PROOF.get(view, frozenset())
    names = sorted(name for name in request.POST if name not in left_out and not name.startswith(f"{PREFIX}-"))
    found = [repr((name, request.POST.getlist(name))) for name in names]
    for name, files in sorted(request.FILES.lists()):
        for file in files:
            found.append(repr((name, file.name, hashlib.file_digest(file, "sha256").hexdigest())))
            file.seek(0)
    return found


def _hashed(*parts: str) -> str:
    # The hash is keyed. A form can contain a password, and with a plain hash anybody could test guesses without limit.
    return salted_hmac("lockbox.once", "\0".join(parts), algorithm="sha256").hexdigest()


def _done(once: Once) -> IdempotencyKey | None:
    return next(iter(_DONE(account=once.account_id, key=once.key)), None)


def _if_done(once: Once) -> IdempotencyKey | None:
    try:
        return _done(once)
    except (DatabaseError, InterfaceError):
        return None


def _keep(once: Once, response: HttpResponseBase) -> None:
    """Store the address to which the answer redirected. A failure here is ignored.

    A page is not stored, because it can show a secret.
    """
    headers = {"Location": response["Location"]} if response.has_header("Location") else {}
    try:
        operations.keep_answer(once.claim, status=response.status_code, headers=headers, body=None)
    except (DatabaseError, InterfaceError) as error:
        log.warning("once.answer_not_kept", error=type(error).__name__)


def _answered(request: HttpRequest, once: Once, row: IdempotencyKey) -> HttpResponse:
    row = _with_answer(once, row)
    # If the answer was a page, the page showed a secret. The page's address now shows the present state.
    about = {"subject_type": row.subject_type, "subject_id": row.subject_id}
    target = row.headers.get("Location") or (request.path if row.status == _SHOWN else page_about(about))
    if row.asked != once.asked:
        message = _("What you sent first from this page was saved. What you sent now was not saved.")
        context = {"code": "page_used", "message": message, "back_url": target, "back_label": _("See what was saved")}
        context["typed"] = sentences_in(sent_with(request))
        return render(request, "409.html", context, status=SentAlready.status)
    if row.claim == once.claim:
        # The database failed during the commit, but has answered since.
        messages.success(request, _("This was saved."))
        return redirect(target)
    message = _("This was saved already. Nothing was done a second time.")
    if row.status == _SHOWN:
        message = f"{message} {_lost(request)}"
    messages.info(request, message)
    return redirect(target)


def _lost(request: HttpRequest) -> str:
    """Return what to do if what a page showed once was not saved."""
    if request.resolver_match is not None and request.resolver_match.url_name == "grant_token":
        return _("A grant token is shown once. If you did not save it, get another grant token.")
    return _(
        "A secret is shown once. If you did not save it, revoke the secret and create a new secret. In place of a "
        "lost link of an invitation, withdraw the invitation and invite the person again."
    )


def _with_answer(once: Once, row: IdempotencyKey) -> IdempotencyKey:
    """Wait a moment for the answer of another try, if that try was committed just now."""
    until = clock.monotonic() + ANSWER_SECONDS
    if row.claim == once.claim or clock.now() - row.begun_at >= _RECENT:
        return row
    while row.status is None and clock.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        row = _done(once) or row
    return row
