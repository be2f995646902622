"""Adding and removing a passkey: each tenant's log gets the key and people get mails, or nothing is done."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.db import DatabaseError

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import base64url, errors
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import OutboxMessage, Passkey, Person
from requests_app.platform import webauthn
from tests.cast import Cast, events_in, outbox_topics
from tests.passkeys import ORIGIN, enrolled, options_for

pytestmark = pytest.mark.django_db
CHALLENGE = bytes(range(32))


def records_of(event: str) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(event=event).order_by("tenant_id", "seq")
    return [json.loads(bytes(row.canonical)) for row in rows]


def test_the_entry_is_the_record_of_the_enrolment(cast: Cast) -> None:
    row, device = enrolled(cast, "ada", is_backup_eligible=True, is_backed_up=True)
    [entry] = AuditEntry.objects.filter(tenant_id=cast.contoso.pk)
    assert (entry.event, entry.subject_type, entry.subject_id) == ("passkey.enrolled", "passkey", str(row.pk))
    assert row.enrolled == {str(cast.contoso.pk): {"seq": 0, "leaf": bytes(entry.leaf_hash).hex()}}
    [shown] = records_of("passkey.enrolled")
    key = base64.b64encode(webauthn.spki_of(bytes(row.public_key))).decode()
    assert shown["detail"] == {
        "person": str(cast.ada.pk),
        "name": "Ada Test",
        "email": cast.ada.email,
        "side": "customer",
        "passkey": str(row.pk),
        "passkey_name": "Phone",
        "credential": base64url.to_text(device.credential_id),
        "public_key": key,
        "algorithm": "ES256",
        "rp_id": "localhost",
        "origin": ORIGIN,
        "aaguid": "00000000-0000-0000-0000-000000000000",
        "backup_eligible": True,
        "backed_up": True,
    }
    assert outbox_topics() == ["notify.passkeys_changed"]
    [message] = OutboxMessage.objects.all()
    assert message.payload["audiences"] == ["account_holder", "customer"]


def test_somebody_of_two_tenants_is_in_both_logs_and_the_providers_people_in_theirs(cast: Cast) -> None:
    cast.fabrikam.memberships.create(person=cast.ada, role="approver", given_at=cast.fabrikam.created_at)
    row, _device = enrolled(cast, "ada")
    assert events_in(cast.contoso) == events_in(cast.fabrikam) == ["passkey.enrolled"]
    assert row.enrolled.keys() == {str(cast.contoso.pk), str(cast.fabrikam.pk)}
    operations.remove_passkey(row.pk, actor=cast.as_("ada"))
    assert events_in(cast.contoso) == events_in(cast.fabrikam) == ["passkey.enrolled", "passkey.removed"]
    about = set(AuditEntry.objects.values_list("subject_type", "subject_id"))
    assert about == {("passkey", str(row.pk))}
    added, _device = enrolled(cast, "pat")
    assert (added.tenant_id, list(added.enrolled)) == (None, [str(PROVIDER_LOG)])
    assert outbox_topics() == ["notify.passkeys_changed"] * 5


def test_the_interfaces_data_is_stored_with_the_passkey_or_not_at_all(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    remaining: list[Passkey] = []
    device = enrolled(cast, "ada")[1]
    device.key, device.credential_id = None, b"another"

    def enrol(keep: Any) -> Passkey:
        answer = device.create(options_for(cast, "ada", CHALLENGE))
        return operations.enrol_passkey(
            actor=cast.as_("ada"), response=answer, challenge=CHALLENGE, name="Key", keep=keep
        )

    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError

    with pytest.raises(errors.StoreUnavailable):
        enrol(fail)
    with monkeypatch.context() as broken:
        broken.setattr(recorder, "record", fail)
        with pytest.raises(errors.StoreUnavailable):
            enrol(remaining.append)
    assert (Passkey.objects.count(), events_in(cast.contoso), remaining) == (1, ["passkey.enrolled"], [])
    row = enrol(remaining.append)
    operations.remove_passkey(row.pk, actor=cast.as_("ada"), keep=remaining.append)
    assert [each.pk for each in remaining] == [row.pk, row.pk]
    assert (remaining[0].removed_at, remaining[1].is_live) == (None, False)


def test_a_stolen_session_enrols_and_removes_nothing(cast: Cast) -> None:
    """A thief who added a passkey could later sign in the owner's name."""
    row, device = enrolled(cast, "ada")
    device.key, device.credential_id = None, b"mine"
    answer = device.create(options_for(cast, "ada", CHALLENGE))
    stale = cast.as_("ada", fresh=False)
    with pytest.raises(errors.StepUpRequired):
        operations.enrol_passkey(actor=stale, response=answer, challenge=CHALLENGE, name="Mine")
    with pytest.raises(errors.StepUpRequired):
        operations.remove_passkey(row.pk, actor=stale)
    assert Passkey.objects.live().get() == row
    assert events_in(cast.contoso) == ["passkey.enrolled"]
    assert len(outbox_topics()) == 1


