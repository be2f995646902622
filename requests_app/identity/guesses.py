"""Limits how often somebody can guess a password, a code or a key, or whether an address has an account.

A guess is counted in the database, under a lock, before it is checked. So even if 200 guesses arrive at the
same time, in any number of processes, only the allowed number is checked. A right guess is subtracted
afterwards.

The sign-in, the passkeys, the reset of passwords and the other interfaces each have a count of their own.
If they had one count, somebody who knows only a person's address could send wrong passwords to the sign-in
until the person could no longer confirm their identity for a decision.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import cast

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils.crypto import salted_hmac

from requests_app.domain import clock
from requests_app.domain.errors import Busy, CodeAlreadyUsed, TooManyGuesses
from requests_app.models import Person, Tries

security_log = structlog.get_logger("security")


@dataclass(frozen=True)
class Limit:
    """How many guesses are checked in one period.

    The period begins with the first guess. After the last allowed guess, nothing is checked until the period is over.
    """

    most: int
    within: timedelta


#: The limits for one account, and for one network address with any account. An office may share one address.
OF_ACCOUNT = Limit(5, timedelta(minutes=5))
OF_ADDRESS = Limit(10, timedelta(minutes=1))
#: The limits for requests that send a mail. They also apply if the address is unknown.
OF_MAILS = Limit(5, timedelta(minutes=5))
MAILS_OF_ADDRESS = Limit(20, timedelta(minutes=1))
#: Each wrong recovery key also makes an entry in the provider's log.
RECOVERY_KEYS = Limit(5, timedelta(minutes=15))
#: The last characters of a secret or a fingerprint. Somebody who has it needs one guess, or two.
OF_CHARACTERS = Limit(5, timedelta(minutes=15))
#: The age at which a row is deleted. The longest of the periods above is over by then.
DELETED_AFTER = timedelta(days=1)
#: The part of an IPv6 address that identifies one customer. The customer can choose the rest (RFC 6177).
_IPV6_PREFIX = 64


class Attempt:
    """One guess, with its limits.

    It is counted under each of its subjects, for example the account and the network address. If one subject has
    reached its limit, the guess is counted under none.
    """

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.limits = limits
        #: When the period of each subject began, at the time when this guess was counted.
        self.since: dict[str, datetime] = {}
        #: The error to raise if the guess may not be checked.
        self.refusal: TooManyGuesses | None = None

    def count(self) -> bool:
        """Count the guess. Return False if it must not be checked, because a limit is reached."""
        at = clock.now()
        with transaction.atomic(durable=True):
            new = [Tries(subject=subject, since=at) for subject in sorted(self.limits)]
            Tries.objects.bulk_create(new, ignore_conflicts=True)
            # The rows are always locked in the same order, so that two guesses with the same subjects can't deadlock.
            rows = list(Tries.objects.select_for_update().filter(subject__in=self.limits).order_by("subject"))
            for row in rows:
                limit = self.limits[row.subject]
                # A guess that waited for the lock has an earlier time than the guess before it. That does not end the
                # period.
                if at >= row.since + limit.within:
                    row.since, row.count = at, 0
                if row.count >= limit.most:
                    self.refusal = TooManyGuesses(row.since + limit.within, at=at)
                    return False
                row.count += 1
            Tries.objects.bulk_update(rows, ["since", "count"])
            self.since = {row.subject: row.since for row in rows}
        return True

    def give_back(self) -> None:
        """Subtract the guess, because it was right, or because it was not checked.

        If a new period has begun meanwhile, nothing is subtracted.
        """
        if self.since:
            same = reduce(or_, (Q(subject=subject, since=since) for subject, since in self.since.items()))
            Tries.objects.filter(same, count__gt=0).update(count=F("count") - 1)


def at_sign_in(email: str, ip: str) -> Attempt:
    """Return the attempt for a password at the sign-in. There may be no account with this address."""
    return Attempt({_account("sign-in", email): OF_ACCOUNT, _address("sign-in", ip): OF_ADDRESS})


def at_passkey(ip: str) -> Attempt:
    """Return the attempt for a passkey at the sign-in.

    Only the network address limits it: the person is not known yet.
    """
    return Attempt({_address("passkey", ip): OF_ADDRESS})


def at_reset(email: str, ip: str) -> Attempt:
    """Return the attempt for a password reset, which sends a mail. Such an attempt is never given back."""
    return Attempt({_account("reset", email): OF_MAILS, _address("reset", ip): MAILS_OF_ADDRESS})


def at_recovery(ip: str) -> Attempt:
    """Return the attempt for a recovery key. Only the network address limits it: the tenant is not known yet."""
    return Attempt({_address("recovery", ip): RECOVERY_KEYS})


def at_characters(what: str, person_id: object) -> Attempt:
    """Return the attempt for the last characters of something that the person must have stored."""
    return Attempt({f"{what}:{person_id}": OF_CHARACTERS})


def at_test_mail(person_id: object) -> Attempt:
    """Return the attempt for a test mail, which keeps the mail server busy. Such an attempt is never given back."""
    return Attempt({f"test-mail:{person_id}": OF_MAILS})


def at_setup_link(ip: str) -> Attempt:
    """Return the attempt for the secret of a set-up link. Only the network address limits it."""
    return Attempt({_address("setup-link", ip): OF_ADDRESS})


def of_person(person: Person, ip: str = "") -> Attempt:
    """Return the attempt of a known person to prove their identity.

    All interfaces that ask for a proof count such attempts together.
    """
    limits = {f"person:{person.pk}": OF_ACCOUNT}
    return Attempt({**limits, _address("proof", ip): OF_ADDRESS} if ip else limits)


def is_right(person: Person, look: Callable[[], bool], *, ip: str = "") -> bool:
    """Count a guess at a person's proof of identity, and return what `look`, the check, returns.

    Raise TooManyGuesses, without calling `look`, if a limit is reached. If `look` raises CodeAlreadyUsed or Busy, the
    guess is subtracted, and the exception is raised.
    """
    attempt = of_person(person, ip)
    if not attempt.count():
        security_log.warning("step_up.too_many", person=str(person.pk))
        raise cast(TooManyGuesses, attempt.refusal)
    try:
        is_right = look()
    except CodeAlreadyUsed:
        attempt.give_back()
        security_log.info("step_up.code_already_used", person=str(person.pk))
        raise
    except Busy:
        # The guess was not checked.
        attempt.give_back()
        raise
    if is_right:
        attempt.give_back()
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False


def forgive_sign_in(email: str) -> None:
    """Delete the count of wrong passwords for this address at the sign-in.

    Call it after the person has set a new password through a link in a mail, so that they can sign in immediately.
    """
    Tries.objects.filter(subject=_account("sign-in", email)).delete()


def forget_old(at: datetime, *, limit: int = 1000) -> int:
    """Delete up to `limit` rows whose period is over. Return how many were deleted."""
    old = Tries.objects.filter(since__lt=at - DELETED_AFTER).values_list("pk", flat=True)[:limit]
    return Tries.objects.filter(pk__in=list(old)).delete()[0]


def _account(door: str, email: str) -> str:
    """Return the subject under which guesses at an entered address are counted.

    It contains only a hash, because people may enter their password as the address.
    """
    typed = salted_hmac("lockbox.guesses", email.strip().lower(), algorithm="sha256").hexdigest()
    return f"{door}:{typed[:48]}"


def _address(door: str, ip: str) -> str:
    return f"{door}:ip:{network_of(ip)}"


def network_of(ip: str) -> str:
    """Return the network that belongs to one caller: an IPv4 address, or the prefix of an IPv6 address."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:45]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False).network_address}/64"
    return str(address)
