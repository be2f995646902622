"""Whatever can be guessed, looked at a few times and no more: a password, a code, a key, who has an account.

Counted before it is looked at, under a lock and in the database: of 200 tries at once, in however many processes, as
many are looked at as may be. A right one is given back.

Each door counts for itself. Somebody who knows only an address could otherwise, by wrong passwords at the sign-in, keep
the person from proving who they are where they decide.
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
    """So many tries from the first one on; the next is not looked at until the time is over."""

    most: int
    within: timedelta


#: About one account, and from one address, whoever is tried from it: an office goes out through one.
OF_ACCOUNT = Limit(5, timedelta(minutes=5))
OF_ADDRESS = Limit(10, timedelta(minutes=1))
#: Mails that are asked for, right or not.
OF_MAILS = Limit(5, timedelta(minutes=5))
MAILS_OF_ADDRESS = Limit(20, timedelta(minutes=1))
#: Each wrong recovery key is an entry of the provider's log as well.
RECOVERY_KEYS = Limit(5, timedelta(minutes=15))
#: What says nothing any more; the longest time above is over by then.
KEPT_FOR = timedelta(days=1)
#: Of an IPv6 address so much is somebody's own; of the rest they have as many as they like (RFC 6177).
_IPV6_PREFIX = 64


class Attempt:
    """One try, counted under several subjects at once: under all of them, or, where one is full, under none."""

    def __init__(self, limits: Mapping[str, Limit]) -> None:
        self.limits = limits
        #: Since when each subject's time runs, as this try was counted.
        self.since: dict[str, datetime] = {}
        #: Set where it may not be looked at: what to say, and until when.
        self.refusal: TooManyGuesses | None = None

    def count(self) -> bool:
        """Whether it may be looked at; it counts from now on."""
        at = clock.now()
        with transaction.atomic(durable=True):
            new = [Tries(subject=subject, since=at) for subject in sorted(self.limits)]
            Tries.objects.bulk_create(new, ignore_conflicts=True)
            # In one order for everybody: two that share a subject wait for one another, and never in a circle.
            rows = list(Tries.objects.select_for_update().filter(subject__in=self.limits).order_by("subject"))
            for row in rows:
                limit = self.limits[row.subject]
                # Whoever waited for the lock has an older instant than who began; that ends nothing.
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
        """It was right, or no guess, and counts no more; but never in place of a guess of the time after this one."""
        if self.since:
            same = reduce(or_, (Q(subject=subject, since=since) for subject, since in self.since.items()))
            Tries.objects.filter(same, count__gt=0).update(count=F("count") - 1)


def at_sign_in(email: str, ip: str) -> Attempt:
    """A password for an address, be it anybody's or nobody's."""
    return Attempt({_account("sign-in", email): OF_ACCOUNT, _address("sign-in", ip): OF_ADDRESS})


def at_passkey(ip: str) -> Attempt:
    """A passkey at the sign-in: whose it is is known only once it is right."""
    return Attempt({_address("passkey", ip): OF_ADDRESS})


def at_reset(email: str, ip: str) -> Attempt:
    """A mail asked for with a way in; none is given back."""
    return Attempt({_account("reset", email): OF_MAILS, _address("reset", ip): MAILS_OF_ADDRESS})


def at_recovery(ip: str) -> Attempt:
    """A recovery key: whose it is is known only once it is right."""
    return Attempt({_address("recovery", ip): RECOVERY_KEYS})


def of_person(person: Person, ip: str = "") -> Attempt:
    """Proof by somebody who says that they are this person: through all doors together."""
    limits = {f"person:{person.pk}": OF_ACCOUNT}
    return Attempt({**limits, _address("proof", ip): OF_ADDRESS} if ip else limits)


def is_right(person: Person, look: Callable[[], bool], *, ip: str = "") -> bool:
    """Whether `look` says yes. Raises TooManyGuesses instead of looking at one wrong guess too many.

    What `look` raises as CodeAlreadyUsed or Busy is no guess, and passes through.
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
    """Whoever has just set a new password may use it at once: it came through their mailbox."""
    Tries.objects.filter(subject=_account("sign-in", email)).delete()


def forget_old(at: datetime, *, limit: int = 1000) -> int:
    """Delete what counts no more, up to so many rows; return how many went."""
    old = Tries.objects.filter(since__lt=at - KEPT_FOR).values_list("pk", flat=True)[:limit]
    return Tries.objects.filter(pk__in=list(old)).delete()[0]


def _account(door: str, email: str) -> str:
    """Who somebody said they were is kept as a hash: people type their password there by mistake."""
    typed = salted_hmac("lockbox.guesses", email.strip().lower(), algorithm="sha256").hexdigest()
    return f"{door}:{typed[:48]}"


def _address(door: str, ip: str) -> str:
    return f"{door}:ip:{network_of(ip)}"


def network_of(ip: str) -> str:
    """All that is somebody's own who calls from this address, under one name."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip[:45]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False).network_address}/64"
    return str(address)
