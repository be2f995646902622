"""Finding resources: what staff are shown, what the tenant's log records, and what is added from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.content import checking
from requests_app.content.connectors import base
from requests_app.content.connectors.maildir import Maildir
from requests_app.domain.errors import ContentUnavailable, Malformed, NotAllowed, NotFound, Unacceptable
from requests_app.models import Resource
from requests_app.operations import discovery
from tests.cast import QUILLO, Cast
from tests.connectors.cases import make_maildir
from tests.factors import force_login
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

BOXES = ["contoso/mail/ann", "contoso/mail/ben", "contoso/mail/finance", "contoso/mail/pаypal", "fabrikam/mail/x"]


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Path:
    settings.CONTENT_ROOT = tmp_path
    for box in BOXES:
        make_maildir(tmp_path / box)
    return tmp_path


@pytest.fixture
def staff(cast: Cast) -> Client:
    client = Client()
    force_login(client, cast.stella, is_fresh=True)
    return client


def found(cast: Cast, **options: Any) -> list[str]:
    options = {"service_id": cast.exchange.pk, "actor": cast.as_("stella", door="admin"), **options}
    return [place.locator for place in operations.find_resources(cast.contoso.pk, **options).places]


def entries(cast: Cast, event: str) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, event=event).order_by("seq")
    return [json.loads(bytes(row.canonical))["detail"] for row in rows]


def address(cast: Cast) -> str:
    return reverse("admin:requests_app_tenant_act", args=[cast.contoso.pk, "find-resources"])


def test_what_is_no_resource_yet_is_shown_and_recorded(cast: Cast, store: Path) -> None:
    assert cast.resource().locator == "contoso/mail/finance"
    wanted = ["contoso/mail/ann", "contoso/mail/ben", "contoso/mail/pаypal"]
    assert found(cast) == wanted
    assert entries(cast, "resource.listed") == [{"service": "Exchange Online", "places": wanted}]
    assert found(cast, after="contoso/mail/ben") == wanted[2:]


@pytest.mark.parametrize("name", ["erik", "paula", "ada", "ines"])
def test_only_staff_find_resources(cast: Cast, store: Path, name: str) -> None:
    with only_a_refusal(), pytest.raises(NotAllowed):
        found(cast, actor=cast.as_(name))


def test_an_absent_service_and_one_that_is_external_are_refused(cast: Cast, store: Path) -> None:
    with pytest.raises(NotFound):
        found(cast, service_id=cast.contoso.pk)
    quillo = operations.save_service(actor=cast.as_("stella"), key="quillo", name="Quillo", **QUILLO)
    with nothing_happens(), pytest.raises(Unacceptable):
        found(cast, service_id=quillo.pk)


@pytest.mark.parametrize(
    ("failure", "refusal"),
    [
        (base.ConnectorUnavailable(), ContentUnavailable),
        (ValueError("Zanzibar"), ContentUnavailable),
        (base.ItemNotFound(), Unacceptable),
        (base.Malformed(), Malformed),
    ],
)
def test_a_connector_that_fails_shows_and_records_nothing(
    cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, refusal: type[Exception]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(Maildir, "resources", fail)
    with nothing_happens(), pytest.raises(refusal):
        found(cast)


def test_a_connector_that_lies_shows_no_place_of_another_tenant(
    cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies = base.Places((base.Place("fabrikam/mail/x", "x"), base.Place("contoso/../fabrikam", "y")), None)
    monkeypatch.setattr(Maildir, "resources", lambda *_, **__: lies)
    assert found(cast) == []
    assert entries(cast, "resource.listed") == [{"service": "Exchange Online", "places": []}]


@pytest.mark.parametrize("root", [".", "missing"])
def test_a_directory_that_does_not_exist_is_named(
    cast: Cast, staff: Client, tmp_path: Path, settings: Any, root: str
) -> None:
    settings.CONTENT_ROOT = tmp_path / root
    with nothing_happens(), pytest.raises(Unacceptable) as refused:
        found(cast)
    assert f"{tmp_path / root / 'contoso'} does not exist." in str(refused.value)
    with nothing_happens():
        page = staff.post(address(cast), {"service": cast.exchange.pk})
    assert page.status_code == 200
    assert page.content.decode().count(f"{tmp_path / root / 'contoso'} does not exist.") == 1
    assert "Please check what you entered" not in page.content.decode(), "nothing was entered"
    (tmp_path / root / "contoso").mkdir(parents=True)
    assert found(cast) == []


def test_a_store_that_is_there_and_can_not_be_opened_is_not_called_missing(
    cast: Cast, tmp_path: Path, settings: Any
) -> None:
    settings.CONTENT_ROOT = tmp_path / "file"
    settings.CONTENT_ROOT.write_text("")
    with nothing_happens(), pytest.raises(ContentUnavailable):
        found(cast)


def test_the_form_of_a_service_names_the_directory_of_the_content(staff: Client, tmp_path: Path, settings: Any) -> None:
    settings.CONTENT_ROOT = tmp_path
    assert f"{tmp_path}/SHORT-NAME-OF-THE-TENANT" in staff.get("/admin/requests_app/service/add/").content.decode()


# --- The pages ---------------------------------------------------------------------------------------------


def test_staff_choose_places_and_add_them(cast: Cast, store: Path, staff: Client) -> None:
    page = staff.post(address(cast), {"service": cast.exchange.pk})
    assert page.status_code == 200
    shown = page.content.decode()
    assert 'value="contoso/mail/ann"' in shown
    assert "fabrikam/mail" not in shown
    form = {
        "service": cast.exchange.pk,
        "place": ["contoso/mail/ann", "contoso/mail/ben"],
        "name:contoso/mail/ann": "ann@contoso.example",
        "name:contoso/mail/ben": "",
        "name:contoso/mail/pаypal": "not chosen",
    }
    assert staff.post(address(cast), form).status_code == 302
    made = Resource.objects.filter(locator__in=BOXES).exclude(locator="contoso/mail/finance").order_by("locator")
    assert list(made.values_list("locator", "name", "kind")) == [
        ("contoso/mail/ann", "ann@contoso.example", "mailbox"),
        ("contoso/mail/ben", "ben", "mailbox"),
    ]
    assert len(entries(cast, "resource.added")) == 2


@pytest.mark.parametrize("step", ["add", "all"])
def test_the_same_places_are_shown_again_without_another_entry(
    cast: Cast, store: Path, staff: Client, step: str
) -> None:
    staff.post(address(cast), {"service": cast.exchange.pk})
    names = {"name:contoso/mail/ann": "Ann", "name:contoso/mail/ben": "Ben"}
    before = Resource.objects.count()
    answer = staff.post(address(cast), {"service": cast.exchange.pk, "after": "contoso/mail/z", "step": step, **names})
    page = answer.content.decode()
    assert (answer.status_code, "Nothing was added." in page) == (200, step == "add")
    assert page.count('type="checkbox" name="place"') == 2
    assert page.count(" checked>") == (2 if step == "all" else 0)
    assert 'value="Ann"' in page
    assert 'name="after" value="contoso/mail/z"' in page
    assert len(entries(cast, "resource.listed")) == 1
    assert (Resource.objects.count(), entries(cast, "resource.added")) == (before, [])


def test_more_places_are_shown_after_the_chosen_ones_are_added(
    cast: Cast, store: Path, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "PLACES_SHOWN", 1)
    first = staff.post(address(cast), {"service": cast.exchange.pk}).content.decode()
    assert ('value="contoso/mail/ann"' in first, "Here is 1 place, and there are more." in first) == (True, True)
    form = {
        "service": cast.exchange.pk,
        "after": "contoso/mail/ann",
        "step": "more",
        "place": ["contoso/mail/ann"],
        "name:contoso/mail/ann": "Ann",
    }
    second = staff.post(address(cast), form).content.decode()
    assert "1 resource was added." in second
    assert ('value="contoso/mail/ben"' in second, 'value="contoso/mail/ann"' in second) == (True, False)
    assert Resource.objects.get(locator="contoso/mail/ann").name == "Ann"
    assert len(entries(cast, "resource.listed")) == 2


def test_strange_names_are_shown_safely(cast: Cast, store: Path, staff: Client) -> None:
    make_maildir(store / "contoso/mail/with\u202egnp.exe")
    shown = staff.post(address(cast), {"service": cast.exchange.pk}).content.decode()
    assert shown.count("letters of different alphabets") == 1
    assert 'value="withgnp.exe"' in shown
    assert shown.count("\u202e") == 2, "only in the two values that the form sends back"


def test_a_place_outside_the_tenants_root_is_refused_and_the_others_are_added(
    cast: Cast, store: Path, staff: Client
) -> None:
    form = {
        "service": cast.exchange.pk,
        "place": ["fabrikam/mail/x", "contoso/mail/finance", "contoso/mail/ann"],
        **{f"name:{locator}": "x" for locator in ("fabrikam/mail/x", "contoso/mail/finance", "contoso/mail/ann")},
    }
    answer = staff.post(address(cast), form, follow=True)
    assert answer.status_code == 200
    assert [str(message.level_tag) for message in answer.context["messages"]] == ["success", "error", "error"]
    assert len(entries(cast, "resource.added")) == 1
    assert Resource.objects.filter(locator="fabrikam/mail/x").count() == 0


def test_looking_at_the_form_asks_no_connector(cast: Cast, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "bounded", lambda *_: pytest.fail("a GET asked the connector"))
    with nothing_happens():
        assert staff.get(address(cast)).status_code == 200
