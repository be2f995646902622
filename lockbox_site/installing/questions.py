"""The questions of `customer-lockbox init`, and how they are asked: from flags, the environment, or at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formataddr
from pathlib import Path
from urllib.parse import urlsplit

from lockbox_site.installing import answers
from lockbox_site.installing.answers import WrongAnswer
from requests_app.platform.loopback import is_loopback

#: The settings that are known already.
Known = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """A question for one setting.

    `check` returns the value to store, or raises WrongAnswer. `proposal` returns the answer for an empty line, or "".
    An answer that `is_fixed` is never replaced later, because the data is there. `is_checked_again` says whether an
    answer that is stored already is tested when the command runs again.
    """

    setting: str
    flag: str
    asks: str
    check: Callable[[str, Known], str]
    proposal: Callable[[Known, Path], str] = lambda known, data: ""
    is_fixed: bool = False
    is_checked_again: bool = True


def _host_of(known: Known) -> str:
    return urlsplit(known["BASE_URL"]).hostname or "localhost"


def _is_local(known: Known) -> bool:
    return known["BASE_URL"].startswith("http://")


def _sender(known: Known, _data: Path) -> str:
    host = _host_of(known)
    # A mail address has no plain IP address after the @.
    domain = "localhost" if is_loopback(host) else host
    return formataddr((f"{known['PROVIDER_NAME']} Customer Lockbox", f"lockbox@{domain}"))


def _port(known: Known, _data: Path) -> str:
    return str(urlsplit(known["BASE_URL"]).port or 8000) if _is_local(known) else "8000"


QUESTIONS = (
    Question(
        "BASE_URL",
        "--address",
        "Address of the site, as people type it (https://lockbox.example.com)",
        lambda text, known: answers.address(text),
    ),
    Question(
        "PROVIDER_NAME",
        "--provider",
        "Name of the provider, on pages and in mails",
        lambda text, known: answers.name(text),
    ),
    Question(
        "DATABASE_URL",
        "--database",
        "Database (postgres://user:password@host/name, or SQLite)",
        lambda text, known: answers.database(text),
        lambda known, data: f"sqlite:///{data / 'lockbox.sqlite3'}",
        is_fixed=True,
    ),
    Question(
        "EMAIL_URL",
        "--mail",
        "Mail server (smtp+tls://user:password@mail.example.com:587)",
        lambda text, known: answers.mail(text),
    ),
    Question("DEFAULT_FROM_EMAIL", "--sender", "Sender of mails", lambda text, known: answers.sender(text), _sender),
    Question(
        "TRUSTED_PROXY_COUNT",
        "--proxies",
        "Number of reverse proxies in front of the web server",
        lambda text, known: answers.proxies(text, base_url=known["BASE_URL"]),
        lambda known, data: "0" if _is_local(known) else "1",
    ),
    Question(
        "HOST",
        "--host",
        "Address on which the web server listens",
        lambda text, known: answers.host(text),
        lambda known, data: _host_of(known) if _is_local(known) else "127.0.0.1",
    ),
    Question(
        "PORT",
        "--port",
        "Port on which the web server listens",
        lambda text, known: answers.port(text, at=known["HOST"]),
        _port,
        # The installation itself may run, and use it.
        is_checked_again=False,
    ),
)


def derived(known: Known) -> dict[str, str]:
    """Return the settings that follow from the answers."""
    hosts = (
        ["localhost", "127.0.0.1", "[::1]"]
        if is_loopback(_host_of(known))
        else [urlsplit(known["BASE_URL"]).hostname or ""]
    )
    found = {"PRODUCTION": "on", "ALLOWED_HOSTS": ",".join(hosts), "CLUSTERS": "2"}
    if _is_local(known):
        # Without TLS, a browser stores no cookie that needs it.
        found |= {"SSL_REDIRECT": "off", "SECURE_COOKIES": "off", "HSTS_SECONDS": "0"}
    return found


class Interview:
    """Gets the answers. `given` has the answers from flags and the environment, by setting."""

    def __init__(self, given: Known, *, data: Path, is_terminal: bool, read: Callable[[str], str] = input) -> None:
        self._given, self._data, self._is_terminal, self._read = given, data, is_terminal, read

    def answer(self, question: Question, known: Known, stored: str | None) -> str:
        """Return a good answer. At a terminal, ask again after a wrong one. Otherwise raise WrongAnswer."""
        if stored is not None and (not question.is_checked_again or self._is_still_good(question, known, stored)):
            return stored
        given = self._given.get(question.setting)
        while True:
            text = given if given is not None else self._asked(question, known)
            try:
                return question.check(text, known)
            except WrongAnswer as wrong:
                if not self._is_terminal:
                    raise WrongAnswer(f"{question.flag}: {wrong}") from None
                _say(str(wrong))
                given = None

    def _is_still_good(self, question: Question, known: Known, stored: str) -> bool:
        try:
            question.check(stored, known)
        except WrongAnswer as wrong:
            where = f"{question.setting} in {self._data / '.env'}"
            if question.is_fixed or not (self._is_terminal or question.setting in self._given):
                raise WrongAnswer(f"{where}: {wrong}") from None
            _say(f"{where}: {wrong}")
            return False
        return True

    def _asked(self, question: Question, known: Known) -> str:
        proposal = question.proposal(known, self._data)
        if not self._is_terminal:
            if not proposal:
                raise WrongAnswer(
                    f"{question.flag} is missing. It is the {question.asks[:1].lower()}{question.asks[1:]}."
                )
            return proposal
        try:
            text = self._read(f"{question.asks}{f' [{proposal}]' if proposal else ''}: ").strip()
        except EOFError:
            raise WrongAnswer(f"{question.flag} is missing.") from None
        return text or proposal


def _say(text: str) -> None:
    sys.stderr.write(f"  {text}\n")
