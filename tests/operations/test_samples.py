"""Sample folders: made only in a trial, only where a tenant has no content, and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.content import samples
from requests_app.domain.errors import NotAllowed, NotFound, WrongState
from requests_app.models import Resource, Service
from requests_app.queries.installation import MAIL_FILES
from tests.cast import Cast
from tests.factors import force_login
from tests.web.pages import only_a_refusal

pytestmark = pytest.mark.django_db

PLACES = ["contoso/sample-folder", "contoso/sample-mailbox"]
BUTTON = "Add a sample folder"


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.CONTENT_ROOT = tmp_path / "content"
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False
    yield tmp_path / "content"
    assert list(tmp_path.glob("content/.sample-*")) == []


@pytest.fixture
def staff(cast: Cast) -> Client:
    client = Client()
    force_login(client, cast.stella, is_fresh=True)
    return client


def make(cast: Cast, name: str = "stella") -> None:
    operations.make_sample_folder(cast.contoso.pk, actor=cast.as_(name, door="admin"))


def address(cast: Cast, act: str) -> str:
    return reverse("admin:requests_app_tenant_act", args=[cast.contoso.pk, act])


def found(cast: Cast, service: Service) -> list[str]:
    answer = operations.find_resources(cast.contoso.pk, service_id=service.pk, actor=cast.as_("stella", door="admin"))
    return [place.locator for place in answer.places]


@pytest.mark.parametrize("is_there", [False, True])
def test_it_writes_made_up_content_that_can_be_found(cast: Cast, store: Path, is_there: bool) -> None:
    if is_there:
        (store / "contoso").mkdir(parents=True)
    make(cast)
    assert (store / "contoso/sample-folder/Read me first.txt").is_file()
    assert [found(cast, cast.services["sharepoint-online"]), found(cast, cast.exchange)] == [
        [place] for place in PLACES
    ]
    [entry] = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, event="resource.sampled")
    assert json.loads(bytes(entry.canonical))["detail"] == {"places": PLACES}


@pytest.mark.parametrize(
    "real",
    [
        {"PRODUCTION": True},
        {"BASE_URL": "https://lockbox.example"},
        {"EMAIL_BACKEND": "django.core.mail.backends.smtp"},
    ],
)
def test_outside_a_trial_it_is_refused_and_not_offered(
    cast: Cast, staff: Client, store: Path, settings: Any, real: dict[str, Any]
) -> None:
    for name, value in real.items():
        setattr(settings, name, value)
    with only_a_refusal(), pytest.raises(WrongState):
        make(cast)
    with only_a_refusal():
        assert staff.post(address(cast, "make-sample-folder")).status_code == 409
    assert BUTTON not in staff.get(address(cast, "find-resources")).content.decode()
    assert not store.exists()


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_content_is_never_replaced(cast: Cast, store: Path, tmp_path: Path, staff: Client, kind: str) -> None:
    store.mkdir()
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (store / "contoso").symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        (store / "contoso").write_text("A file.")
    else:
        (store / "contoso" / "Contracts").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with only_a_refusal(), pytest.raises(WrongState):
        make(cast)
    assert BUTTON not in staff.get(address(cast, "find-resources")).content.decode()
    assert sorted(tmp_path.rglob("*")) == before


def test_content_that_arrives_at_the_last_moment_is_never_replaced(store: Path) -> None:
    (store / "contoso" / "Contracts").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        samples.make("contoso", ["folder"])
    assert [path.name for path in (store / "contoso").iterdir()] == ["Contracts"]


@pytest.mark.parametrize("name", ["priya", "pat", "ada", "ines", "finn"])
def test_only_staff_make_it(cast: Cast, store: Path, name: str) -> None:
    with pytest.raises((NotAllowed, NotFound)):
        make(cast, name)
    assert not store.exists()


def test_a_service_that_is_switched_off_gets_none(cast: Cast, store: Path) -> None:
    Service.objects.filter(connector="maildir").update(is_active=False)
    make(cast)
    assert [path.name for path in (store / "contoso").iterdir()] == ["sample-folder"]
    Service.objects.update(is_active=False)
    with only_a_refusal(), pytest.raises(WrongState):
        make(cast)


def test_one_press_makes_adds_and_tests_the_sample(cast: Cast, staff: Client, store: Path) -> None:
    search = address(cast, "find-resources")
    page = staff.get(search).content.decode()
    assert (BUTTON in page, address(cast, "make-sample-folder") in page) == (True, True)
    (store / "contoso").mkdir(parents=True)
    assert BUTTON in staff.post(search, {"service": cast.exchange.pk}).content.decode(), "nothing was found"
    answer = staff.post(address(cast, "make-sample-folder"))
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:set_up"))
    assert "it is a resource now" in staff.get(reverse("admin:set_up")).content.decode()
    added = Resource.objects.filter(tenant=cast.contoso, locator__in=PLACES).order_by("locator")
    assert [(row.locator, row.kind, row.check_problem) for row in added] == [
        (PLACES[0], "library", ""),
        (PLACES[1], "mailbox", ""),
    ]
    assert all(row.checked_at for row in added)
    events = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq").values_list("event", flat=True)
    assert list(events)[-5:] == ["resource.sampled", *["resource.added", "resource.checked"] * 2]
    assert BUTTON not in staff.get(search).content.decode()
    with only_a_refusal():
        assert staff.post(address(cast, "make-sample-folder")).status_code == 409
    assert Resource.objects.filter(locator__in=PLACES).count() == 2


def test_a_sample_is_no_practice(cast: Cast, store: Path) -> None:
    make(cast)
    files = [path for path in (store / "contoso").rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if b"practice" in path.read_bytes().lower()] == []
    assert b"sample" in (store / "contoso/sample-folder/Order 4711.txt").read_bytes()


def test_the_only_place_that_is_found_is_chosen_already(cast: Cast, staff: Client, store: Path) -> None:
    make(cast)
    page = staff.post(address(cast, "find-resources"), {"service": cast.exchange.pk}).content.decode()
    assert f'value="{PLACES[1]}" checked' in page
    assert "Choose 1 place" not in page
