"""The answers of last resort."""

import sys

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import gettext as _

log = structlog.get_logger(__name__)


def is_for_programs(request: HttpRequest) -> bool:
    """Whether no page is here, whatever the caller says that it takes."""
    return request.path_info.removeprefix("/").startswith(settings.FOR_PROGRAMS)


def nonce_of(request: HttpRequest) -> str:
    """The nonce that the page's scripts need; asking for it puts it into the policy of this answer."""
    return str(getattr(request, "csp_nonce", ""))


def without_tls(request: HttpRequest) -> HttpResponse:
    """Refuse a program that calls in the open: a redirect would hide that its token can be read on the way."""
    request_id = getattr(request, "request_id", "")
    return _problem(403, "tls_required", _("Call this by https: what was sent could be read on its way."), request_id)


def too_large(request: HttpRequest) -> HttpResponse:
    return _problem(413, "too_large", _("This is larger than the API takes."), getattr(request, "request_id", ""))


def not_in_utf_8(request: HttpRequest) -> HttpResponse:
    title = _("Send this in UTF-8, the only encoding that is read here.")
    return _problem(415, "unsupported_media_type", title, getattr(request, "request_id", ""))


def store_unavailable(request: HttpRequest, exception: BaseException) -> HttpResponse:
    """Answer 503. Nothing was done: whatever was under way was one transaction, and it did not commit."""
    log.error("store.unavailable", error=type(exception).__name__, path=request.path)
    response = _answer(request, 503, _("The service can't reach its database. Nothing was changed."))
    response["Retry-After"] = "5"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 where the database is what failed below a middleware."""
    exception = sys.exc_info()[1]
    if isinstance(exception, (OperationalError, InterfaceError)):
        return store_unavailable(request, exception)
    return _answer(request, 500, _("Something went wrong here."))


def _answer(request: HttpRequest, status: int, title: str) -> HttpResponse:
    """Render without any context processor: they ask the database who is signed in."""
    request_id = getattr(request, "request_id", "")
    if not request.accepts("text/html") or is_for_programs(request):
        code = "store_unavailable" if status == 503 else "server_error"
        return _problem(status, code, title, request_id)
    try:
        body = loader.get_template(f"{status}.html").render({"request_id": request_id, "csp_nonce": nonce_of(request)})
    except TemplateDoesNotExist:
        body = f"{title} ({request_id})"
    return HttpResponse(body, status=status)


def _problem(status: int, code: str, title: str, request_id: str) -> HttpResponse:
    problem = {"type": "about:blank", "title": title, "status": status, "code": code, "request_id": request_id}
    return JsonResponse(problem, status=status, content_type="application/problem+json")
