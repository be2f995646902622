"""The pages of a window: what they show, what they hide, and the headers of their responses."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.content.connectors.base import ConnectorUnavailable
from requests_app.content.downloads import disposition
from requests_app.doors.web.content import TEXT_BYTES
from requests_app.models import ContentAccess, Grant, Resource
from requests_app.operations import content, streams
from requests_app.operations.streams import WindowClosed
from requests_app.queries import access
from requests_app.words import sentences
from tests.cast import Cast
from tests.content import CANARY, PNG, fill, mail_id
from tests.offenders import collected
from tests.operations.test_content import Fake

pytestmark = pytest.mark.django_db
#: The pages of an open window.
PAGES = ("window", "window_state", "window_resource", "window_item", "window_raw")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Any) -> Path:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    return tmp_path


@pytest.fixture
def as_(cast: Cast) -> Callable[[str], Client]:
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(cast.people[name])
        return client

    return signed_in


@pytest.fixture
def library(cast: Cast) -> Grant:
    """Return an open window of Priya on Contoso's documents."""
    return cast.opened(ticket=cast.ticket(service_id=cast.sharepoint.pk))


def _url(name: str, grant: Grant, resource: Resource | None = None, **query: str) -> str:
    resource = resource or grant.access_request.scope.get().resource
    args = [grant.pk] if name in ("window", "window_state") else [grant.pk, resource.pk]
    return reverse(f"web:{name}", args=args, query=query)


def _body(response: Any) -> bytes:
    """Return the whole body of a response. At the end of a stream, the test client closes it."""
    return b"".join(response.streaming_content) if response.streaming else response.content


def _looks(grant: Grant) -> list[str]:
    return list(ContentAccess.objects.filter(grant=grant).order_by("at", "pk").values_list("kind", flat=True))


# --- Pages ---------------------------------------------------------------------------------------------------


