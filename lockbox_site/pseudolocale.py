"""A test language. It changes every text that is marked for translation, and no other text."""

import re

from django.utils.translation import trans_real

LANGUAGE = "en-xa"
OPENING, CLOSING = "⟦", "⟧"
ACCENTS = str.maketrans("AEIOUaeiouCcNnSsYyZz", "ÅÉÎÖÛåéîöûÇçÑñŠšÝýŽž")
# Placeholders, tags and entities are for programs, so they are not changed.
UNCHANGED = re.compile(r"(%\([^)]*\)[#0\- +]*[\d.]*[a-zA-Z]|%[#0\- +]*[\d.]*[a-zA-Z%]|\{[^{}]*\}|<[^<>]*>|&[#\w]+;)")

#: The contexts of messages that are patterns for dates.
PATTERNS = "instant of"


def disguise(message: str) -> str:
    """Return the text with accents and in brackets. Placeholders and markup are not changed."""
    parts = UNCHANGED.split(message)
    # split() with one group puts the separators at the odd positions.
    accented = "".join(part if index % 2 else part.translate(ACCENTS) for index, part in enumerate(parts))
    return f"{OPENING}{accented}{CLOSING}"


class PseudoTranslation(trans_real.DjangoTranslation):
    """Translates each message with `disguise`, so that no catalogue must be compiled."""

    def gettext(self, message: str) -> str:
        context, _separator, words = message.rpartition(trans_real.CONTEXT_SEPARATOR)
        # A program reads the letters of a date pattern. Its result is translated later.
        return words if context.startswith(PATTERNS) else disguise(words)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def install() -> None:
    """Make Django offer the test language."""
    trans_real._translations[LANGUAGE] = PseudoTranslation(LANGUAGE)  # type: ignore[attr-defined]  # untyped
