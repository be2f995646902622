"""`manage.py provider_metadata`: show, and accept, the metadata of the provider's own SAML identity provider."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import DomainError
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.management._ending import refused
from requests_app.management._logs import actor
from requests_app.queries import sign_on_metadata


class Command(BaseCommand):
    help = "Show the metadata for the provider's single sign-on, or accept what is at its address now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--accept", metavar="DIGEST", help="use the metadata at the address, if it has this digest")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["accept"]:
                row = operations.accept_provider_metadata(digest=options["accept"], actor=actor("provider-metadata"))
                self._show(_("Used from now on:"), sign_on_metadata.pinned_of(row))
                return
            self._show(_("Used now:"), _used())
            found, digest = operations.metadata_at_address()
        except DomainError as refusal:
            raise refused(refusal) from refusal
        self._show(_("At the address now, with the digest %(digest)s:") % {"digest": digest}, found)

    def _show(self, title: str, found: IdentityProvider | None) -> None:
        self.stdout.write(title)
        if found is None:
            self.stdout.write("  " + _("nothing"))
            return
        self.stdout.write("  " + _("entity ID %(name)s") % {"name": found.entity_id})
        self.stdout.write("  " + _("sign-in address %(address)s") % {"address": found.sso_url})
        for each in found.fingerprints:
            self.stdout.write("  " + _("certificate %(fingerprint)s") % {"fingerprint": each})
        if found.valid_until is not None:
            self.stdout.write("  " + _("valid until %(time)s") % {"time": found.valid_until.isoformat()})


def _used() -> IdentityProvider | None:
    try:
        return sign_on_metadata.of_provider(at=clock.now())
    except SignOnFailed:
        return None
