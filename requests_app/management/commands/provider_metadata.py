"""`manage.py provider_metadata`: show, and accept, the metadata of the provider's own SAML identity provider."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import DomainError
from requests_app.management._ending import refused
from requests_app.management._logs import actor
from requests_app.queries import sign_on_metadata


class Command(BaseCommand):
    help = "Show the metadata for the provider's single sign-on, or accept what is at its address now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--accept", metavar="DIGEST", help="use the metadata at the address, if it has this digest")

    def handle(self, *args: Any, **options: Any) -> None:
        shown, refusal = {}, None
        try:
            if options["accept"]:
                row = operations.accept_provider_metadata(digest=options["accept"], actor=actor("provider-metadata"))
                shown[_("Used from now on:")] = sign_on_metadata.pinned_of(row)
            else:
                shown[_("Used now:")] = sign_on_metadata.used_by_provider(at=clock.now())
                found, digest = operations.metadata_at_address()
                shown[_("At the address now, with the digest %(digest)s:") % {"digest": digest}] = found
        except DomainError as error:
            refusal = error
        for title, provider in shown.items():
            self.stdout.write(title)
            if provider is None:
                self.stdout.write("  " + _("nothing"))
                continue
            self.stdout.write("  " + _("entity ID %(name)s") % {"name": provider.entity_id})
            self.stdout.write("  " + _("sign-in address %(address)s") % {"address": provider.sso_url})
            for each in provider.fingerprints:
                self.stdout.write("  " + _("certificate %(fingerprint)s") % {"fingerprint": each})
            if provider.valid_until is not None:
                self.stdout.write("  " + _("valid until %(time)s") % {"time": provider.valid_until.isoformat()})
        if refusal is not None:
            raise refused(refusal) from refusal
