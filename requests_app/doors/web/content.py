"""The reader: pages with content under an open window. Each access is recorded before anything is shown.

Two kinds of GET write entries here: a list of names, and an opened item. HEAD is refused, because it would be an access
without content. A Range header is ignored, because an entry names whole items.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_http_methods

from requests_app import operations
from requests_app.content.connectors.base import ConnectorError, Item, Listing, Message, Stream, render_hint
from requests_app.content.downloads import disposition
from requests_app.domain import clock
from requests_app.domain.errors import ContentUnavailable, Malformed, WindowNotOpen
from requests_app.domain.levels import Level, covers
from requests_app.doors.web._held import held
from requests_app.doors.web._places import places
from requests_app.doors.web._streams import Body, GuardedSource
from requests_app.doors.web.context import instant_again
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.models import AccessRequest, ContentAccess, Resource
from requests_app.operations.content import RecordedAccess
from requests_app.operations.streams import WindowClosed
from requests_app.platform.secret_answers import secret_answer
from requests_app.platform.waiting import Ending
from requests_app.queries import access, callers, receivers
from requests_app.queries import content as queries
from requests_app.words import sentences

#: How many bytes of a text document the page shows. The whole document can be downloaded.
TEXT_BYTES = 256 * 1024
#: Longer than any name that a connector accepts.
NAME_LENGTH = 4096
_HEADERS = {"From": _("From"), "To": _("To"), "Cc": _("Copy to")}
_PROBLEMS: dict[str, str | Promise] = {
    "headers_cut": _("The headers are too long. Only their beginning is shown."),
    "parts_cut": _("The message has too many parts. Some parts are not shown."),
    "depth_cut": _("Parts of the message are nested too deeply. These parts are not shown."),
    "text_cut": _("Only the beginning of the text is shown."),
    "html_cut": _("Only the beginning of the formatted text is shown."),
    "images_withheld": _("Pictures are not loaded, because the sender of the message would learn that it was opened."),
}

View = Callable[..., HttpResponseBase]


def reader(view: View) -> View:
    """Decorate a view of the reader: it is only for signed-in people, answers only GET, and is never prefetched.

    If the window is not open, the page says when the window opens, or when and how it closed. No page of the reader is
    cached.
    """

    @login_required
    @require_GET
    @cache_control(no_store=True, private=True)
    @wraps(view)
    def wrapped(request: HttpRequest, pk: UUID, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "prefetch" in request.headers.get("Sec-Purpose", ""):
            # A prefetch would put an access into the log that nobody asked for.
            return HttpResponse(status=425)
        try:
            return view(request, pk, *args, **kwargs)
        except (WindowNotOpen, WindowClosed):
            return closed_page(request, pk)

    return wrapped


def closed_page(request: HttpRequest, pk: object) -> HttpResponse:
    """Say when the engineer's own window opens, or when and how it closed."""
    return _closed(request, _window(request, pk), status=403)


def look(view: View) -> View:
    """Decorate a view of the reader that records an access.

    Links from other sites are refused, because with such a link a stranger could cause entries in the log.
    """
    wrapped = reader(view)
    wrapped.from_here_only = True  # type: ignore[attr-defined]  # read by lockbox_site.crossing
    return wrapped


@reader
def window_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show what the window covers. The page shows no content, so it is not an access yet."""
    window = _window(request, pk)
    if not window.is_live:
        return _closed(request, window, status=200)
    context = {"window": window, "grant": window.grant}
    if window.grant.access_request.enforced_by:
        return render(request, "content/external.html", {**context, **_external(window)})
    return render(request, "content/window.html", context)


def _external(window: queries.Window) -> dict[str, Any]:
    """Return the text of an external service, and each resource with its link into the application."""
    grant, asked = window.grant, window.grant.access_request
    receiver = receivers.of_service(asked.service)
    found = places(asked, grant, window.resources, receiver)
    return {
        "application": asked.enforced_by,
        "enforcement": sentences.enforcement(asked.enforced_by, has_gate=asked.has_gate),
        "guidance": asked.service.guidance,
        "has_tokens": callers.takes_tokens(asked.service),
        "words": sentences.service_words(asked.service.name, _offer_words(asked)),
        "places": found,
        "has_links": any(place.url for place in found),
        "signs_in": any(place.signs_in for place in found),
        "is_gate": receiver is not None and receiver.client is None,
    }


def _offer_words(asked: AccessRequest) -> str:
    """Return the service's words for engineers about the level of the window, as the service has them now."""
    offer = asked.service.offers.get(asked.level)
    return offer.for_engineer if offer else ""


