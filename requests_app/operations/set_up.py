"""Sets up an installation: makes the set-up link, and the first staff member, who uses this link."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import structlog
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from requests_app.domain import clock, limits, link_secrets
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.members import ROLE_GIVEN
from requests_app.domain.acts.set_up import (
    FIRST_STAFF_MADE,
    LOG_KEY_COPIED,
    MAKE_FIRST_STAFF,
    MAKE_SETUP_LINK,
    OPEN_SETUP_LINK,
    RECORD_KEY_COPY,
    SETUP_LINK_MADE,
    SETUP_LINK_OPENED,
)
from requests_app.domain.errors import NotAllowed, NotFound, TooMany, WrongState
from requests_app.identity import guesses
from requests_app.models import Installation, Person, StaffTerm, Tenant
from requests_app.models.people import actor_of
from requests_app.operations._change import PROVIDER_LOG, Step, act
from requests_app.operations._humans import join_same_mailbox, witness_in
from requests_app.operations._people import described, new_person
from requests_app.operations._perform import perform
from requests_app.platform import hashing
from requests_app.queries import installation as facts

security_log = structlog.get_logger("security")


def make_setup_link(*, actor: Actor) -> str:
    """Make the secret of a new set-up link and return it. Only its hash is stored. The former link stops working.

    The link works only while nobody is staff, and until `limits.SETUP_LINK_FOR` is over.
    """

    def state(current: Step) -> None:
        if facts.has_staff():
            raise WrongState(
                _("There is a staff member already, so there is no set-up link. A staff member invites other people.")
            )

    with perform(MAKE_SETUP_LINK, actor=actor, find=_the_row, state=state) as current:
        secret = _new_secret()
        row: Installation = current.row
        row.setup_link_hash, row.setup_link_owner_hash = link_secrets.hashed(secret), ""
        row.setup_link_expires_at = current.at + limits.SETUP_LINK_FOR
        row.save(update_fields=["setup_link_hash", "setup_link_owner_hash", "setup_link_expires_at"])
        current.witness(SETUP_LINK_MADE)
    return secret


def open_setup_link(secret: str, *, browser: str, is_private: bool, actor: Actor) -> str:
    """Bind the set-up link to one browser, and return the secret of this browser.

    `browser` is the secret that the browser has already, or "". Only the first browser gets a secret. Raise the same
    NotFound for every link that does not work, so that nobody learns why. The security log says why. `is_private` says
    whether nobody on the network can read the secret (`NotAllowed` if somebody can).
    """
    _require_private(is_private, actor)
    is_known = facts.is_setup_begun(secret, browser, at=clock.now())
    with _guess(actor, is_known=is_known), act(OPEN_SETUP_LINK, actor=actor) as current:
        row = _behind(secret, current)
        if row.setup_link_owner_hash:
            _require_owner(row, browser, current)
            return browser
        browser = _new_secret()
        row.setup_link_owner_hash = link_secrets.hashed(browser)
        row.save(update_fields=["setup_link_owner_hash"])
        current.witness(SETUP_LINK_OPENED, detail={"address": actor.ip})
    return browser


def make_first_staff(
    secret: str,
    *,
    browser: str,
    name: str,
    email: str,
    password: str,
    time_zone: str,
    is_private: bool,
    actor: Actor,
) -> Person:
    """Make the first staff member, with the set-up link and in the browser that it belongs to. The link works once.

    The account can do nothing before it has a second factor (`doors.web.gate`). If two browsers try this at the same
    time, the lock on the row of the installation lets only one of them make an account.
    """
    _require_private(is_private, actor)
    is_known = facts.is_setup_begun(secret, browser, at=clock.now())
    ahead = hashing.ahead(password) if is_known else nullcontext()
    with _guess(actor, is_known=is_known), ahead, act(MAKE_FIRST_STAFF, actor=actor) as current:
        row = _behind(secret, current)
        _require_owner(row, browser, current)
        person = new_person(email=email, name=name, side=Person.Side.PROVIDER, time_zone=time_zone, password=password)
        person.is_staff = person.is_superuser = True
        # The operator gave the link to this person. There may be no mail server yet, to prove the address.
        person.created_at = person.email_verified_at = current.at
        join_same_mailbox(current, person)
        person.save(force_insert=True)
        StaffTerm.begin(person, at=current.at)
        current.actor = actor_of(person, door=actor.door, request_id=actor.request_id, ip=actor.ip)
        current.subject_type, current.subject_id = "person", str(person.pk)
        current.witness(FIRST_STAFF_MADE, detail=described(person), text=person.name)
        logs = [PROVIDER_LOG, *Tenant.objects.ever_on().order_by("pk").values_list("pk", flat=True)]
        witness_in(current, ROLE_GIVEN, logs, detail={**described(person), "role": str(Role.STAFF)}, text=person.name)
        row.setup_link_expires_at = current.at
        row.save(update_fields=["setup_link_expires_at"])
    return person


def record_key_copy(digest: str, *, actor: Actor) -> None:
    """Store the SHA-256 hash of the encrypted copy of the log's key. A former copy no longer counts as confirmed."""
    with perform(RECORD_KEY_COPY, actor=actor, find=_the_row) as current:
        row: Installation = current.row
        row.key_copy_hash, row.key_copy_confirmed_at = digest, None
        row.save(update_fields=["key_copy_hash", "key_copy_confirmed_at"])
        current.witness(LOG_KEY_COPIED)


