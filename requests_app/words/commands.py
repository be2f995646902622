"""Commands of the operator that pages and other commands name."""

from __future__ import annotations

#: Makes a new set-up link.
SETUP_LINK = "customer-lockbox setup-link"
