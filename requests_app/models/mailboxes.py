"""Finds addresses that reach the same mailbox, because their accounts may belong to one human.

Upper case, a subaddress after a plus sign (RFC 5233) and another spelling of an international domain (RFC 5890) reach
the same mailbox. Dots are not ignored, because most mail providers distinguish them.
"""

from __future__ import annotations

from django.db.models import Q


def base(email: str) -> str:
    """Return the address in lower case, without a subaddress, and with its domain in the form of the DNS."""
    local, _at, domain = email.strip().lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{_in_ascii(domain)}"


def same_mailbox(email: str) -> Q:
    """Return a condition for the accounts with an address that reaches the same mailbox.

    A subaddress in either address does not matter.
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
