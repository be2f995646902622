"""The answers to errors that no other code handles."""

import sys
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import gettext as _
from django.views import defaults

from requests_app.domain.errors import DomainError, OutcomeUnknown
from requests_app.doors.web import signed_out
from requests_app.doors.web.errors import way_on
from requests_app.platform import outcome

log = structlog.get_logger(__name__)


def is_for_programs(request: HttpRequest) -> bool:
    """Return whether this URL belongs to an interface for programs.

    Its callers then get an answer for programs, even if they accept HTML.
    """
    return request.path_info.removeprefix("/").startswith(settings.FOR_PROGRAMS)


def nonce_of(request: HttpRequest) -> str:
    """Return the nonce of the page's scripts.

    The first call also adds it to the content security policy of the answer.
    """
    return str(getattr(request, "csp_nonce", ""))


def without_tls(request: HttpRequest) -> HttpResponse:
    """Refuse a program that calls without TLS.

    A redirect to the address with TLS would hide that others can read the token on its way.
    """
    request_id = getattr(request, "request_id", "")
    return _problem(
        403, "tls_required", _("Use https for this call. Over http, others can read what is sent."), request_id
    )


def too_large(request: HttpRequest) -> HttpResponse:
    return _problem(413, "too_large", _("The body is larger than the API accepts."), getattr(request, "request_id", ""))


def not_in_utf_8(request: HttpRequest) -> HttpResponse:
    title = _("Send this in UTF-8, the only encoding that this server reads.")
    return _problem(415, "unsupported_media_type", title, getattr(request, "request_id", ""))


def store_unavailable(request: HttpRequest, exception: BaseException) -> HttpResponse:
    """Answer 503. If an act was committed or was being committed, say that nobody knows whether it was saved."""
    log.error("store.unavailable", error=type(exception).__name__, path=request.path)
    return _refused(request, outcome.refusal_of(exception))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403, with a link to the page with the form. A sign-in in another tab changes the tokens of all forms."""
    page = signed_out.page_of(request)
    back_url = signed_out.address_after_sign_in(page) if request.user.is_authenticated else page
    context = {"request_id": getattr(request, "request_id", ""), "csp_nonce": nonce_of(request)}
    context |= {"back_url": back_url, "back_label": _("Go to the page with the form")}
    return HttpResponse(loader.get_template("403_csrf.html").render(context), status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 as Django does. But if an act may have been committed, don't say that nothing was changed.

    For example, Django answers 400 after an act if the session was ended elsewhere meanwhile.
    """
    if outcome.current().may_have_changed:
        return _refused(request, outcome.refusal_of(exception))
    return defaults.bad_request(request, exception)


def _refused(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    way = way_on(request, refusal)
    if isinstance(refusal, OutcomeUnknown):
        way["message"] = str(refusal)
    response = _answer(request, refusal.status, str(refusal), code=refusal.code, current=refusal.current, way=way)
    if not isinstance(refusal, OutcomeUnknown):
        response["Retry-After"] = "5"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 if the database failed in a middleware.

    The page for 500 says that nothing was changed. If an act was committed before the failure, the answer must not say
    this.
    """
    exception = sys.exc_info()[1]
    if isinstance(exception, (OperationalError, InterfaceError)):
        return store_unavailable(request, exception)
    if exception is not None and outcome.current().may_have_changed:
        return _refused(request, outcome.refusal_of(exception))
    return _answer(request, 500, _("Something went wrong here."), code="server_error")


def _answer(
    request: HttpRequest,
    status: int,
    title: str,
    *,
    code: str,
    current: dict[str, Any] | None = None,
    way: dict[str, Any] | None = None,
) -> HttpResponse:
    """Render an answer without context processors, because these query the database for the signed-in person."""
    request_id = getattr(request, "request_id", "")
    if not request.accepts("text/html") or is_for_programs(request):
        return _problem(status, code, title, request_id, current)
    context = {"request_id": request_id, "csp_nonce": nonce_of(request), "code": code, **(way or {})}
    try:
        body = loader.get_template(f"{status}.html").render(context)
    except TemplateDoesNotExist:
        body = f"{title} ({request_id})"
    return HttpResponse(body, status=status)


def _problem(
    status: int, code: str, title: str, request_id: str, current: dict[str, Any] | None = None
) -> HttpResponse:
    problem = {"type": "about:blank", "title": title, "status": status, "code": code, "request_id": request_id}
    if current:
        problem["current"] = current
    return JsonResponse(problem, status=status, content_type="application/problem+json")