def test_invalid_passkeys_are_not_added(cast: Cast) -> None:
    def enrol(who: str, device: Any, **given: Any) -> None:
        given = {"challenge": CHALLENGE, "name": "Phone", **given}
        operations.enrol_passkey(
            actor=cast.as_(who), response=device.create(options_for(cast, who, CHALLENGE)), **given
        )

    row, device = enrolled(cast, "ada")
    before = events_in(cast.contoso)
    with pytest.raises(errors.WrongState):
        enrol("alan", device)
    device.credential_id = b"another"
    with pytest.raises(errors.Unacceptable):
        enrol("ada", device, name=" ")
    with pytest.raises(errors.PasskeyWrongChallenge):
        enrol("ada", device, challenge=bytes(32))
    Person.objects.get_queryset().filter(pk=cast.alan.pk).update(is_active=False)
    with pytest.raises(errors.NotAllowed):
        enrol("alan", device)
    for _ in range(9):
        enrolled(cast, "ada")
    with pytest.raises(errors.Unacceptable):
        enrol("ada", device)
    assert events_in(cast.contoso) == [*before, *["act.refused"] * 3, *["passkey.enrolled"] * 9]
    assert Passkey.objects.filter(person=cast.ada).count() == 10


def test_only_its_holder_removes_a_single_passkey(cast: Cast) -> None:
    """Others can only reset all second factors of the owner together (test_resets)."""
    of_ada, of_pat = enrolled(cast, "ada")[0], enrolled(cast, "pat")[0]
    for name in ("frida", "finn", "priya", "pat"):
        with pytest.raises(errors.NotFound):
            operations.remove_passkey(of_ada.pk, actor=cast.as_(name))
    for row, names in ((of_ada, ("alan", "otto", "mia", "ines", "stella")), (of_pat, ("stella",))):
        for name in names:
            with pytest.raises(errors.NotAllowed):
                operations.remove_passkey(row.pk, actor=cast.as_(name))
    assert (Passkey.objects.live().count(), records_of("passkey.removed")) == (2, [])
    subjects = [(shown["tenant"], shown["subject"]) for shown in records_of("act.refused")]
    of_customer, of_provider = ({"type": "passkey", "id": str(row.pk)} for row in (of_ada, of_pat))
    assert subjects.count((str(cast.contoso.pk), of_customer)) == 5
    assert subjects.count((str(PROVIDER_LOG), of_provider)) == 1
    operations.remove_passkey(of_ada.pk, actor=cast.as_("ada"))
    operations.remove_passkey(of_pat.pk, actor=cast.as_("pat"))
    with pytest.raises(errors.WrongState):
        operations.remove_passkey(of_ada.pk, actor=cast.as_("ada"))
    assert [shown["actor"]["name"] for shown in records_of("passkey.removed")] == ["Pat Test", "Ada Test"]
    assert not Passkey.objects.live().exists()
