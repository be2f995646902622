"""The plan that a trial begins with: made once, before anybody can sign in, and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit_app.models import AuditEntry
from lockbox_site.installing import steps
from requests_app import operations
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.management._logs import actor
from requests_app.models import Membership, Person, Plan, Resource, Tenant
from requests_app.operations._change import PROVIDER_LOG
from requests_app.queries.installation import MAIL_FILES
from tests.cast import Cast
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db


@pytest.fixture
def _begun(cast: Cast, settings: Any) -> None:
    """Make a trial that nobody has begun."""
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False
    Person.objects.get_queryset().update(is_staff=False)
    for model in (Membership, Resource, Tenant, Plan):
        model.objects.all().delete()


def make() -> None:
    _what, act = steps.trial_plan()
    act()


@pytest.mark.usefixtures("_begun")
def test_a_trial_begins_with_one_plan_that_includes_lockbox() -> None:
    make()
    make()
    plan = Plan.objects.get()
    assert (plan.name, plan.includes_lockbox) == ("Standard", True)
    [entry] = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event="plan.changed")
    written = json.loads(bytes(entry.canonical))
    assert (entry.door, written["subject"]["id"]) == ("command", str(plan.pk))


@pytest.mark.usefixtures("_begun")
@pytest.mark.parametrize("why", ["production", "address", "mail", "plan", "staff"])
def test_it_is_made_only_in_a_trial_that_nobody_has_begun(cast: Cast, settings: Any, why: str) -> None:
    if why == "production":
        settings.PRODUCTION = True
    elif why == "address":
        settings.BASE_URL = "https://lockbox.example"
    elif why == "mail":
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    elif why == "plan":
        Plan.objects.create(name="Mine", includes_lockbox=False)
    else:
        Person.objects.get_queryset().filter(pk=cast.stella.pk).update(is_staff=True)
    before = list(Plan.objects.values_list("name", flat=True))
    with nothing_happens():
        make()
    with nothing_happens(), pytest.raises(WrongState):
        operations.make_trial_plan(actor=actor("run"))
    assert list(Plan.objects.values_list("name", flat=True)) == before


@pytest.mark.usefixtures("_begun")
@pytest.mark.parametrize("name", ["stella", "priya", "ines"])
def test_only_the_command_makes_it(cast: Cast, name: str) -> None:
    with pytest.raises(NotAllowed):
        operations.make_trial_plan(actor=cast.as_(name))
    assert not Plan.objects.exists()
