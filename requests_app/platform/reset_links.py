"""The tokens in links to reset a password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator


class ResetLinks(PasswordResetTokenGenerator):
    """Makes and checks the tokens as Django does. A token also ends when all sessions of its person are ended.

    After a restore from a backup, the password is the former one. Without this, a link that was used would work again.
    """

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        # Without an epoch, it is Django's own token. So links in mails of an earlier version still work.
        epoch = f":{user.session_epoch}" if user.session_epoch else ""
        return f"{super()._make_hash_value(user, timestamp)}{epoch}"
