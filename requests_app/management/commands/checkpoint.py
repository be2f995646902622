"""`manage.py checkpoint`: sign checkpoints that are due, immediately and without a worker."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit_app import signing_round
from audit_app.keys import NoKey
from audit_app.stored_heads import HeadsUnavailable
from requests_app.domain import clock

BATCH = 500


class Command(BaseCommand):
    help = (
        "Sign the logs that have new entries, and sign the other logs again with the present time. This command does "
        "it immediately, without a worker."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        signed = dated = bad = 0
        try:
            while True:
                done = signing_round.work(clock.now, limit=BATCH)
                signed, dated = signed + done.signed, dated + done.dated
                for tenant_id, code in done.refused:
                    self.stdout.write(
                        _("The signer refuses the log %(log)s: %(code)s") % {"log": tenant_id, "code": code}
                    )
                bad += len(done.refused) + len(done.failed)
                if not done.signed + done.dated:
                    break
        except (NoKey, HeadsUnavailable) as why:
            words = str(why)
            raise CommandError(f"{words[:1].upper()}{words[1:]}.", returncode=1) from why
        words = _("Logs with new entries signed: %(signed)d. Other logs signed again with a new time: %(dated)d.")
        self.stdout.write(words % {"signed": signed, "dated": dated})
        if bad:
            words = ngettext("%(n)d log was not signed.", "%(n)d logs were not signed.", bad)
            raise CommandError(words % {"n": bad}, returncode=1)