def test_the_first_page_names_the_resources_and_records_nothing(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    before = AuditEntry.objects.count()
    response = as_("priya").get(_url("window", grant))
    assert response.status_code == 200
    assert "finance@contoso.example" in response.content.decode()
    assert "immediately sees everything that you open." in response.content.decode()
    assert (AuditEntry.objects.count(), _looks(grant)) == (before, [])


def test_a_list_links_each_message(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    response = as_("priya").get(_url("window_resource", grant))
    page = response.content.decode()
    assert response.status_code == 200
    assert f"{CANARY} invoice" in page
    assert _url("window_item", grant, id=mail_id()) in page
    assert f'data-closes-at="{grant.closes_at.isoformat()}"' in page
    assert _looks(grant) == ["list_asked", "listed"]


def test_a_window_on_names_links_nothing(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened(level="names")
    page = as_("priya").get(_url("window_resource", grant)).content.decode()
    assert f"{CANARY} invoice" in page
    assert "/item/" not in page
    assert "/raw/" not in page


def test_a_window_for_viewing_opens_items_and_links_no_file(
    cast: Cast, as_: Callable[[str], Client], library: Grant
) -> None:
    priya, grant = as_("priya"), cast.opened(level="view")
    listed = priya.get(_url("window_resource", grant)).content.decode()
    assert reverse("web:window_item", args=[grant.pk, cast.resource().pk]) in listed
    page = priya.get(_url("window_item", grant, id=mail_id())).content.decode()
    assert CANARY in page
    assert "You can’t download anything in it." in page
    assert "/raw/" not in page
    answers = [priya.get(_url("window_raw", grant, id=mail_id(), part=part)) for part in ("", "2")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert _looks(grant) == ["list_asked", "listed", "opened"]
    Grant.objects.filter(pk=library.pk).update(level="view")
    listed = priya.get(_url("window_resource", library)).content.decode()
    assert "/item/" in listed
    assert "/raw/" not in listed
    assert "for download" not in listed


def test_a_message_is_shown_with_its_headers_and_without_its_scripts(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    response = as_("priya").get(_url("window_item", grant, id=mail_id()))
    page = response.content.decode()
    assert response.status_code == 200
    for shown in ("grace@wideworld.example", "invoice-1@wideworld.example", "<b>invoice</b>", "rows.csv"):
        assert shown in page
    for gone in ("alert(1)", "onclick", "color:red"):
        assert gone not in page
    assert _looks(grant) == ["opened"]


def test_for_htmx_an_item_comes_without_its_page(cast: Cast, as_: Callable[[str], Client]) -> None:
    response = as_("priya").get(_url("window_item", cast.opened(), id=mail_id()), headers={"HX-Request": "true"})
    page = response.content.decode()
    assert response.status_code == 200
    assert page.lstrip().startswith('<section class="reader-item" id="reader-item">')
    assert "<html" not in page


def test_a_library_is_read_by_folder(as_: Callable[[str], Client], library: Grant) -> None:
    top = as_("priya").get(_url("window_resource", library)).content.decode()
    assert _url("window_resource", library, folder="Contracts") in top
    inside = as_("priya").get(_url("window_resource", library, folder="Contracts")).content.decode()
    assert "Lease.txt" in inside
    assert "folder=Contracts" in inside


def test_a_text_is_shown_and_what_could_run_is_for_download(as_: Callable[[str], Client], library: Grant) -> None:
    text = as_("priya").get(_url("window_item", library, id="Contracts/Lease.txt")).content.decode()
    assert f"The lease of {CANARY}" in text
    html = as_("priya").get(_url("window_item", library, id="page.html")).content.decode()
    assert "alert(1)" not in html
    assert "can’t show a document of this kind" in html
    assert _looks(library) == ["opened", "opened"]


def test_a_long_text_is_cut_and_says_so(as_: Callable[[str], Client], library: Grant, root: Path) -> None:
    (root / "contoso/docs/legal/long.txt").write_text("x" * (TEXT_BYTES + 5) + "END")
    page = as_("priya").get(_url("window_item", library, id="long.txt")).content.decode()
    assert "Only the beginning is shown" in page
    assert "END" not in page


def test_a_picture_is_recorded_once_by_the_address_that_gives_it(as_: Callable[[str], Client], library: Grant) -> None:
    listed = as_("priya").get(_url("window_resource", library)).content.decode()
    assert "shown=image" in listed
    page = as_("priya").get(_url("window_item", library, id="logo.png", shown="image")).content.decode()
    address = _url("window_raw", library, id="logo.png", inline="1").replace("&", "&amp;")
    assert f'src="{address}"' in page
    assert _looks(library) == ["list_asked", "listed"]
    response = as_("priya").get(_url("window_raw", library, id="logo.png", inline="1"))
    assert _body(response) == PNG
    assert (response["Content-Type"], response["Content-Disposition"]) == ("image/png", 'inline; filename="logo.png"')
    assert _looks(library) == ["list_asked", "listed", "opened"]


def test_a_list_costs_the_same_with_twenty_names_as_with_two(
    cast: Cast, as_: Callable[[str], Client], tmp_path: Path, settings: Any
) -> None:
    grant, client, counts = cast.opened(), as_("priya"), []
    for n in (2, 20):
        settings.CONTENT_ROOT = tmp_path / str(n)
        fill(settings.CONTENT_ROOT, mails=n)
        client.get(_url("window_resource", grant))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = client.get(_url("window_resource", grant)).content.decode()
        assert page.count("data-reader-link") == n
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Bytes ---------------------------------------------------------------------------------------------------


def test_a_download_says_what_a_browser_must_not_do(as_: Callable[[str], Client], library: Grant) -> None:
    response = as_("priya").get(_url("window_raw", library, id="page.html"))
    assert response.status_code == 200
    assert _body(response) == b"<script>alert(1)</script>"
    assert response["Content-Disposition"] == 'attachment; filename="page.html"'
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cache-Control"] == "no-store, private"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Content-Length"] == "25"
    assert _looks(library) == ["downloaded"]


@pytest.mark.parametrize("name", ["page.html", "offer “ä”.pdf", "Contracts/Lease.txt"])
def test_only_a_picture_is_shown_in_place(as_: Callable[[str], Client], library: Grant, name: str) -> None:
    """The log already says that the item was shown. So a file that is not a picture is refused, and not downloaded."""
    response = as_("priya").get(_url("window_raw", library, id=name, inline="1"))
    assert (response.status_code, "Content-Disposition" in response) == (400, False)
    assert _looks(library) == ["opened"]


def test_a_part_of_a_message_is_never_shown_in_place(as_: Callable[[str], Client], cast: Cast) -> None:
    grant = cast.opened()
    page = as_("priya").get(_url("window_item", grant, id=mail_id())).content.decode()
    part = page.split("part=")[1].split('"')[0]
    response = as_("priya").get(_url("window_raw", grant, id=mail_id(), part=part, inline="1"))
    assert _body(response)
    assert response["Content-Disposition"].startswith("attachment;")
    assert _looks(grant)[-1] == "downloaded"


def test_a_download_and_a_view_differ_in_every_text(cast: Cast, as_: Callable[[str], Client]) -> None:
    """Showing a message and downloading it are two events. Every text about them must say which of the two it was."""
    grant = cast.opened()
    page = as_("priya").get(_url("window_item", grant, id=mail_id())).content.decode()
    part = page.split("part=")[1].split('"')[0]
    for taken in ("", part, part):
        assert _body(as_("priya").get(_url("window_raw", grant, id=mail_id(), part=taken)))
    rows = AuditEntry.objects.filter(correlation_id=grant.access_request_id, event__startswith="content.")
    record = [(row.event, json.loads(bytes(row.canonical))["detail"]["part"]) for row in rows.order_by("seq")]
    down = "content.downloaded"
    assert record == [("content.opened", ""), (down, ""), (down, part), (down, part)]
    assert sentences.summary(access.seen_resources([grant.pk])[grant.pk], enforced_by="") == (
        "1 message read, 1 message downloaded and 1 attachment downloaded in 1 mailbox"
    )
    live = strip_tags(as_("ada").get(reverse("web:live", args=[grant.access_request_id])).content.decode())
    for words in ("opened the message", "downloaded the message", "downloaded an attachment of the message"):
        assert words in live
    row_page = as_("ada").get(reverse("web:access_request", args=[grant.access_request_id])).content.decode()
    assert "an attachment was downloaded" in row_page
    log = " ".join(strip_tags(as_("ada").get(reverse("web:log", args=[grant.tenant_id])).content.decode()).split())
    assert "downloaded an attachment of" in log


def test_a_part_of_a_message_is_downloaded_by_itself(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    page = as_("priya").get(_url("window_item", grant, id=mail_id())).content.decode()
    part = page.split("part=")[1].split('"')[0]
    response = as_("priya").get(_url("window_raw", grant, id=mail_id(), part=part))
    body = _body(response)
    assert body.split() == [b"a;b", b"1;2"]
    # With this header, a browser notices that a part was cut off.
    assert response["Content-Length"] == str(len(body))
    assert response["Content-Disposition"] == 'attachment; filename="rows.csv"'
    assert ContentAccess.objects.filter(part=part, kind="downloaded").count() == 1


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("plain.txt", 'attachment; filename="plain.txt"'),
        ('a"b\\c.txt', 'attachment; filename="a\\"b\\\\c.txt"'),
        ("a\r\nSet-Cookie: x=1.txt", 'attachment; filename="aSet-Cookie: x=1.txt"'),
        ("Übersicht.pdf", "attachment; filename*=utf-8''%C3%9Cbersicht.pdf"),
        ("gpj.\u202eexe", 'attachment; filename="gpj.exe"'),
        ("\r\n", 'attachment; filename="content"'),
    ],
)
def test_a_name_cannot_leave_its_header(name: str, header: str) -> None:
    assert disposition(name, as_attachment=True) == header


def test_content_is_read_only_by_get(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    priya = as_("priya")
    with collected() as case:
        for name in PAGES:
            for method in ["head", "post", "put", "delete", "options"]:
                with case(name, method):
                    response = getattr(priya, method)(_url(name, grant, id=mail_id()))
                    assert response.status_code == 405
                    assert _looks(grant) == []


def test_a_range_is_ignored(as_: Callable[[str], Client], library: Grant) -> None:
    response = as_("priya").get(_url("window_raw", library, id="logo.png"), headers={"Range": "bytes=0-3"})
    assert response.status_code == 200
    assert _body(response) == PNG
    assert response["Accept-Ranges"] == "none"


@pytest.mark.parametrize("name", ["window_resource", "window_item", "window_raw"])
def test_a_browser_that_guesses_gets_nothing(cast: Cast, as_: Callable[[str], Client], name: str) -> None:
    grant = cast.opened()
    response = as_("priya").get(_url(name, grant, id=mail_id()), headers={"Sec-Purpose": "prefetch;prerender"})
    assert (response.status_code, response.content, _looks(grant)) == (425, b"", [])


@pytest.mark.parametrize("name", PAGES)
def test_no_page_of_the_reader_is_cached(cast: Cast, as_: Callable[[str], Client], name: str) -> None:
    response = as_("priya").get(_url(name, cast.opened(), id=mail_id()))
    _body(response)
    is_page = name == "window_item"
    assert response["Cache-Control"] == "no-store, private" + (", no-transform" if is_page else "")


@pytest.mark.parametrize("item", ["", "x" * 5000])
@pytest.mark.parametrize("name", ["window_item", "window_raw"])
def test_an_item_without_a_name_is_no_question(cast: Cast, as_: Callable[[str], Client], name: str, item: str) -> None:
    grant = cast.opened()
    assert as_("priya").get(_url(name, grant, id=item)).status_code == 400
    assert _looks(grant) == []


# --- Closed windows and other people's windows ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["window_resource", "window_item", "window_raw"])
def test_a_closed_window_says_when_and_by_whom_and_gives_nothing(
    cast: Cast, as_: Callable[[str], Client], name: str
) -> None:
    grant = cast.opened()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    response = as_("priya").get(_url(name, grant, id=mail_id()))
    page = response.content.decode()
    assert response.status_code == 403
    assert "The window is closed" in page
    assert "Ada Test" in page
    assert "nothing was opened or listed" in page
    assert CANARY not in page
    assert _looks(grant) == []
    assert response["Cache-Control"] == "no-store, private"


def test_the_first_page_of_a_window_that_ran_out_says_so(cast: Cast, as_: Callable[[str], Client], travel: Any) -> None:
    grant = cast.opened()
    travel.to(grant.closes_at)
    response = as_("priya").get(_url("window", grant))
    assert response.status_code == 200
    assert "The window closed automatically." in response.content.decode()
    assert "finance@contoso.example" not in response.content.decode()


def test_the_page_of_a_window_that_opens_later_does_not_say_that_it_closed(
    cast: Cast, as_: Callable[[str], Client], travel: Any
) -> None:
    grant = cast.opened()
    travel.to(grant.opens_at - dt.timedelta(minutes=1))
    page = as_("priya").get(_url("window", grant)).content.decode()
    assert "<title>The window is not open yet" in page
    assert "Opens</dt>" in page
    assert "closed" not in strip_tags(page).lower()


def test_a_picture_is_not_announced_once_the_window_is_closed(as_: Callable[[str], Client], library: Grant) -> None:
    client = as_("priya")
    client.post(reverse("web:access_request_act", args=[library.access_request_id, "release"]))
    assert client.get(_url("window_item", library, id="logo.png", shown="image")).status_code == 403


def test_an_open_page_learns_that_the_window_was_closed(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant, client = cast.opened(), as_("priya")
    before = AuditEntry.objects.count()
    assert client.get(_url("window_state", grant)).status_code == 204
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    response = client.get(_url("window_state", grant))
    assert response.status_code == 286
    assert "Ada Test" in response.content.decode()
    assert AuditEntry.objects.count() == before + 1


def test_the_reader_is_for_the_engineer_of_the_window(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    with collected() as case:
        for person in ["erik", "pat", "stella", "ada"]:
            for name in PAGES:
                with case(person, name):
                    response = as_(person).get(_url(name, grant, id=mail_id()))
                    assert response.status_code == 403
                    assert CANARY not in response.content.decode()
                    assert _looks(grant) == []


def test_a_resource_outside_the_window_is_refused(cast: Cast, as_: Callable[[str], Client]) -> None:
    grant = cast.opened()
    for name in ("window_resource", "window_item", "window_raw"):
        other = _url(name, grant, cast.resource(name="sales"), id=mail_id())
        assert as_("priya").get(other).status_code == 403
        foreign = _url(name, grant, cast.resource("fabrikam"), id=mail_id())
        assert as_("priya").get(foreign).status_code == 404
    assert _looks(grant) == []


# --- Failures ------------------------------------------------------------------------------------------------


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake], Fake]:
    def install(fake: Fake) -> Fake:
        monkeypatch.setattr(content, "connector_for", lambda name: fake)
        return fake

    return install


def test_a_window_that_closes_in_mid_stream_ends_the_answer_and_adds_nothing(
    cast: Cast, as_: Callable[[str], Client], library: Grant, use: Callable[[Fake], Fake]
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        operations.revoke(library.access_request_id, actor=cast.as_("ada"))
        time.sleep(streams.RECHECK_SECONDS + 0.05)
        yield b"second"

    fake = use(Fake(chunks))
    response = as_("priya").get(_url("window_raw", library, id="x"))
    assert response.status_code == 200
    body = iter(response.streaming_content)  # type: ignore[attr-defined]  # a streaming answer
    assert next(body) == b"first"
    with pytest.raises(WindowClosed):
        next(body)
    assert fake.source is not None
    assert fake.source.is_closed
    assert _looks(library) == ["downloaded", "cut"]


def test_a_system_that_fails_before_the_first_byte_is_answered_with_a_page(
    as_: Callable[[str], Client], library: Grant, use: Callable[[Fake], Fake]
) -> None:
    def chunks() -> Iterator[bytes]:
        raise ConnectorUnavailable(CANARY)
        yield b""

    fake = use(Fake(chunks))
    response = as_("priya").get(_url("window_raw", library, id="x"))
    assert response.status_code == 503
    assert CANARY not in response.content.decode()
    assert fake.source is not None
    assert fake.source.is_closed
    assert _looks(library) == ["downloaded", "failed"]


def test_a_text_is_not_shown_when_the_window_closes_while_it_is_read(
    cast: Cast, as_: Callable[[str], Client], library: Grant, use: Callable[[Fake], Fake]
) -> None:
    def chunks() -> Iterator[bytes]:
        operations.revoke(library.access_request_id, actor=cast.as_("ada"))
        yield CANARY.encode()

    use(Fake(chunks))
    response = as_("priya").get(_url("window_item", library, id="x"))
    assert response.status_code == 403
    assert CANARY not in response.content.decode()


def test_the_bar_turns_amber_ten_minutes_before_the_end(cast: Cast, as_: Callable[[str], Client], travel: Any) -> None:
    grant = cast.opened()
    travel.to(grant.closes_at - dt.timedelta(minutes=10))
    assert "deadline-soon" in as_("priya").get(_url("window", grant)).content.decode()
