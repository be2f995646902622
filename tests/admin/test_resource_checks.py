"""The administration shows which resources can't be reached, and tests one or several of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.admin.columns import list_of, page_of
from requests_app.models import Resource
from tests import content
from tests.admin.test_dashboard import tiles
from tests.cast import Cast

pytestmark = pytest.mark.django_db

TILE = "Resources that can’t be reached"


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Path:
    """Return a content root that has the mailbox "finance" and the library "legal" of Contoso, and nothing else."""
    settings.CONTENT_ROOT = tmp_path
    content.fill(tmp_path)
    return tmp_path


def names(client: Client, **filters: str) -> list[str]:
    return sorted(row.name for row in client.get(list_of(Resource, **filters)).context["cl"].result_list)


def test_a_test_says_on_the_page_what_was_done_and_found(cast: Cast, staff: Client, store: Path) -> None:
    for name, found in (("finance", "It can be reached."), ("sales", "It can’t be reached: nothing is there")):
        row = cast.resource(name=name)
        page = staff.post(f"{page_of(row).removesuffix('change/')}act/check/", follow=True).content.decode()
        done = f"Checked whether the folder {row.locator} exists and whether it has the two folders of a Maildir."
        assert done in page
        assert "No content was read." in page
        assert found in page


def test_a_resource_that_is_not_tested_has_no_button(cast: Cast, staff: Client) -> None:
    row = cast.resource()
    assert "Test this resource" in staff.get(page_of(row)).content.decode()
    operations.save_resource(resource_id=row.pk, is_active=False, actor=cast.as_("stella"))
    assert "Test this resource" not in staff.get(page_of(row)).content.decode()


def test_several_resources_are_tested_from_the_list_and_filtered_by_the_result(
    cast: Cast, staff: Client, store: Path
) -> None:
    here, gone = cast.resource(), cast.resource(name="sales")
    assert names(staff, reached="never") == names(staff)
    keys = [str(here.pk), str(gone.pk)]
    body = {"action": "check", "_selected_action": keys, "index": "0"}
    assert (
        "2 resources tested: 1 can be reached, 1 can’t be reached."
        in staff.post(list_of(Resource), body, follow=True).content.decode()
    )
    assert (names(staff, reached="yes"), names(staff, reached="no")) == ([here.name], [gone.name])
    assert not {here.name, gone.name} & set(names(staff, reached="never", tenant=str(cast.contoso.pk)))
    tested = AuditEntry.objects.filter(event="resource.checked").values_list("subject_id", "actor_name")
    assert sorted(tested) == sorted((key, "Stella Test") for key in keys)


def test_an_old_result_is_shown_as_unknown(cast: Cast, staff: Client, store: Path) -> None:
    row = operations.check_resource(cast.resource().pk, actor=cast.as_("stella"))
    assert "not tested since" not in staff.get(page_of(row)).content.decode()
    assert (names(staff, reached="yes"), names(staff, reached="old")) == ([row.name], [])
    Resource.objects.filter(pk=row.pk).update(checked_at=clock.now() - dt.timedelta(days=2, minutes=1))
    assert "not tested since" in staff.get(page_of(row)).content.decode()
    assert "not tested since" in staff.get(list_of(Resource)).content.decode()
    assert (names(staff, reached="yes"), names(staff, reached="old")) == ([], [row.name])


def test_after_a_change_the_record_shows_no_old_result(cast: Cast, staff: Client, store: Path) -> None:
    cast.peaceful()
    row = operations.check_resource(cast.resource(name="sales").pk, actor=cast.as_("stella"))
    assert "Compare the locator" in staff.get(page_of(row)).content.decode()
    operations.save_resource(resource_id=row.pk, actor=cast.as_("stella"), locator="contoso/finance-2")
    page = staff.get(page_of(row)).content.decode()
    assert "changed since the last test" in page
    assert "Compare the locator" not in page
    assert "no, nothing is there" not in page


def test_the_first_page_counts_them_and_warns_of_new_ones(cast: Cast, staff: Client, store: Path, travel: Any) -> None:
    assert (tiles(staff)[TILE].figure, tiles(staff)[TILE].alarm) == ("0", "")
    start = travel.freeze()
    for name in ("finance", "sales"):
        operations.check_resource(cast.resource(name=name).pk, actor=cast.as_("stella"))
    assert tiles(staff)[TILE].figure == "1"
    assert tiles(staff)[TILE].alarm.startswith("1 began to fail")
    assert tiles(staff)[TILE].url == list_of(Resource, reached="no")
    travel.to(start + dt.timedelta(hours=11))
    assert tiles(staff)[TILE].alarm
    Resource.objects.exclude(check_problem="").update(check_failing_since=start - dt.timedelta(days=2))
    assert (tiles(staff)[TILE].figure, tiles(staff)[TILE].alarm) == ("1", "")
    Resource.objects.exclude(check_problem="").update(is_active=False)
    assert tiles(staff)[TILE].figure == "0"


def test_the_list_shows_what_is_broken_where_and_since_when(cast: Cast, staff: Client, store: Path) -> None:
    row = operations.check_resource(cast.resource(name="sales").pk, actor=cast.as_("stella"))
    page = staff.get(list_of(Resource, reached="no")).content.decode()
    assert page.index(">Can be reached") < page.index("Locator") < page.rindex("Tenant"), "in this order"
    assert row.locator in page
    assert "no, nothing is there that the service’s connector can serve (since " in page
    other = Resource.objects.exclude(service=row.service_id).first()
    assert other is not None
    assert names(staff, reached="no", service=str(row.service_id)) == [row.name]
    assert names(staff, reached="no", service=str(other.service_id)) == []
