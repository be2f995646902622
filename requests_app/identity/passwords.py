"""Refuses passwords that are easy to guess, that contain words about the person, or that were stolen elsewhere."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.platform import outbound

security_log = structlog.get_logger("security")

#: zxcvbn's scores are 0 to 4. With 3, an attacker needs more than a hundred million guesses.
LEAST_SCORE = 3
#: The number of characters that zxcvbn checks. More characters never make a password weaker.
_MOST_CHECKED = 72
#: Shorter words are not searched, because they are part of too many other words.
_SHORTEST = 4
#: Words of the product (ASVS 5.0, 6.1.2). The provider's name is a setting.
_PRODUCT = ("lockbox", "customerlockbox")
_LEET = str.maketrans("013457@$!", "oieastasi")
#: Seconds to wait for a list on the network. A person waits for the page, and others may wait for the same log.
_SECONDS = 0.8
#: A list that did not answer is not asked again for this long. The form asks it first, so the act, which holds locks,
#: does not wait for it again.
_REST_SECONDS = 15.0
_away: dict[str, float] = {}
_PREFIX = 5


class NotGuessedSoon:
    """Refuses passwords that zxcvbn finds easy to guess, even long ones: keyboard rows, dates, repetitions."""

    def validate(self, password: str, user: Any = None) -> None:
        from zxcvbn import zxcvbn  # its lists take a while to read, and few processes ever need them

        if zxcvbn(password[:_MOST_CHECKED])["score"] < LEAST_SCORE:
            raise ValidationError(
                _("This password is easy to guess. Use four or more words that do not belong together."),
                code="password_guessed_soon",
            )

    def get_help_text(self) -> str:
        return _("A good password that is easy to remember has four or more words that do not belong together.")


class NothingNear:
    """Refuses passwords that contain the person's name or address, or the name of the tenant, provider or product."""

    def validate(self, password: str, user: Any = None) -> None:
        require_far(password, [*_PRODUCT, settings.PROVIDER_NAME, *_about(user)])

    def get_help_text(self) -> str:
        return _("Do not use your name, your address, your organisation’s name or the name of this product.")


class NotStolen:
    """Refuses passwords in a list of stolen passwords, if the operator has set such a list (BREACHED_PASSWORDS).

    If the list can't be read, the security log reports it, and no password is refused: otherwise nobody could set a
    password at that time.
    """

    def validate(self, password: str, user: Any = None) -> None:
        if not settings.BREACHED_PASSWORDS:
            return
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            lines = _lines(settings.BREACHED_PASSWORDS, digest[:_PREFIX])
        except (OSError, ValueError) as failure:
            security_log.error("breached_passwords.unreadable", error=type(failure).__name__)
            return
        if digest[_PREFIX:] in lines:
            raise ValidationError(
                _(
                    "This password was stolen from another service, and attackers try stolen passwords first. "
                    "Choose another password."
                ),
                code="password_stolen",
            )

    def get_help_text(self) -> str:
        return _("Do not use a password that you use elsewhere.")


def require_far(password: str, words: Iterable[str]) -> None:
    """Raise ValidationError if the password contains one of these words.

    Digits and signs that replace letters are read as these letters. Signs between the letters are ignored.
    """
    spellings = {_plain(password), _plain(password.translate(_LEET))}
    for word in words:
        plain = _plain(word)
        if len(plain) >= _SHORTEST and any(plain in spelling for spelling in spellings):
            raise ValidationError(
                _("Leave out “%(word)s”: attackers first try names and addresses that belong to you.") % {"word": word},
                code="password_near",
            )


def _about(user: Any) -> list[str]:
    if user is None:
        return []
    local, _at, domain = str(getattr(user, "email", "")).partition("@")
    name = str(getattr(user, "name", ""))
    # The last part of a domain is left out, because many domains have the same one.
    words = [name, *name.split(), local, *re.split(r"[^\w]+", local), *domain.split(".")[:-1]]
    if getattr(user, "pk", None) and not user._state.adding:
        words += user.memberships.values_list("tenant__name", flat=True)
    return words


def _plain(text: str) -> str:
    """Return only the letters and digits of a text, in lower case and without accents."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in folded if char.isalnum())


def _lines(where: str, prefix: str) -> frozenset[str]:
    """Return the SHA-1 hashes in the list that begin with `prefix`, each without the prefix.

    Lines with the count 0 are padding and are left out. Raise OSError or ValueError if the list can't be read.
    """
    text = _downloaded(where, prefix) if where.startswith(("https://", "http://")) else _read(Path(where), prefix)
    rows = (line.strip().partition(":") for line in text.splitlines())
    return frozenset(rest.upper() for rest, _colon, count in rows if rest and count != "0")


def _read(folder: Path, prefix: str) -> str:
    for name in (prefix, f"{prefix}.txt"):
        if (file := folder / name).is_file():
            return file.read_text("ascii")
    # A complete list has a file for every prefix.
    raise FileNotFoundError


def _downloaded(url: str, prefix: str) -> str:
    if clock.monotonic() < _away.get(url, 0):
        raise OSError
    try:
        # The operator chose this address. It may be a copy of the list in the operator's own network.
        answer = outbound.get(f"{url.rstrip('/')}/{prefix}", private=True, seconds=_SECONDS, purpose="passwords")
        if answer.status != 200:
            raise ValueError
        return answer.body.decode("ascii")
    except (OSError, ValueError):
        _away[url] = clock.monotonic() + _REST_SECONDS
        raise
