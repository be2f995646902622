"""Acts once for each form: the same form, sent again, gets the first answer and does nothing.

Every form carries a token (`templatetags.once`). The act records it in its own transaction, as it does an
`Idempotency-Key`: a double click, a reload or a retry from the page about a failure (`again`) can't act twice. The
browser's "back" loads the form again, with another token.
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
from requests_app.doors.web.stepping import PREFIX, sent_with
from requests_app.models import IdempotencyKey
from requests_app.platform import outcome
from requests_app.templatetags.once import FIELD

log = structlog.get_logger(__name__)

#: The answer of the first try is waited for so long: it is written down right after the act.
ANSWER_SECONDS, LOOK_SECONDS = 1.0, 0.05
_RECENT = timedelta(seconds=10)
_SHOWN = 200
#: No token of ours is longer. What was sent in its place is not carried on into every form of the next page.
_MOST_TOKEN = 100
#: Parts of every form that say nothing about what is asked for.
_NOT_CONTENT = frozenset({FIELD, "csrfmiddlewaretoken"})
#: The proof that a decision is sent with. It is another one each time: a code counts once, and so does a signature.
PROOF = {"web:decide": frozenset({"password", "code", "manifest", "assertion"})}
#: These give out a file and leave the page as it is. Each file is a download of its own, and an entry.
FILES = frozenset({"web:log_export", "web:log_evidence", "web:access_request_evidence"})


class OnceMiddleware:
    """Takes the token out of what was sent, answers repeated forms, and stores where the first answer led."""

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
            # The first try was committed while this one looked: its refusal would be wrong.
            return _answered(request, once, row)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Check whether this form was sent before. CSRF is checked before this, and a proof is judged after it."""
        match = request.resolver_match
        if request.method != "POST" or match is None or "api" in match.app_names or FIELD not in request.POST:
            return None
        token = request.POST[FIELD] if len(request.POST[FIELD]) <= _MOST_TOKEN else ""
        rest = request.POST.copy()
        del rest[FIELD]
        request.POST = rest  # type: ignore[assignment]  # as long as nobody changes it, it is as good as the first one
        outcome.current().token = token
        # Somebody who is not signed in acts by a secret or a password, and each of these is used up by the act itself.
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
    """Return the claim of this form. Its address is part of the key, because a page may have several forms."""
    # No Idempotency-Key of the API has a space.
    key = f"form {_hashed(token, request.path)}"
    asked = _hashed(*_content(request))
    return Once(claim=uuid4(), account_id=request.user.pk, key=key, asked=asked, sent_at=began(request))


def leading_to(request: HttpRequest, address: str) -> Actor:
    """Return the actor for an act whose answer leads to this address: it is known beforehand and is stored with the
    act.
    """
    once: Once | None = getattr(request, "once", None)
    if once is not None:
        request.once = replace(once, leads_to=address)  # type: ignore[attr-defined]  # read above
        request.actor = actor_in(request).sending(request.once)  # type: ignore[attr-defined]  # read by actor_in()
    return actor_in(request)


def _content(request: HttpRequest) -> list[str]:
    """Return what was sent, without the fields that every form has and without the proof."""
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
    # Keyed: what was sent may hold a password, and a bare hash of one can be guessed at leisure.
    return salted_hmac("lockbox.once", "\0".join(parts), algorithm="sha256").hexdigest()


def _done(once: Once) -> IdempotencyKey | None:
    return IdempotencyKey.objects.filter(account=once.account_id, key=once.key, done_at__isnull=False).first()


def _if_done(once: Once) -> IdempotencyKey | None:
    try:
        return _done(once)
    except (DatabaseError, InterfaceError):
        return None


def _keep(once: Once, response: HttpResponseBase) -> None:
    """Store where the answer led, and nothing of a page, which may show a secret. A failure here changes nothing."""
    headers = {"Location": response["Location"]} if response.has_header("Location") else {}
    try:
        operations.keep_answer(once.claim, status=response.status_code, headers=headers, body=None)
    except (DatabaseError, InterfaceError) as error:
        log.warning("once.answer_not_kept", error=type(error).__name__)


def _answered(request: HttpRequest, once: Once, row: IdempotencyKey) -> HttpResponse:
    row = _with_answer(once, row)
    # A page instead of a way on is one that showed a secret: its address shows what there is now.
    about = {"subject_type": row.subject_type, "subject_id": row.subject_id}
    target = row.headers.get("Location") or (request.path if row.status == _SHOWN else page_about(about))
    if row.asked != once.asked:
        message = _("What you sent first from this page was saved. What you sent now was not.")
        context = {"code": "page_used", "message": message, "back_url": target, "back_label": _("See what was saved")}
        context["typed"] = sentences_in(sent_with(request))
        return render(request, "409.html", context, status=SentAlready.status)
    if row.claim == once.claim:
        # The database failed as it was saved, and has answered since.
        messages.success(request, _("This was saved."))
        return redirect(target)
    message = _("This was saved already. Nothing was done a second time.")
    if row.status == _SHOWN:
        message = f"{message} {_('A secret is shown once. If you did not note it, revoke it and make a new one.')}"
    messages.info(request, message)
    return redirect(target)


def _with_answer(once: Once, row: IdempotencyKey) -> IdempotencyKey:
    """Wait for the answer of another try that has just been committed."""
    until = clock.monotonic() + ANSWER_SECONDS
    if row.claim == once.claim or clock.now() - row.begun_at >= _RECENT:
        return row
    while row.status is None and clock.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        row = _done(once) or row
    return row
