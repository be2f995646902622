"""Checks a person's proof of identity for the interfaces. An operation learns only the time of the proof."""

from __future__ import annotations

from django.db import transaction

from requests_app.domain import clock
from requests_app.domain.errors import PasskeyRefused, PasskeyUnknown
from requests_app.identity import challenges, factors, guesses
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.platform import webauthn


def is_this_person(person: Person, password: str, code: str, *, ip: str = "", is_password_known: bool = False) -> bool:
    """Return whether the password is right and, if the person has a second factor, the code too.

    The code is checked, and used up, only after a right password. So CodeAlreadyUsed is raised only for somebody who
    knows the password. With `is_password_known`, the caller has just checked the password, and `password` can be empty.
    Raise TooManyGuesses if a limit is reached.
    """

    def look() -> bool:
        knows = is_password_known and not password and not person.signs_in_elsewhere()
        if not knows and not person.check_password(password):
            return False
        return not person.has_second_factor or factors.is_code(person, code, at=clock.now())

    return guesses.is_right(person, look, ip=ip)


def is_this_persons_passkey(person: Person, answer: object, *, purpose: Purpose, ip: str = "") -> None:
    """Raise PasskeyRefused unless a passkey of this person gave the answer.

    Raise TooManyGuesses if a limit is reached.
    """
    refused: list[PasskeyRefused] = []

    def look() -> bool:
        try:
            passkey_of(answer, purpose=purpose, person=person)
        except PasskeyRefused as refusal:
            refused.append(refusal)
        return not refused

    if not guesses.is_right(person, look, ip=ip):
        raise refused[0]


def passkey_of(answer: object, *, purpose: Purpose, person: Person | None = None) -> Passkey:
    """Return the passkey of this site that gave the answer. With `person`, it must be a passkey of this person.

    Otherwise raise a subclass of PasskeyRefused. The passkey's row is locked. So if two answers have the same counter
    or the same challenge, only one of them is accepted.
    """
    at = clock.now()
    challenge = challenges.read(answer, purpose, *([person.pk] if person else []), at=at)
    with own_account(), transaction.atomic():
        rows = Passkey.objects.live().of_this_site().filter(person__is_active=True)
        rows = rows.filter(person=person) if person else rows
        row: Passkey | None = (
            rows.select_related("person").locked().filter(credential_id=webauthn.credential_of(answer)).first()
        )
        # If the caller does not know the person, the device names the person. It must not name another person (section
        # 7.2, step 6).
        if row is None or (person is None and webauthn.user_of(answer) != row.person_id.bytes):
            raise PasskeyUnknown
        asserted = webauthn.verify_assertion(
            answer,
            challenge=challenge,
            party=webauthn.own_party(),
            key=webauthn.Key(
                credential_id=bytes(row.credential_id),
                public_key=bytes(row.public_key),
                sign_count=row.sign_count,
                is_backup_eligible=row.is_backup_eligible,
            ),
        )
        challenges.spend(challenge, at=at)
        row.sign_count, row.is_backed_up = asserted.sign_count, asserted.is_backed_up
        row.save(update_fields=["sign_count", "is_backed_up"])
        factors.note_passkey_used(row, at=at)
    return row
