"""The account of `lockbox`: signing in, stored files, which server gets the token, and the exit status."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lockbox_cli.text import as_json, safe
from requests_app.models import Token
from tests.caller import client_of, token_of
from tests.cast import Cast
from tests.clients.terminal import Shell

pytestmark = pytest.mark.django_db(transaction=True)

Shells = Callable[..., Shell]
SECRET = "lockbox_pat_" + "x" * 40


@pytest.fixture
def bare(shell: Shells) -> Shell:
    """Return a shell in which nobody is signed in, and whose environment has no token."""
    return shell("ada").but(LOCKBOX_TOKEN=None, LOCKBOX_URL=None)


@pytest.fixture
def url(shell: Shells) -> str:
    return shell("ada").environment["LOCKBOX_URL"]


class Stranger(BaseHTTPRequestHandler):
    """Some other server. It stores each token that it gets, and sends the response that the test chooses."""

    answer: tuple[int, str, bytes] = (200, "text/html", b"<h1>Hello</h1>")
    heard: list[str | None] = []

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization"))
        status, kind, body = self.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Stranger, "heard", [])
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# --- Signing in ----------------------------------------------------------------------------------------------


def test_a_personal_token_is_tried_and_stored_only_for_its_owner(cast: Cast, bare: Shell, url: str) -> None:
    token = token_of(cast, "ada")
    ended = bare("login", url, typed=f"{token}\n")
    assert ended.out == f"Signed in at {url} as Ada Test. Saved in {bare.account_file}.\n"
    assert stat.S_IMODE(bare.account_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(bare.account_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in bare.account_file.parent.iterdir()] == ["account.json"]
    assert bare("whoami", "--json").json["email"] == "ada@contoso.example"


def test_a_token_is_not_shown_as_it_is_typed(cast: Cast, bare: Shell, url: str) -> None:
    token = token_of(cast, "ada")
    ended = bare.at_a_terminal("login", answers=[("Address", url), ("Personal token: ", token)])
    assert (ended.status, token in ended.out) == (0, False)


def test_a_token_that_is_not_live_is_not_stored(bare: Shell, url: str) -> None:
    ended = bare("login", url, typed=f"{SECRET}\n")
    assert (ended.status, bare.account_file.exists()) == (3, False)
    assert SECRET not in ended.out + ended.err


def test_a_client_gets_one_token_and_uses_it_until_it_ends(cast: Cast, bare: Shell, url: str) -> None:
    client, secret = client_of(cast, "contoso")
    assert bare("login", url, "--client", str(client.pk), typed=f"{secret}\n").status == 0
    for _ in range(2):
        assert bare("whoami", "--json").json["kind"] == "client"
    assert Token.objects.filter(account=client.account).count() == 1
    record = json.loads(bare.account_file.read_text())
    bare.account_file.write_text(json.dumps({**record, "token_until": 0}))
    assert bare("whoami").status == 0
    assert Token.objects.filter(account=client.account).count() == 2
    assert stat.S_IMODE(bare.account_file.stat().st_mode) == 0o600


def test_a_wrong_secret_of_a_client_is_not_stored(cast: Cast, bare: Shell, url: str) -> None:
    client, _secret = client_of(cast, "contoso")
    ended = bare("login", url, "--client", str(client.pk), typed="wrong\n")
    assert (ended.status, bare.account_file.exists()) == (3, False)


def test_signing_out_forgets(cast: Cast, bare: Shell, url: str) -> None:
    bare("login", url, typed=f"{token_of(cast, 'ada')}\n")
    assert bare("logout", "--json").json == {"signed_out": True}
    assert (bare.account_file.exists(), bare("logout", "--json").json) == (False, {"signed_out": False})
    assert bare("whoami").status == 3


def test_the_account_is_stored_where_the_desktop_stores_settings(
    cast: Cast, bare: Shell, url: str, tmp_path: Path
) -> None:
    moved = bare.but(XDG_CONFIG_HOME=str(tmp_path / "settings"))
    moved("login", url, typed=f"{token_of(cast, 'ada')}\n")
    assert (tmp_path / "settings" / "lockbox" / "account.json").exists()
    assert not bare.account_file.exists()


# --- To which servers a token is sent ------------------------------------------------------------------------


GIVING_AWAY = [
    "http://lockbox.example",
    "http://127.0.0.1.example",
    "http://10.0.0.1",
    "https://ada:secret@lockbox.example",
    "https://lockbox.example/?a=b",
    "https://lockbox.example:99999",
    "ftp://127.0.0.1",
    "lockbox.example",
    SECRET,
]


def test_an_address_that_would_give_a_token_away_is_not_one(bare: Shell) -> None:
    for url in GIVING_AWAY:
        ended = bare("login", url, typed=f"{SECRET}\n")
        assert (ended.status, ended.out, bare.account_file.exists()) == (2, "", False), url
        assert SECRET not in ended.err, url


def test_a_stored_token_is_sent_only_to_its_own_address(cast: Cast, bare: Shell, url: str, stranger: str) -> None:
    bare("login", url, typed=f"{token_of(cast, 'ada')}\n")
    assert bare.but(LOCKBOX_URL=stranger)("whoami").status == 3
    assert Stranger.heard == []


def test_a_file_that_others_can_read_is_not_used(cast: Cast, bare: Shell, url: str) -> None:
    bare("login", url, typed=f"{token_of(cast, 'ada')}\n")
    bare.account_file.chmod(0o640)
    ended = bare("whoami")
    assert (ended.status, "Other users can read" in ended.err) == (3, True)


def test_no_proxy_is_used_for_loopback(shell: Shells, stranger: str) -> None:
    ended = shell("ada").but(HTTP_PROXY=stranger, http_proxy=stranger, ALL_PROXY=stranger)("whoami")
    assert (ended.status, Stranger.heard) == (0, [])


# --- Exit status ---------------------------------------------------------------------------------------------


def test_an_address_where_nobody_answers(bare: Shell) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    ended = bare.but(LOCKBOX_URL=url, LOCKBOX_TOKEN=SECRET)("requests", "list", "--json")
    assert (ended.status, ended.out, json.loads(ended.err)["code"]) == (4, "", "not_reachable")


OF_NO_LOCKBOX = [
    (200, "text/html", b"<h1>Hello</h1>"),
    (404, "text/html", b"<h1>Hello</h1>"),
    (503, "text/html", b"\xff"),
    (301, "text/html", b""),
]


def test_a_foreign_server_is_reported_as_such(bare: Shell, stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in OF_NO_LOCKBOX:
        monkeypatch.setattr(Stranger, "answer", answer)
        monkeypatch.setattr(Stranger, "heard", [])
        ended = bare.but(LOCKBOX_URL=stranger, LOCKBOX_TOKEN=SECRET)("whoami")
        assert (ended.status, ended.out) == (4, ""), answer
        assert len(Stranger.heard) == 1, answer


NOT_UNDERSTOOD = ["", "requests", "requests show", "whoami --loud", "windows --limit 0"]


def test_words_that_are_not_understood(bare: Shell) -> None:
    for words in NOT_UNDERSTOOD:
        ended = bare(*words.split())
        assert (ended.status, ended.out) == (2, ""), words
        assert "--help" in ended.err, words


def test_a_token_that_was_revoked(cast: Cast, shell: Shells) -> None:
    ada = shell("ada")
    Token.objects.update(revoked_at=Token.objects.get().created_at)
    ended = ada("requests", "list", "--json")
    assert (ended.status, json.loads(ended.err)["code"]) == (3, "not_signed_in")


# --- Output at a terminal ------------------------------------------------------------------------------------


UNREADABLE = ["\x1b", "\x07", "\r", "\x7f", "\x9b", "\u200b", "\u202e", "\u2028", "\ud800", "\U000e0041"]


def test_a_letter_that_none_can_read_is_written_out() -> None:
    for letter in UNREADABLE:
        for shown in (safe(letter), safe(letter, lines=True), as_json(letter)):
            assert letter not in shown, ascii(letter)
            assert shown.isascii(), ascii(letter)
        assert json.loads(as_json(f"a{letter}ß\n")) == f"a{letter}ß\n"
    assert (safe("Ünï 漢字 👩\n"), safe("a\r\nb", lines=True)) == ("Ünï 漢字 👩\\n", "a\nb")


def test_text_of_somebody_elses_moves_nothing_in_a_terminal(cast: Cast, shell: Shells) -> None:
    hostile = "Look \x9b2J \u202eecnaniF\u202c \u200b and a line\nthat is none of ours"
    row = cast.confirmed(justification=hostile)
    ada = shell("ada")
    shown = ada.at_a_terminal("requests", "show", row.reference).out
    assert not set(shown) & set("\x9b\u202e\u202c\u200b")
    assert "\\u202eecnaniF" in shown
    piped = ada("requests", "show", row.reference).out
    [why] = [line for line in piped.splitlines() if line.startswith("Why\t")]
    assert "\\nthat is none of ours" in why
    whole = ada("requests", "show", row.reference, "--json")
    assert not set(whole.out) & set("\x9b\u202e\u202c\u200b")
    assert whole.json["justification"] == hostile


def test_colour_is_for_terminals_that_want_it(cast: Cast, shell: Shells) -> None:
    cast.confirmed()
    ada = shell("ada")
    assert "\x1b[33m" in ada.at_a_terminal("requests", "list").out
    assert "\x1b[33m" not in ada.but(NO_COLOR="1").at_a_terminal("requests", "list").out
    assert "\x1b" not in ada("requests", "list").out
