"""Limits how often anything that can be guessed is tried: a password, a code, a key, who has an account.

A guess is counted before it is checked, under a lock and in the database. So of 200 guesses at once, in any number of
processes, no more than the limit are checked. A right one is given back.

Each door counts by itself. Otherwise somebody who knows only an address could send wrong passwords to the sign-in and
so keep the person from proving who they are where they decide.
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
    """The number of guesses in a period from the first one on. Further guesses are not checked until it is over."""

    most: int
    within: timedelta


#: About one account; and from one network address, whichever account is tried, as an office shares one address.
OF_ACCOUNT = Limit(5, timedelta(minutes=5))
OF_ADDRESS = Limit(10, timedelta(minutes=1))
#: Mails that are requested, whether the address is known or not.
OF_MAILS = Limit(5, timedelta(minutes=5))
MAILS_OF_ADDRESS = Limit(20, timedelta(minutes=1))
#: Each wrong recovery key is also an entry in the provider's log.
RECOVERY_KEYS = Limit(5, timedelta(minutes=15))
#: When a row is deleted; the longest period above is over by then.
DELETED_AFTER = timedelta(days=1)
#: The part of an IPv6 address that identifies one customer; they may choose the rest freely (RFC 6177).
_IPV6_PREFIX = 64


class Attempt:
    """One guess, counted under several subjects at once: under all of them, or under none if one is full."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.limits = limits
        #: When each subject's period began, as this guess was counted.
        self.since: dict[str, datetime] = {}
        #: Set if it may not be checked: what to say, and until when.
        self.refusal: TooManyGuesses | None = None

    def count(self) -> bool:
        """Count it, and return whether it may be checked."""
        at = clock.now()
        with transaction.atomic(durable=True):
            new = [Tries(subject=subject, since=at) for subject in sorted(self.limits)]
            Tries.objects.bulk_create(new, ignore_conflicts=True)
            # In the same order everywhere, so that two guesses that share subjects never deadlock.
            rows = list(Tries.objects.select_for_update().filter(subject__in=self.limits).order_by("subject"))
            for row in rows:
                limit = self.limits[row.subject]
                # A guess that waited for the lock has an earlier time than the one before; that ends no period.
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
        """Take it back, as it was right or no guess. A guess of a later period is not taken back instead."""
        if self.since:
            same = reduce(or_, (Q(subject=subject, since=since) for subject, since in self.since.items()))
            Tries.objects.filter(same, count__gt=0).update(count=F("count") - 1)


def at_sign_in(email: str, ip: str) -> Attempt:
    """Count a password for an address, whether it is known or not."""
    return Attempt({_account("sign-in", email): OF_ACCOUNT, _address("sign-in", ip): OF_ADDRESS})


def at_passkey(ip: str) -> Attempt:
    """Count a passkey at the sign-in. Its owner is known only once it is right."""
    return Attempt({_address("passkey", ip): OF_ADDRESS})


def at_reset(email: str, ip: str) -> Attempt:
    """Count a request for a reset mail; none is given back."""
    return Attempt({_account("reset", email): OF_MAILS, _address("reset", ip): MAILS_OF_ADDRESS})


def at_recovery(ip: str) -> Attempt:
    """Count a recovery key. Its owner is known only once it is right."""
    return Attempt({_address("recovery", ip): RECOVERY_KEYS})


def of_person(person: Person, ip: str = "") -> Attempt:
    """Count a proof by somebody who claims to be this person, for all doors together."""
    limits = {f"person:{person.pk}": OF_ACCOUNT}
    return Attempt({**limits, _address("proof", ip): OF_ADDRESS} if ip else limits)


def is_right(person: Person, look: Callable[[], bool], *, ip: str = "") -> bool:
    """Return what `look` says. Raises TooManyGuesses instead of checking one wrong guess too many.

    If `look` raises CodeAlreadyUsed or Busy, it was no guess, and the exception is raised.
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
        # It was not looked at.
        attempt.give_back()
        raise
    if is_right:
        attempt.give_back()
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False


def forgive_sign_in(email: str) -> None:
    """Let somebody who has just set a new password use it at once: it came through their mailbox."""
    Tries.objects.filter(subject=_account("sign-in", email)).delete()


def forget_old(at: datetime, *, limit: int = 1000) -> int:
    """Delete up to so many outdated rows; return how many."""
    old = Tries.objects.filter(since__lt=at - DELETED_AFTER).values_list("pk", flat=True)[:limit]
    return Tries.objects.filter(pk__in=list(old)).delete()[0]


def _account(door: str, email: str) -> str:
    """Return a hash of the address that was typed: people type their password there by mistake."""
    typed = salted_hmac("lockbox.guesses", email.strip().lower(), algorithm="sha256").hexdigest()
    return f"{door}:{typed[:48]}"


def _address(door: str, ip: str) -> str:
    return f"{door}:ip:{network_of(ip)}"


def network_of(ip: str) -> str:
    """Return one name for all addresses that belong to the same caller."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:45]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False).network_address}/64"
    return str(address)
