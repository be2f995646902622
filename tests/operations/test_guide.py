"""The acts of the guided set-up: who may do them, how often somebody may guess, and what each leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import NotAllowed, NotFound, TooMany, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import Installation, OutboxMessage, RecoveryKey, Tenant
from tests.acts.guide import COPY_HASH, _copied, _log_key, _recovery_key
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db


def provider_events() -> list[str]:
    return list(AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("seq").values_list("event", flat=True))


# --- The test mail --------------------------------------------------------------------------------------------


def test_a_test_mail_goes_to_the_person_who_asked_and_links_only_to_the_set_up(cast: Cast, settings: Any) -> None:
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    [sent] = mail.outbox
    assert (sent.to, answer.problem) == ([cast.stella.email], "")
    assert sent.body.count("http") == 1
    assert f"{settings.BASE_URL}/admin/set-up/" in sent.body
    assert OutboxMessage.objects.count() == 0, "it does not wait in the outbox"
    assert provider_events() == ["mail.tested"]


def test_only_the_first_success_is_stored(cast: Cast, travel: Any) -> None:
    travel.freeze()
    operations.send_test_mail(actor=cast.as_("stella"))
    first = Installation.objects.get().mail_tested_at
    travel.by(minutes=1)
    operations.send_test_mail(actor=cast.as_("stella"))
    assert Installation.objects.get().mail_tested_at == first
    assert provider_events() == ["mail.tested"] * 2


def test_a_mail_in_a_file_is_no_proof_that_mail_works(cast: Cast, settings: Any, tmp_path: Any) -> None:
    settings.EMAIL_BACKEND = "requests_app.messages.mails.files.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.is_file, answer.place) == (True, str(tmp_path))
    assert len(list(tmp_path.glob("*.eml"))) == 1
    assert Installation.objects.get().mail_tested_at is None
    assert provider_events() == ["mail.tested"]


@pytest.mark.parametrize("name", ["priya", "pat", "ada", "ines"])
def test_nobody_else_sends_a_test_mail(cast: Cast, name: str) -> None:
    with pytest.raises(NotAllowed):
        operations.send_test_mail(actor=cast.as_(name))
    assert mail.outbox == []
    assert not Installation.objects.filter(mail_tested_at__isnull=False).exists()
    assert "mail.tested" not in provider_events()


def test_test_mails_are_limited(cast: Cast, travel: Any) -> None:
    travel.freeze()
    for _time in range(5):
        operations.send_test_mail(actor=cast.as_("stella"))
    with pytest.raises(TooMany):
        operations.send_test_mail(actor=cast.as_("stella"))
    assert (len(mail.outbox), provider_events()) == (5, ["mail.tested"] * 5)
    travel.by(minutes=5)
    operations.send_test_mail(actor=cast.as_("stella"))
    assert len(mail.outbox) == 6


# --- The proofs that a key is stored --------------------------------------------------------------------------


def _of_copy(cast: Cast, characters: str, name: str = "stella") -> None:
    operations.confirm_key_copy(characters=characters, actor=cast.as_(name))


def _of_recovery_key(cast: Cast, characters: str, name: str = "ines") -> None:
    operations.confirm_recovery_key(cast.contoso.pk, characters=characters, actor=cast.as_(name))


def _of_log_key(cast: Cast, characters: str, name: str = "ines") -> None:
    operations.confirm_log_key(cast.contoso.pk, characters=characters, actor=cast.as_(name))


def _stored_at() -> list[Any]:
    """Return the three facts that these acts store."""
    return [
        Installation.objects.filter(key_copy_confirmed_at__isnull=False).exists(),
        RecoveryKey.objects.filter(confirmed_at__isnull=False).exists(),
        Tenant.objects.filter(log_key_stored_at__isnull=False).exists(),
    ]


Prove = Callable[..., None]
PROOFS: list[Any] = [
    pytest.param(_copied, _of_copy, "log_key.copy_confirmed", id="copy"),
    pytest.param(_recovery_key, _of_recovery_key, "recovery_key.confirmed", id="recovery-key"),
    pytest.param(_log_key, _of_log_key, "log_key.stored", id="log-key"),
]


@pytest.mark.parametrize(("prepare", "prove", "event"), PROOFS)
def test_the_last_characters_prove_it_in_any_spelling(
    cast: Cast, prepare: Callable[[Cast], str], prove: Prove, event: str
) -> None:
    ending = prepare(cast)
    prove(cast, f" {ending[:2]} {ending[2:].upper()} ")
    events = provider_events() if prove is _of_copy else events_in(cast.contoso)
    assert events[-1] == event
    assert sum(_stored_at()) == 1
    for entry in AuditEntry.objects.filter(event="recovery_key.confirmed"):
        assert ending not in bytes(entry.canonical).decode()


@pytest.mark.parametrize(("prepare", "prove", "event"), PROOFS)
@pytest.mark.parametrize("characters", ["", "a", "0000", "zzzz", "é€ß\u202e", " - - "])
def test_other_characters_prove_nothing(
    cast: Cast, prepare: Callable[[Cast], str], prove: Prove, event: str, characters: str
) -> None:
    ending = prepare(cast)
    before = AuditEntry.objects.count()
    with pytest.raises(Unacceptable) as refused:
        prove(cast, characters if characters != ending else "1111")
    assert refused.value.field == "characters"
    assert (_stored_at(), AuditEntry.objects.count()) == ([False] * 3, before)


@pytest.mark.parametrize(("prepare", "prove", "event"), PROOFS)
def test_fewer_right_characters_prove_nothing(
    cast: Cast, prepare: Callable[[Cast], str], prove: Prove, event: str
) -> None:
    ending = prepare(cast)
    with pytest.raises(Unacceptable):
        prove(cast, f"- - {ending[-2:]}")
    assert _stored_at() == [False] * 3


@pytest.mark.parametrize(("prepare", "prove", "event"), PROOFS)
def test_guesses_are_limited_even_for_the_right_characters(
    cast: Cast, travel: Any, prepare: Callable[[Cast], str], prove: Prove, event: str
) -> None:
    ending = prepare(cast)
    travel.freeze()
    for _time in range(5):
        with pytest.raises(Unacceptable):
            prove(cast, "zzzz")
    with pytest.raises(TooMany):
        prove(cast, ending)
    assert _stored_at() == [False] * 3
    travel.by(minutes=15)
    prove(cast, ending)
    assert sum(_stored_at()) == 1


def test_right_characters_do_not_count_as_a_guess(cast: Cast) -> None:
    ending = _copied(cast)
    for _time in range(7):
        _of_copy(cast, ending)


@pytest.mark.parametrize(("prepare", "prove", "event"), PROOFS)
def test_nobody_else_proves_it(cast: Cast, prepare: Callable[[Cast], str], prove: Prove, event: str) -> None:
    ending = prepare(cast)
    allowed = "stella" if prove is _of_copy else "ines"
    for name in {"stella", "ines", "ada", "otto", "pat"} - {allowed}:
        with pytest.raises((NotAllowed, NotFound)):
            prove(cast, ending, name)
    for name in ("finn", "frida"):
        with pytest.raises((NotAllowed, NotFound)) as refused:
            prove(cast, ending, name)
        assert prove is _of_copy or isinstance(refused.value, NotFound)
    assert _stored_at() == [False] * 3


def test_without_a_key_there_is_nothing_to_prove(cast: Cast) -> None:
    for prove in (_of_copy, _of_recovery_key, _of_log_key):
        with pytest.raises(WrongState):
            prove(cast, "a1b2")
    assert _stored_at() == [False] * 3


def test_a_new_recovery_key_must_be_confirmed_again(cast: Cast) -> None:
    _of_recovery_key(cast, _recovery_key(cast))
    old = RecoveryKey.objects.live().get()
    ending = _recovery_key(cast)
    assert RecoveryKey.objects.live().get().confirmed_at is None
    _of_recovery_key(cast, ending)
    old.refresh_from_db()
    assert old.ended_at is not None
    assert RecoveryKey.objects.live().get().confirmed_at is not None


def test_a_recovery_key_from_an_earlier_version_can_not_be_confirmed(cast: Cast) -> None:
    ending = _recovery_key(cast)
    RecoveryKey.objects.update(ending_hash="")
    with pytest.raises(WrongState):
        _of_recovery_key(cast, ending)
    assert _stored_at() == [False] * 3


def test_the_whole_fingerprint_is_accepted_too(cast: Cast) -> None:
    _copied(cast)
    _of_copy(cast, ":".join(COPY_HASH[at : at + 4] for at in range(0, 64, 4)))
    assert _stored_at() == [True, False, False]
