"""The API's errors: `application/problem+json` (RFC 9457), each with a code that never changes its meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions
from rest_framework.response import Response

from requests_app.domain import clock
from requests_app.domain.errors import (
    Busy,
    DomainError,
    InsufficientScope,
    Malformed,
    Muted,
    NotFound,
    OutcomeUnknown,
    ReportsGap,
    StoreUnavailable,
    TooMany,
    TooManyGuesses,
    Unacceptable,
)
from requests_app.doors.api.authentication import REALM
from requests_app.platform import outcome
from requests_app.platform.addresses import absolute

security_log = structlog.get_logger("security")
log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
#: The most characters of an error's text and of its field. A long value from the call is not repeated or stored as a
#: whole.
MOST_DETAIL, MOST_FIELD = 300, 120


class UnknownParameter(Malformed):
    """The route does not have this parameter.

    If a misspelled filter were ignored, the caller would see too many rows.
    """

    code = "unknown_parameter"
    default = _("This route does not have this parameter.")


class NotTheSame(DomainError):
    """The row has changed since the caller read it (RFC 9110, section 13.1.1)."""

    code, status = "precondition_failed", 412
    is_evidence = False
    default = _("This has changed since you read it. Read it again before you decide or change anything.")


class PreconditionRequired(DomainError):
    """The call needs If-Match (RFC 6585, section 3)."""

    code, status = "precondition_required", 428
    is_evidence = False
    default = _("Send If-Match with the ETag of what you have read.")


class KeyReused(Unacceptable):
    code = "idempotency_key_reused"
    default = _("This Idempotency-Key was used for another call. Send another key.")


class FaultyRows(Unacceptable):
    """A call with many rows has faults. `errors` names the row, the field, the code and the reason of each."""

    code = "faulty_rows"
    default = _("Some rows have faults, and nothing was changed.")

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__()
        self.errors = errors


class StillUnderWay(DomainError):
    code, status = "idempotency_in_progress", 409
    default = _("The first call with this Idempotency-Key has not been answered yet. Wait, then send the call again.")


class AnswerGone(DomainError):
    """The call was done before. Its answer can't be given again, because it contained a secret or was not stored."""

    code, status = "idempotency_answer_gone", 409
    default = _("This call was already done, and its answer was lost. Read the present state.")


