"""Limits what other sites can make a browser do here. They can link to a page, and can do nothing else.

A browser reports where a request comes from (W3C Fetch Metadata: `Sec-Fetch-Site`, `-Mode`, `-Dest`), and
no script can change these headers. Requests without these headers come from programs and from very old
browsers. They are allowed here, because cookies, tokens in forms and the page's policy protect without the
headers.
"""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template import loader
from django.urls import Resolver404, resolve, reverse
from django.utils.http import escape_leading_slashes

from lockbox_site import views
from requests_app.platform import program

GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: Another host of the same domain ("same-site") may belong to somebody else.
FROM_HERE = frozenset({"same-origin", "none"})

#: All names that Django accepts for UTF-8 or a part of it.
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})

security_log = structlog.get_logger("security")


class CrossingMiddleware:
    """Refuses requests that another site makes a person's browser send. Makes links in mails work.

    The cookies are `SameSite=Strict`: a browser does not send them when it follows a link from another site. The answer
    to such a request is a page that requests the same address again. This second request comes from this site, so it
    has the cookies.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site in FROM_HERE or views.is_for_programs(request):
            return self.get_response(request)
        if _is_a_form_from_elsewhere(request):
            return self.get_response(request)
        if not _is_a_link(request) or _is_only_from_here(request):
            return _refused(request, site)
        if site == "cross-site" and settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return _step_inside(request)
        return self.get_response(request)


def _is_a_link(request: HttpRequest) -> bool:
    """Return whether the browser opens a page without sending a body, as after a click on a link.

    A page in a frame does not count.
    """
    headers = request.headers
    return (
        request.method in ("GET", "HEAD")
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest", "document") == "document"
    )


def _is_only_from_here(request: HttpRequest) -> bool:
    """Return whether the view refuses links from other sites (`from_here_only`). Such a view records an access."""
    return _says(request, "from_here_only")


def _is_a_form_from_elsewhere(request: HttpRequest) -> bool:
    """Return whether another site's page sends a form that the view takes from there, as an identity provider does.

    The page must not be in a frame. Such a view uses no session (`takes_forms_from_elsewhere`).
    """
    headers = request.headers
    return (
        request.method == "POST"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and _says(request, "takes_forms_from_elsewhere")
    )


def _says(request: HttpRequest, mark: str) -> bool:
    try:
        view: Any = resolve(request.path_info).func
    except Resolver404:
        return False
    return bool(getattr(view, mark, False))


def _refused(request: HttpRequest, site: str) -> HttpResponse:
    headers = request.headers
    security_log.warning(
        "crossing.refused",
        site=site,
        mode=headers.get("Sec-Fetch-Mode", ""),
        dest=headers.get("Sec-Fetch-Dest", ""),
        method=request.method,
        path=request.path,
    )
    return HttpResponse(_page("403_elsewhere.html", request), status=403)


def _step_inside(request: HttpRequest) -> HttpResponse:
    # Two slashes at the beginning would lead to another host.
    here = escape_leading_slashes(request.get_full_path())
    response = HttpResponse(_page("step_inside.html", request, here=here))
    response["Cache-Control"] = "no-store"
    return response


def _page(template: str, request: HttpRequest, **context: object) -> str:
    """Render a page without context processors, so that a request from another site causes no query about a person."""
    known = {"request_id": getattr(request, "request_id", ""), "csp_nonce": views.nonce_of(request)}
    return str(loader.get_template(template).render({**known, **context}))


class BodyLimitMiddleware:
    """Answers 413, without reading the body, if the body is longer than any form of this product.

    Without this, files in a form would have no limit, because Django's limit does not count files. On addresses for
    programs, only a form with files is refused here. Other long bodies get the API's own answer there.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_for_programs = views.is_for_programs(request)
        is_unbounded = request.content_type == "multipart/form-data" or not is_for_programs
        if not is_unbounded or _length(request) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return self.get_response(request)
        security_log.warning("body.too_large", length=_length(request), path=request.path)
        if is_for_programs:
            return views.too_large(request)
        is_import = request.path == reverse("admin:requests_app_import_add")
        command = program.command("import") if is_import else ""
        return HttpResponse(_page("413.html", request, import_command=command), status=413)


class CharsetMiddleware:
    """Answers 415 to a body that is not in UTF-8, before anything reads the body."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        charset = (request.content_params or {}).get("charset", "").strip().lower()
        # Without a body, nothing must be refused.
        if not charset or charset in UTF_8 or request.method in ("GET", "HEAD", "OPTIONS"):
            return self.get_response(request)
        security_log.warning("charset.refused", charset=charset[:40], path=request.path)
        if views.is_for_programs(request):
            return views.not_in_utf_8(request)
        return HttpResponse(_page("415.html", request), status=415)


def _length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
