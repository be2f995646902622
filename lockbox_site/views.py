"""The answers of last resort."""

import sys

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist, loader
from django.utils.translation import gettext as _

log = structlog.get_logger(__name__)

#: Where no page is, whatever the caller says that it takes.
_OF_MACHINES = ("/api/v", "/providers/", "/subscriptions/")


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
    if not request.accepts("text/html") or request.path_info.startswith(_OF_MACHINES):
        code = "store_unavailable" if status == 503 else "server_error"
        problem = {"type": "about:blank", "title": title, "status": status, "code": code, "request_id": request_id}
        return JsonResponse(problem, status=status, content_type="application/problem+json")
    try:
        body = loader.get_template(f"{status}.html").render({"request_id": request_id})
    except TemplateDoesNotExist:
        body = f"{title} ({request_id})"
    return HttpResponse(body, status=status)
