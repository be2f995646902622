"""What runs around every request: its id, its log line, the limits of its session, and answers without a database."""

import datetime as dt
import logging
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar, cast

import structlog
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.contrib.messages import constants as message_levels
from django.contrib.messages.storage import default_storage
from django.db import InterfaceError, OperationalError
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django_structlog.middlewares import RequestMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from lockbox_site import health, logs, views
from lockbox_site.monitoring import metrics
from lockbox_site.serving import request_log
from requests_app.domain import clock
from requests_app.domain.errors import DomainError
from requests_app.doors.web import keeping, signed_out
from requests_app.doors.web.sent import fields_of, is_from_our_page
from requests_app.platform import outcome, statics
from requests_app.platform.waiting import Waiting
from requests_app.words.times import duration_words

GetResponse = Callable[[HttpRequest], HttpResponseBase]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
STARTED_AT, SEEN_AT = "session_started_at", "session_seen_at"
# The time is not written for every request, because each page view would then be a write.
SEEN_GRAIN = dt.timedelta(seconds=30)

log, _requests = structlog.get_logger(request_log.NAME), logging.getLogger(request_log.NAME)
#: The levels of the library for statuses that begin with 4 and 5. All others are INFO.
_LEVELS = {4: logging.WARNING, 5: logging.ERROR}
security_log = structlog.get_logger("security")


def id_of(offered: str) -> str:
    """Return the id of a request: what the caller offers, if it is fit for a log, or a new one."""
    return offered if REQUEST_ID.fullmatch(offered) else os.urandom(16).hex()


class RequestIdMiddleware:
    """Gives each request an id, and replaces the proxy's address by the client's."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = id_of(offered)
        request.META["HTTP_X_REQUEST_ID"] = request_id
        request.offered_id = offered  # type: ignore[attr-defined]  # as it came; for where a standard wants it back
        request.request_id = request_id  # type: ignore[attr-defined]
        request.META["REMOTE_ADDR"] = client_address(request.META)
        with outcome.watched():
            response = self.get_response(request)
        response.setdefault("X-Request-ID", request_id)
        return response


class IsolationMiddleware:
    """Isolates each answer from other sites: they can't embed it, read it, or keep access to its browser window.

    It also refuses a program that calls without TLS. The headers do not affect callers of the API that send a token,
    because they only limit what a page embeds (Fetch, section 3.7).

    If the address of a page has a secret, the browser names only the site as the page before. Otherwise a proxy would
    log the secret with the next request, such as the request for the style sheet.
    """

    HEADERS: ClassVar[dict[str, str]] = {
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "X-Permitted-Cross-Domain-Policies": "none",
    }

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_in_the_open = settings.SECURE_SSL_REDIRECT and not request.is_secure() and views.is_for_programs(request)
        response = views.without_tls(request) if is_in_the_open else self.get_response(request)
        for name, value in self.HEADERS.items():
            response.setdefault(name, value)
        if logs.SECRET_PATHS.search(request.path):
            # Not "no-referrer": the page's forms would then be sent without their origin, and would be refused.
            response["Referrer-Policy"] = "strict-origin"
        return response


def client_address(environ: Mapping[str, Any]) -> str:
    """Return the client's address, as the outermost trusted proxy saw it.

    Each trusted proxy appends the address from which it was called, so the trusted addresses are counted from the end
    of the list. The caller wrote the rest of the list, which may contain anything.
    """
    direct = str(environ.get("REMOTE_ADDR", ""))
    hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    count = settings.TRUSTED_PROXY_COUNT
    return hops[-count] if count and len(hops) >= count else direct


class RequestLogMiddleware(RequestMiddleware):
    """Logs one event for each request, without the query string. The session is never read only for the log."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {request.path}"

    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        # Only a person whom the page itself has read. A query here would cost two queries per request, and would make
        # the answer fail if the database does not answer.
        person = getattr(request, "_cached_user", None)
        if person is not None and person.pk:
            structlog.contextvars.bind_contextvars(user_id=str(person.pk))

    def _process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Log nothing for an exception that becomes a 503: the log line of the request reports it already.

        The library would log the exception too, as a failure with the status 500.
        """
        if isinstance(exception, (OperationalError, InterfaceError)):
            return
        if isinstance(exception, DomainError) and exception.status == 503:
            return
        super()._process_exception(request, exception)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """Log the request. If the response is not ready yet (`Waiting`), log the request when the status is known."""
        if not isinstance(response, Waiting):
            is_plain = not hasattr(request, "_raised_exception") and not isinstance(response, StreamingHttpResponse)
            if is_plain:
                self._log_end_of(request, response)
            else:
                super().handle_response(request, response)
            return
        self.bind_user_id(request)
        context = structlog.contextvars.get_contextvars()
        structlog.contextvars.clear_contextvars()
        response.around = partial(structlog.contextvars.bound_contextvars, **context)
        response.tell_end(partial(self._log_end, self.format_request(request)))

    def _log_end_of(self, request: HttpRequest, response: HttpResponse) -> None:
        """Log the request as the library does, which also reads its settings and sends a signal that nobody gets."""
        self.bind_user_id(request)
        words = self.format_request(request)
        if not request_log.finished_plainly(words, response.status_code):
            self._log_end(words, response.status_code)
        structlog.contextvars.clear_contextvars()

    def _log_end(self, request: str, status: int | None) -> None:
        if status is None:
            log.info("request_cancelled", request=request)
        else:
            log.log(self._log_level_for_status_code(status), "request_finished", code=status, request=request)

    def _log_level_for_status_code(self, status_code: int) -> int:
        if status_code == 503 and outcome.current().is_put_off:
            return logging.WARNING
        return _LEVELS.get(status_code // 100, logging.INFO)

    def prepare(self, request: HttpRequest) -> None:
        """Begin the context of the request's events."""
        meta = request.META
        structlog.contextvars.bind_contextvars(ip=meta.get("REMOTE_ADDR", ""), request_id=meta["HTTP_X_REQUEST_ID"])
        if _requests.isEnabledFor(logging.DEBUG):
            user_agent = meta.get("HTTP_USER_AGENT")
            log.debug("request_started", request=self.format_request(request), user_agent=user_agent)