def problem(
    *,
    status: int,
    code: str,
    title: str,
    request_id: str,
    errors: list[dict[str, str]] | None = None,
    current: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of an error, with the members of RFC 9457, section 3.1, and those of this API.

    The API's own members are `code`, `request_id`, `errors` and `current`. `reports_gap` also has `expected`.
    """
    found: dict[str, Any] = {
        "type": f"{settings.BASE_URL}/api/#problem-{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "code": code,
        "request_id": request_id,
    }
    if errors:
        found["errors"] = errors
    if current:
        found["current"] = current
    return found


@contextmanager
def in_words_of(fields: Mapping[str, str]) -> Iterator[None]:
    """In this block, change the field's name in a refusal to the name that the caller has sent.

    `fields` maps the operation's names to the caller's names.
    """
    try:
        yield
    except Unacceptable as refusal:
        refusal.field = fields.get(refusal.field, refusal.field)
        raise


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to an error, or None for a bug: a bug is answered with 500. (DRF's EXCEPTION_HANDLER.)"""
    request = context["request"]
    request_id = getattr(request, "request_id", "")
    if isinstance(error, DomainError):
        return _refusal(error, request, request_id)
    if isinstance(error, (OperationalError, InterfaceError)):
        log.error("store.unavailable", error=type(error).__name__, path=request.path)
        return _refusal(outcome.refusal_of(error), request, request_id)
    if isinstance(error, Http404):
        return _refusal(NotFound(), request, request_id)
    if isinstance(error, RequestDataTooBig):
        return _plain(413, "too_large", str(_("The body is larger than the API accepts.")), request_id)
    if isinstance(error, exceptions.ValidationError):
        found = _plain(422, Unacceptable.code, str(Unacceptable.default), request_id, list(_errors(error.detail)))
        return found
    if isinstance(error, exceptions.APIException):
        return _of_the_framework(error, request_id)
    if isinstance(error, (RecursionError, UnicodeError)):
        # The body is nested too deeply, or is not text.
        return _plain(400, Malformed.code, str(Malformed.default), request_id)
    if isinstance(error, DatabaseError):
        log.error("store.failed", error=type(error).__name__, path=request.path)
    return None


def _refusal(error: DomainError, request: Any, request_id: str) -> Response:
    # Use the account only if it is already known. If the database fails, reading `request.user` would fail as well.
    who = getattr(getattr(request, "_user", None), "pk", None)
    security_log.info("api.refused", code=error.code, path=request.path, user_id=str(who))
    errors = None
    if isinstance(error, Unacceptable) and error.field:
        errors = [{"field": error.field, "detail": str(error)}]
    if isinstance(error, FaultyRows):
        errors = error.errors
    current = None if isinstance(error, NotFound) else error.current
    if isinstance(error, OutcomeUnknown):
        current = {**error.current, **_where(error.current)}
    found = _plain(error.status, error.code, str(error), request_id, errors, current)
    if isinstance(error, InsufficientScope):
        scope = f', scope="{error.scope}"' if error.scope else ""
        found["WWW-Authenticate"] = f'{REALM}, error="insufficient_scope"{scope}'
    if isinstance(error, (StoreUnavailable, StillUnderWay, Busy)):
        found["Retry-After"] = "2" if isinstance(error, StillUnderWay) else "5"
    if isinstance(error, OutcomeUnknown) and "Idempotency-Key" in request.headers:
        # A repeated call with the same key is done only once, and its answer says what was done.
        found["Retry-After"] = "5"
    if isinstance(error, ReportsGap):
        found.data["expected"] = error.expected
    outcome.current().is_put_off = isinstance(error, Busy)
    if isinstance(error, TooMany):
        wait = (error.until - clock.now()).total_seconds() if isinstance(error, (Muted, TooManyGuesses)) else 60
        found["Retry-After"] = str(max(1, math.ceil(wait)))
    return found


#: The route that reads a row, by the kind of row that an act is about.
_ROUTES = {"access_request": "access_request", "ticket": "ticket", "tenant": "tenant", "grant": "grant",
           "client": "client", "token": "token_of", "webhook": "webhook", "service": "service"}  # fmt: skip


def _where(about: Mapping[str, Any]) -> dict[str, str]:
    """Return {"url": the address at which the caller can read the row}, or {} if there is no such address."""
    name = _ROUTES.get(about.get("subject_type", ""))
    try:
        return {"url": absolute(reverse(f"api:{name}", args=[about["subject_id"]]))} if name else {}
    except NoReverseMatch:
        return {}


#: The codes of the framework's refusals, by status.
_CODES = {
    400: "malformed",
    401: "invalid_token",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "rate_limited",
}


def _of_the_framework(error: exceptions.APIException, request_id: str) -> Response:
    status = error.status_code
    code, title = _CODES.get(status, "refused"), str(error.detail)
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        title = str(_("No token was sent, or the token is not valid."))
    found = _plain(status, code, title, request_id)
    if isinstance(error, (exceptions.NotAuthenticated, exceptions.AuthenticationFailed)):
        # RFC 6750, section 3.1: if no token was sent, the header contains no error code.
        is_wrong = isinstance(error, exceptions.AuthenticationFailed)
        found["WWW-Authenticate"] = REALM + (', error="invalid_token"' if is_wrong else "")
    wait = getattr(error, "wait", None)
    if wait:
        found["Retry-After"] = str(int(wait))
    return found


def _plain(
    status: int,
    code: str,
    title: str,
    request_id: str,
    errors: list[dict[str, str]] | None = None,
    current: dict[str, Any] | None = None,
) -> Response:
    body = problem(
        status=status, code=code, title=title, request_id=request_id, errors=errors, current=_as_text(current)
    )
    return Response(body, status=status, content_type=MEDIA_TYPE)


def _as_text(current: dict[str, Any] | None) -> dict[str, Any] | None:
    return {name: str(value) for name, value in current.items()} if current else None


def _errors(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Yield each error with the path of its field, for example `resources.0`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            plain = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _errors(inner, plain)
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            yield from _errors(inner, f"{path}.{number}" if isinstance(inner, dict) else path)
    else:
        yield {"field": _cut(path, MOST_FIELD), "detail": _cut(str(detail), MOST_DETAIL)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
