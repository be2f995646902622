"""The acts of the guided set-up: a test mail, and the proofs that the keys are stored where people will find them."""

from __future__ import annotations

import hashlib

from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from audit_app.models import LogKey
from requests_app.domain import limits, recovery
from requests_app.domain.actors import Actor
from requests_app.domain.acts.guide import (
    CONFIRM_KEY_COPY,
    CONFIRM_LOG_KEY,
    CONFIRM_RECOVERY_KEY,
    LOG_KEY_COPY_CONFIRMED,
    LOG_KEY_STORED,
    MAIL_TESTED,
    RECOVERY_KEY_CONFIRMED,
    SEND_TEST_MAIL,
)
from requests_app.domain.errors import TooMany, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity import guesses
from requests_app.messages.mails import trial
from requests_app.models import Installation, RecoveryKey, Tenant
from requests_app.operations._change import Step
from requests_app.operations._perform import perform


def send_test_mail(*, actor: Actor) -> trial.Answer:
    """Send a mail to the actor's own address directly through the mail server, and return the server's answer.

    A failure is a result, and not an error: it is recorded, too. Only an answer of a mail server proves that mail
    works, and the first such answer is stored.
    """
    # The mail is sent before the act begins: the server may take its time, and the act holds its turn at the log. For
    # everybody else nothing is sent. The act below refuses them, and records that.
    answer = _tested(actor) if actor.is_staff else None
    with perform(SEND_TEST_MAIL, actor=actor, find=_installation) as current:
        assert answer is not None
        row: Installation = current.row
        if answer.proves_mail and row.mail_tested_at is None:
            row.mail_tested_at = current.at
            row.save(update_fields=["mail_tested_at"])
        problem = f"{answer.problem} {answer.numbers}".strip() if answer.problem else ""
        detail = {"to": answer.to, "answer": answer.numbers, "problem": problem, "is_file": answer.is_file}
        current.witness(MAIL_TESTED, detail=detail, text=answer.to)
    return answer


def _tested(actor: Actor) -> trial.Answer:
    if not guesses.at_test_mail(actor.person).count():
        raise TooMany(_("You sent several test mails in the last minutes. Try again in five minutes."))
    return trial.send(actor.email)


def confirm_key_copy(*, characters: str, actor: Actor) -> Installation:
    """Store that somebody has compared the encrypted copy of the log's key with its fingerprint."""

    def state(current: Step) -> None:
        if not current.row.key_copy_hash:
            raise WrongState(_("There is no copy of the log’s key yet. Make one first."))

    attempt = _counted("key-copy", actor)
    with perform(
        CONFIRM_KEY_COPY,
        actor=actor,
        inputs={"characters": characters},
        find=_installation,
        state=state,
        check=lambda current: _require_ending(current, [current.row.key_copy_hash]),
    ) as current:
        row: Installation = current.row
        row.key_copy_confirmed_at = current.at
        row.save(update_fields=["key_copy_confirmed_at"])
        current.witness(LOG_KEY_COPY_CONFIRMED, detail={"copy": row.key_copy_hash})
    attempt.give_back()
    return row


def confirm_recovery_key(tenant_id: object, *, characters: str, actor: Actor) -> RecoveryKey:
    """Store that an administrator still has the recovery key, because they know its last four characters."""
    found: list[RecoveryKey] = []

    def state(current: Step) -> None:
        row = current.row.recovery_keys.live().locked().first()
        if row is None:
            raise WrongState(_("You have no recovery key. Make one first."))
        if not row.ending_hash:
            raise WrongState(_("This recovery key is from an earlier version, so it can’t be checked. Make a new one."))
        found.append(row)

    def check(current: Step) -> None:
        ending = recovery.ending_of(current.inputs["characters"])
        if not constant_time_compare(recovery.ending_hashed(found[0].pk, ending), found[0].ending_hash):
            _refuse(current)

    attempt = _counted("recovery-key", actor)
    with perform(
        CONFIRM_RECOVERY_KEY, tenant_id, actor=actor, inputs={"characters": characters}, state=state, check=check
    ) as current:
        [row] = found
        row.confirmed_at = current.at
        row.save(update_fields=["confirmed_at"])
        current.witness(RECOVERY_KEY_CONFIRMED, detail={"key": str(row.pk)})
    attempt.give_back()
    return row


def confirm_log_key(tenant_id: object, *, characters: str, actor: Actor) -> Tenant:
    """Store that an administrator has compared their own copy of the log's public key with its fingerprint."""
    fingerprints: list[str] = []

    def state(current: Step) -> None:
        fingerprints.extend(fingerprint(bytes(public)) for public in LogKey.objects.values_list("pk", flat=True))
        if not fingerprints:
            raise WrongState(_("No entry of this log has been signed yet, so there is no key to compare."))

    attempt = _counted("log-key", actor)
    with perform(
        CONFIRM_LOG_KEY,
        tenant_id,
        actor=actor,
        inputs={"characters": characters},
        state=state,
        check=lambda current: _require_ending(current, fingerprints),
    ) as current:
        tenant: Tenant = current.row
        tenant.log_key_stored_at = current.at
        tenant.save(update_fields=["log_key_stored_at"])
        entered = _plain(current.inputs["characters"])
        [key] = [each for each in fingerprints if _ends_with(each, entered)][:1]
        current.witness(LOG_KEY_STORED, detail={"key": key})
    attempt.give_back()
    return tenant


def fingerprint(public: bytes) -> str:
    """Return the fingerprint of a public key of the log: SHA-256 over its 32 bytes, in hexadecimal digits."""
    return hashlib.sha256(public).hexdigest()


def _installation(current: Step, _row_id: object) -> Installation:
    row, _is_new = Installation.objects.select_for_update().get_or_create(pk=1)
    current.concerns("installation", row, PROVIDER_LOG)
    return row


def _counted(what: str, actor: Actor) -> guesses.Attempt:
    """Count one guess. Raise TooMany, before anything is compared, if the person has guessed too often.

    It is counted before the act begins, because it must be counted even if the act is refused.
    """
    attempt = guesses.at_characters(what, actor.person)
    if not attempt.count():
        guesses.security_log.warning("ending.too_many", what=what, person=str(actor.person))
        raise TooMany(_("The characters were wrong too often. Try again in 15 minutes."))
    return attempt


def _require_ending(current: Step, values: list[str]) -> None:
    entered = _plain(current.inputs["characters"])
    if not any(_ends_with(value, entered) for value in values):
        _refuse(current)


def _plain(characters: str) -> str:
    """Return the hexadecimal digits that somebody entered. A fingerprint may be shown in groups."""
    return "".join(characters.lower().split()).replace("-", "").replace(":", "")


def _ends_with(value: str, entered: str) -> bool:
    """Return whether the entered characters are the end of the value: the last four of them, or all of it."""
    return len(entered) >= limits.ENDING and constant_time_compare(value[-len(entered) :], entered)


def _refuse(current: Step) -> None:
    guesses.security_log.warning("ending.wrong", act=current.action, person=str(current.actor.person))
    raise Unacceptable(
        _("These are not the last four characters. Compare them with what you have stored, and try again."),
        field="characters",
    )