class ProbeMiddleware:
    """Answers the addresses for monitoring first, so that they need no valid host name, no session and no database.

    If a probe returns None, its address does not exist for the caller, and gets the answer of an unknown address.
    """

    PROBES: ClassVar[dict[str, Callable[[HttpRequest], HttpResponse | None]]] = {
        "/healthz": health.healthz,
        "/readyz": health.readyz,
        "/metrics": metrics.metrics,
    }

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        probe = self.PROBES.get(request.path_info)
        response = probe(request) if probe else None
        return self.get_response(request) if response is None else response


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves static files. Tells the web server their names, so that it can send them without a thread."""

    paths: ClassVar[Mapping[str, object]] = {}

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        type(self).paths = self.files

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        name = request.path_info.removeprefix(self.static_prefix)
        is_known = self.autorefresh or request.path_info in self.files or name == request.path_info
        if not is_known and (here := statics.of_another_version(name)):
            return self._serve_of_another_version(name, here, request)
        return cast(HttpResponseBase, super().__call__(request))

    def _serve_of_another_version(self, name: str, here: str, request: HttpRequest) -> HttpResponseBase:
        response = cast(HttpResponseBase, self.serve(self.get_static_file(statics.path_of(here), here), request))
        if name != here:
            # A browser must not store other content under this name.
            response["Cache-Control"] = "no-store"
        return response


class FirstPieceMiddleware:
    """Makes the first piece of a streamed answer while the request still runs.

    At this time nothing has been sent, so a failure gets an error page like any other failure, from code that knows
    which acts were committed. After the first piece, a failure can only break the connection.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
            try:
                pieces = iter(response)
                first = list(islice(pieces, 1))
            except BaseException:
                response.close()
                raise
            response.streaming_content = chain(first, pieces)
        return response