def _the_row(current: Step, _id: object) -> Installation:
    """Lock the row of this installation, after making it if it is missing."""
    Installation.objects.get_or_create(pk=1)
    row = Installation.objects.select_for_update(no_key=True).get(pk=1)
    current.concerns("installation", row, PROVIDER_LOG)
    return row


def _behind(secret: str, current: Step) -> Installation:
    """Lock the row of this installation and return it, if the link works at this moment."""
    row = Installation.objects.select_for_update(no_key=True).filter(pk=1).first()
    if row is None or not _is(row.setup_link_hash, secret):
        raise _refused("unknown", current)
    current.concerns("installation", row, PROVIDER_LOG)
    if facts.has_staff():
        raise _refused("staff_exists", current)
    if row.setup_link_expires_at is None or current.at >= row.setup_link_expires_at:
        raise _refused("late", current)
    return row


def _require_owner(row: Installation, browser: str, current: Step) -> None:
    if not _is(row.setup_link_owner_hash, browser):
        raise _refused("other_browser", current)


def _is(stored: str, secret: str) -> bool:
    return bool(stored and secret) and constant_time_compare(stored, link_secrets.hashed(secret))


def _require_private(is_private: bool, actor: Actor) -> None:
    if not is_private:
        security_log.warning("setup_link.refused", why="not_private", ip=actor.ip)
        raise NotAllowed(_("The set-up link works only over https, because others can read a connection without it."))


def _refused(why: str, current: Step) -> NotFound:
    security_log.warning("setup_link.refused", why=why, ip=current.actor.ip)
    return NotFound()


@contextmanager
def _guess(actor: Actor, *, is_known: bool) -> Iterator[None]:
    """Count a guess at the link before it is checked. If the link was right, the guess is subtracted afterwards.

    Who has the link and the browser that it belongs to (`is_known`) guesses nothing. So others at the same address
    can't use up the attempts of this person.
    """
    if is_known:
        yield
        return
    attempt = guesses.at_setup_link(actor.ip)
    if not attempt.count():
        security_log.warning("setup_link.too_many", ip=actor.ip)
        raise TooMany(_("Too many set-up links that do not work were tried. Try again in a minute."))
    try:
        yield
    except NotFound:
        raise
    except Exception:
        # The link was right. Something else was refused, such as the password.
        attempt.give_back()
        raise
    attempt.give_back()


def _new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)