@login_required
@require_http_methods(["GET", "POST"])
@cache_control(no_store=True, private=True, no_transform=True)
def grant_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a new grant token, in the answer to the act itself, because no later page shows it."""
    window = _window(request, pk)
    if request.method == "GET":
        return redirect("web:window", pk)
    require_nothing(request.POST)
    made = operations.issue_grant_token(pk, actor=actor_in(request))
    context = {"grant": window.grant, "application": window.grant.access_request.enforced_by, "made": made}
    return render(request, "content/token.html", {**context, "now": clock.now()})


@reader
def window_state(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer the page, which asks again and again whether the window is open. The answer waits until it has closed.

    If the window has closed, send a notice that says so.
    """

    def answer() -> HttpResponse:
        window = _window(request, pk)
        if window.is_live:
            return HttpResponse(status=204)
        # With the status 286, htmx stops asking.
        return render(request, "content/_closed.html", _closed_facts(window), status=286)

    return held(request, answer(), answer, grant_id=pk)


@look
def window_resource(request: HttpRequest, pk: UUID, resource: UUID) -> HttpResponse:
    """Show one page of a list of names."""
    folder, after, actor = _text(request, "folder"), _text(request, "after"), actor_in(request)
    _recorded, listing = operations.content.list_items(pk, resource, actor=actor, prefix=folder, after=after or None)
    place = ContentLocation(_window(request, pk), resource, folder, after)
    context = {**place.context(), "entries": _entries(place, listing), "unlisted": listing.unlisted}
    if listing.next_after is not None:
        context["next_url"] = place.url("window_resource", folder=folder, after=listing.next_after)
    return render(request, "content/resource.html", context)


@look
def window_item(request: HttpRequest, pk: UUID, resource: UUID) -> HttpResponse:
    """Show one item, or a download link if it can't be shown."""
    item_id, actor = _text(request, "id", needed=True), actor_in(request)
    found = queries.resource(resource, actor=actor)
    if found.kind == Resource.Kind.MAILBOX:
        _recorded, message = operations.content.read_message(pk, resource, item_id, actor=actor)
        facts = _message_facts(message)
    elif request.GET.get("shown") == "image":
        # This does not open the item: the picture is loaded from its own address, which records the access.
        facts = {"shown": "image", "title": item_id.rpartition("/")[2]}
    else:
        facts = _document(request, pk, resource, item_id)
    window = _window(request, pk)
    if not window.is_live:
        raise WindowNotOpen
    place = ContentLocation(window, resource, _text(request, "folder"), _text(request, "after"))
    facts["attachments"] = [
        (attached, place.url("window_raw", id=item_id, part=attached.part)) for attached in facts.get("attachments", ())
    ]
    addresses = {
        "download_url": place.url("window_raw", id=item_id),
        "image_url": place.url("window_raw", id=item_id, inline="1"),
    }
    template = "content/_item.html" if request.headers.get("HX-Request") == "true" else "content/item.html"
    # Anybody who writes to this customer puts text into an item, so its length must not depend on the rest of it.
    return secret_answer(render(request, template, {**place.context(), **facts, **addresses}))


@look
def window_raw(request: HttpRequest, pk: UUID, resource: UUID) -> HttpResponseBase:
    """Send an item, or a part of a message, for download. A picture can also be shown in the page.

    The entry says whether a download or a picture was requested. The entry is written before the type of the item is
    known. So if a picture was requested but the item is not a picture, nothing is sent.
    """
    item_id, part = _text(request, "id", needed=True), _text(request, "part")
    actor, is_inline = actor_in(request), request.GET.get("inline") == "1" and not part
    kind = ContentAccess.Kind.OPENED if is_inline else ContentAccess.Kind.DOWNLOADED
    ending = Ending()
    stream, chunks = operations.content.download(
        pk, resource, item_id, actor=actor, part=part or None, kind=kind, ending=ending
    )
    body = Body(chunks)
    if is_inline and render_hint(stream.media_type) != "image":
        body.close()
        raise Malformed
    media_type = stream.media_type if is_inline else "application/octet-stream"
    response = StreamingHttpResponse(body, content_type=media_type)
    response.ending = ending  # type: ignore[attr-defined]  # for the web server
    response["Content-Disposition"] = disposition(stream.filename, as_attachment=not is_inline)
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Accept-Ranges"] = "none"
    if stream.size is not None:
        # With this length, a client can distinguish a stream that was cut from a complete one.
        response["Content-Length"] = str(stream.size)
    return response


class ContentLocation:
    """Where the engineer is in a window: one resource, one folder in it, and one page of the folder."""

    def __init__(self, window: queries.Window, resource_id: UUID, folder: str, after: str) -> None:
        self.window, self.resource = window, window.resource(resource_id)
        self.folder, self.after = folder, after

    def allows(self, needed: Level) -> bool:
        return covers(self.window.grant.level, needed)

    def url(self, name: str, **query: str) -> str:
        address = reverse(f"web:{name}", args=[self.window.grant.pk, self.resource.pk])
        filled = {key: value for key, value in query.items() if value}
        return f"{address}?{urlencode(filled)}" if filled else address

    def context(self) -> dict[str, Any]:
        return {
            "window": self.window,
            "grant": self.window.grant,
            "resource": self.resource,
            "may_open": self.allows(Level.VIEW),
            "may_download": self.allows(Level.READ),
            "folder": self.folder,
            "folders": self._folders(),
            "after": self.after,
            "list_url": self.url("window_resource", folder=self.folder, after=self.after),
            "top_url": self.url("window_resource", folder=self.folder),
        }

    def _folders(self) -> list[tuple[str, str]]:
        """Return the present folder and its parents, with their addresses. A mailbox's folder has no parents."""
        if not self.folder:
            return []
        parts = [self.folder] if self.resource.kind == Resource.Kind.MAILBOX else self.folder.split("/")
        ways = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        names = zip(parts, ways, strict=True)
        return [(name.lstrip("."), self.url("window_resource", folder=way)) for name, way in names]