class StoreUnavailableMiddleware:
    """Answers 503 if the database does not answer, is full or is locked.

    This handles the exceptions of views. Django turns an exception in an inner middleware into a 500 first, which
    `views.server_error` handles.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, (OperationalError, InterfaceError)):
            return views.store_unavailable(request, exception)
        return None


class SessionLimitsMiddleware:
    """Ends each session after 12 hours.

    If the person can decide on access requests, also ends the session after 15 minutes without activity.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Without a session cookie, no session must be ended, and no query is made.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            # The time was read with the person, in the same statement.
            request.began_at = at = request.user.read_at or clock.now()  # type: ignore[attr-defined]  # read by context.began()
            why = self.reason_to_end(request, at)
            if why:
                return self.end(request, why)
        return self.get_response(request)

    def reason_to_end(self, request: HttpRequest, at: dt.datetime) -> str:
        """Return why the session must end, or "". In the latter case, record the activity."""
        started_at = _instant(request, STARTED_AT)
        seen_at = _instant(request, SEEN_AT)
        if started_at is None or seen_at is None:
            request.session[STARTED_AT] = request.session[SEEN_AT] = at.isoformat()
            return ""
        if at - started_at >= dt.timedelta(seconds=settings.SESSION_SECONDS):
            return "session_over"
        if at - seen_at >= dt.timedelta(seconds=settings.DECIDER_IDLE_SECONDS) and decides(request):
            return "session_idle"
        if is_background(request):
            _note_time_left(request, at - started_at, at - seen_at)
        elif at - seen_at >= SEEN_GRAIN:
            request.session[SEEN_AT] = at.isoformat()
        return ""

    def end(self, request: HttpRequest, why: str) -> HttpResponse:
        person_id = request.user.pk
        security_log.info("session.ended", reason=why, user_id=str(person_id))
        fields = [] if signed_out.is_by_script(request) else fields_of(request)
        logout(request)
        response = self._answer(request, fields, person_id)
        # The sign-in page says it. The middleware of messages runs only after this one.
        storage = default_storage(request)
        storage.add(message_levels.WARNING, _ended(why, is_stored=bool(fields)))
        storage.update(response)
        return response

    def _answer(self, request: HttpRequest, fields: list[tuple[str, str]], person_id: Any) -> HttpResponse:
        if is_background(request):
            # htmx reloads the whole page, which then redirects to the sign-in.
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        if fields:
            # The person entered this text. They can continue with it after the sign-in.
            keeping.keep(request, fields, person_id=person_id, at=clock.now())
            return cast(HttpResponse, redirect_to_login(reverse("web:resume")))
        if request.method in ("GET", "HEAD"):
            return cast(HttpResponse, redirect_to_login(request.get_full_path()))
        return signed_out.to_sign_in(request) if is_from_our_page(request) else redirect_to_login("/")


def _note_time_left(request: HttpRequest, lasts: dt.timedelta, idle: dt.timedelta) -> None:
    """Store for how many seconds an answer can wait. Then the page must ask again, because its session may end."""
    left = [settings.SESSION_SECONDS - lasts.total_seconds(), settings.DECIDER_IDLE_SECONDS - idle.total_seconds()]
    # A session can be idle for longer if the person can't decide.
    request.session_left = min(each for each in left if each > 0)  # type: ignore[attr-defined]  # read by held()


def _ended(why: str, *, is_stored: bool) -> str:
    """Return the message of the sign-in page after a session has ended."""
    length = duration_words(settings.SESSION_SECONDS if why == "session_over" else settings.DECIDER_IDLE_SECONDS)
    if why == "session_over":
        words = _("You were signed out, because a session ends after %(length)s.") % {"length": length}
    else:
        words = _("You were signed out after %(length)s without activity.") % {"length": length}
    stored = _("What you sent is not done yet, but it is stored: sign in to continue.")
    return f"{words} {stored}" if is_stored else words


def _instant(request: HttpRequest, name: str) -> dt.datetime | None:
    raw = request.session.get(name)
    return dt.datetime.fromisoformat(raw) if raw else None


def is_background(request: HttpRequest) -> bool:
    """Return whether a page sent this request by itself, for example to refresh a part of the page.

    Such a request does not prove that a person is there.
    """
    return request.headers.get("HX-Request") == "true" and request.method == "GET"


def decides(request: HttpRequest) -> bool:
    """Return whether this person can decide on access requests, for a customer or for the provider.

    Deputies count too.
    """
    from requests_app.models import Membership, QueueAssignment

    person = str(request.user.pk)
    return (
        Membership.objects.filter(person_id=person, role__in=("approver", "deputy")).exists()
        or QueueAssignment.objects.filter(person_id=person, role="provider_approver").exists()
    )
