"""Tests races about witnesses on PostgreSQL.

A rule about cosignatures is added while somebody approves an access request. Two workers ask one witness together.
"""

from __future__ import annotations

import threading
from functools import partial

import pytest

from audit_app import cosigning
from audit_app.models import AuditEntry, Cosignature, Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import LogNotCosigned, WrongState
from requests_app.models import AccessRequest, Grant, Tenant
from tests.cast import Cast
from tests.concurrency.test_races import at_once
from tests.witness import SmallWitness, WitnessAnswer, sign

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def register(world: Cast, small: SmallWitness) -> Witness:
    url = "https://witness.contoso.example/"
    return operations.add_witness(world.contoso.pk, vkey=small.vkey, url=url, actor=world.as_("ines"))


def _seq(world: Cast, event: str) -> int:
    entry = AuditEntry.objects.filter(tenant_id=world.contoso.pk, event=event).order_by("-seq").first()
    assert entry is not None
    return entry.seq


def test_a_rule_that_is_set_against_an_approval_applies_or_came_later(world: Cast) -> None:
    """Either the rule or the approval locks the log first.

    After the rule, no window opens without a recent cosignature.
    """
    register(world, SmallWitness())
    ines = world.as_("ines")
    for _ in range(8):
        row = world.confirmed()
        ada = world.as_("ada")
        words, bound = at_once(
            partial(operations.approve_as_customer, row.pk, actor=ada),
            partial(operations.set_cosigning, world.contoso.pk, hours=6, actor=ines),
        )
        assert isinstance(bound, Tenant), bound
        row.refresh_from_db()
        if isinstance(words, AccessRequest):
            assert row.state == "OPEN"
            assert _seq(world, "access_request.approved_by_customer") < _seq(world, "log.policy_changed")
        else:
            assert isinstance(words, LogNotCosigned), words
            assert row.state == "PENDING_CUSTOMER"
            assert not Grant.objects.filter(access_request=row).exists()
            operations.deny_as_customer(row.pk, actor=ada, note="Not now.")
        operations.set_cosigning(world.contoso.pk, hours=None, actor=ines)


def test_the_rule_and_the_removal_of_the_last_witness_never_both(world: Cast) -> None:
    ines = world.as_("ines")
    for _ in range(8):
        witness = register(world, SmallWitness())
        results = at_once(
            partial(operations.set_cosigning, world.contoso.pk, hours=6, actor=ines),
            partial(operations.remove_witness, world.contoso.pk, witness.pk, actor=ines),
        )
        world.contoso.refresh_from_db()
        assert not (world.contoso.cosigned_within and not Witness.objects.exists()), results
        if world.contoso.cosigned_within:
            assert isinstance(results[1], WrongState)
            operations.set_cosigning(world.contoso.pk, hours=None, actor=ines)
            operations.remove_witness(world.contoso.pk, witness.pk, actor=ines)


def test_two_workers_ask_a_witness_once(world: Cast) -> None:
    small, calls, lock = SmallWitness(), [], threading.Lock()
    register(world, small)
    sign(world.contoso.pk)

    def post(url: str, body: bytes) -> WitnessAnswer:
        with lock:
            calls.append(url)
        return small.post(url, body)

    collect = partial(cosigning.collect, clock.now, post)
    rounds = at_once(*[collect] * 6)
    assert sum(each.cosigned for each in rounds) == len(calls) == 1
    assert Cosignature.objects.count() == 1
