"""Finds accounts whose addresses reach the same mailbox. Such accounts may belong to one human.

Three differences do not matter: upper case, a subaddress after a plus sign (RFC 5233), and the spelling of an
international domain (RFC 5890). Dots matter, because most mail providers distinguish them.
"""

from __future__ import annotations

from django.db.models import Q


def base(email: str) -> str:
    """Return the address in lower case and without a subaddress. The domain is in ASCII, as in the DNS."""
    local, _at, domain = email.strip().lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{_in_ascii(domain)}"


def same_mailbox(email: str) -> Q:
    """Return a query condition for all accounts whose address reaches the same mailbox as this address.

    Subaddresses are ignored on both sides.
    """
    local, _at, domain = base(email).rpartition("@")
    found = Q()
    for spelling in {domain, _in_unicode(domain)}:
        found |= Q(email=f"{local}@{spelling}") | Q(email__startswith=f"{local}+", email__endswith=f"@{spelling}")
    return found


def _in_ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def _in_unicode(domain: str) -> str:
    try:
        return domain.encode("ascii").decode("idna")
    except UnicodeError:
        return domain