def _entries(place: ContentLocation, listing: Listing) -> list[dict[str, Any]]:
    """Return the lines of a list. If the window allows opening an item, the line has the item's address."""
    return [{"item": item, **(_opened_at(place, item))} for item in listing.items]


def _opened_at(place: ContentLocation, item: Item) -> dict[str, Any]:
    if item.kind == "folder":
        return {"url": place.url("window_resource", folder=item.id), "icon": "folder"}
    hint = "text" if item.kind == "message" else render_hint(item.media_type)
    icons = {"text": "mail" if item.kind == "message" else "file-text", "image": "image", "download": "file"}
    found: dict[str, Any] = {"icon": icons[hint], "is_download": hint == "download"}
    if hint == "download":
        if place.allows(Level.READ):
            found["url"] = place.url("window_raw", id=item.id)
    elif place.allows(Level.VIEW):
        shown = "image" if hint == "image" else ""
        found["url"] = place.url("window_item", id=item.id, folder=place.folder, after=place.after, shown=shown)
    return found


def _message_facts(message: Message) -> dict[str, Any]:
    headers = message.headers
    return {
        "shown": "message",
        "message": message,
        "title": headers.get("Subject", ""),
        "headers": [(words, headers[name]) for name, words in _HEADERS.items() if headers.get(name)],
        "date_as_sent": headers.get("Date", ""),
        "message_id": headers.get("Message-ID", ""),
        "problems": [_PROBLEMS.get(code, code) for code in message.problems],
        "attachments": message.attachments,
    }


def _document(request: HttpRequest, pk: UUID, resource: UUID, item_id: str) -> dict[str, Any]:
    """Open a document. Text is shown, a picture has its own address, and everything else can be downloaded."""
    actor = actor_in(request)
    recorded, item, stream = operations.content.open_item(pk, resource, item_id, actor=actor)
    with stream:
        hint = render_hint(stream.media_type)
        facts: dict[str, Any] = {"item": item, "title": item.title, "shown": hint}
        if hint == "text":
            facts["text"], facts["is_cut"] = _read_text(recorded, stream, request, item_id)
    return facts


def _read_text(recorded: RecordedAccess, stream: Stream, request: HttpRequest, item_id: str) -> tuple[str, bool]:
    chunks = operations.content.guarded(recorded, stream, actor=actor_in(request), item_id=item_id)
    held = Stream(
        filename=stream.filename, media_type=stream.media_type, size=stream.size, source=GuardedSource(chunks)
    )
    try:
        return held.read_text(TEXT_BYTES)
    except ConnectorError as error:
        raise ContentUnavailable from error


def _window(request: HttpRequest, pk: object) -> queries.Window:
    """Return the window as it is now.

    The window may have changed since the request began, because reading the content takes time.
    """
    return queries.window(pk, actor=actor_in(request), at=instant_again(request))


def _text(request: HttpRequest, name: str, *, needed: bool = False) -> str:
    value = request.GET.get(name, "")
    if len(value) > NAME_LENGTH or (needed and not value):
        raise Malformed
    return value


def _closed(request: HttpRequest, window: queries.Window, *, status: int) -> HttpResponse:
    return render(request, "content/closed.html", _closed_facts(window), status=status)


def _closed_facts(window: queries.Window) -> dict[str, Any]:
    grant = window.grant
    seen = access.seen_resources([grant.pk])[grant.pk]
    asked = grant.access_request
    may_ask_again = asked.ticket is not None and asked.ticket.is_live
    return {
        "window": window,
        "grant": grant,
        "summary": sentences.summary(seen, enforced_by=asked.enforced_by, has_gate=asked.has_gate),
        "ask_url": f"{reverse('web:ask', args=[asked.ticket_id])}?from={asked.pk}" if may_ask_again else "",
    }


urlpatterns = [
    path("windows/<uuid:pk>/", window_page, name="window"),
    path("windows/<uuid:pk>/state/", window_state, name="window_state"),
    path("windows/<uuid:pk>/token/", grant_token, name="grant_token"),
    path("windows/<uuid:pk>/<uuid:resource>/", window_resource, name="window_resource"),
    path("windows/<uuid:pk>/<uuid:resource>/item/", window_item, name="window_item"),
    path("windows/<uuid:pk>/<uuid:resource>/raw/", window_raw, name="window_raw"),
]
