"""A language for tests that changes every translated text and leaves all others as they are."""

import re

from django.utils.translation import trans_real

LANGUAGE = "en-xa"
OPENING, CLOSING = "⟦", "⟧"
ACCENTS = str.maketrans("AEIOUaeiouCcNnSsYyZz", "ÅÉÎÖÛåéîöûÇçÑñŠšÝýŽž")
# Placeholders, tags and entities carry meaning for a program and stay untouched.
KEPT = re.compile(r"(%\([^)]*\)[#0\- +]*[\d.]*[a-zA-Z]|%[#0\- +]*[\d.]*[a-zA-Z%]|\{[^{}]*\}|<[^<>]*>|&[#\w]+;)")

#: Contexts whose messages are patterns for dates.
PATTERNS = "instant of"


def disguise(message: str) -> str:
    """Return a text with accents and in brackets, with everything that a program reads kept."""
    parts = KEPT.split(message)
    # split() with one group puts what was kept at the odd places.
    told = "".join(part if index % 2 else part.translate(ACCENTS) for index, part in enumerate(parts))
    return f"{OPENING}{told}{CLOSING}"


class PseudoTranslation(trans_real.DjangoTranslation):
    """Answers each message with its disguise, so that no catalogue has to be compiled."""

    def gettext(self, message: str) -> str:
        context, _separator, words = message.rpartition(trans_real.CONTEXT_SEPARATOR)
        # The letters of a pattern for dates are read by a program; what it makes of them is translated itself.
        return words if context.startswith(PATTERNS) else disguise(words)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


def install() -> None:
    """Make the language known to Django's translation machinery."""
    trans_real._translations[LANGUAGE] = PseudoTranslation(LANGUAGE)  # type: ignore[attr-defined]  # untyped
