"""Mails that are written to files, for an installation without a mail server."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection

BACKEND = "requests_app.messages.mails.files.EmailBackend"


@pytest.fixture
def folder(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_COLOR", "1")
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    return tmp_path / "mail"


def a_mail(text: str, to: str = "ada@contoso.example") -> EmailMultiAlternatives:
    headers = {"Message-ID": "<4711@localhost>", "X-Lockbox-Topic": "notify.reminder"}
    mail = EmailMultiAlternatives("Subject ü", text, to=[to], headers=headers, connection=get_connection(BACKEND))
    mail.attach_alternative("<p>…</p>", "text/html")
    return mail


def test_each_mail_is_a_file_that_a_mail_program_reads(folder: Path) -> None:
    assert a_mail("Grüße").send() == 1
    [path] = folder.iterdir()
    assert path.name == "reminder-ada@contoso.example-4711.eml"
    read = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert read["Subject"] == "Subject ü"
    assert read.get_body(("plain",)).get_content().strip() == "Grüße"


def test_a_mail_that_is_sent_again_replaces_its_file(folder: Path) -> None:
    a_mail("one").send()
    a_mail("one").send()
    assert len(list(folder.iterdir())) == 1


def test_an_address_never_leads_out_of_the_folder(folder: Path) -> None:
    a_mail("one", to='"../../etc/passwd"@contoso.example').send()
    [path] = folder.iterdir()
    assert path.parent == folder
    assert "/" not in path.name


#: The main part of a mail's text, as templates/emails/_layout.txt has it.
TEXT = "Ask {base}/tickets/ first.\n\nAccept the invitation:\n{base}{path}\n\nClose the window now:\n{base}/close/\n"


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/invitations/s3cret/", "    http://127.0.0.1:8000/invitations/s3cret/\n"),
        # The mail about a new passkey has this link for a reader who did not add it.
        ("/accounts/password/reset/", ""),
        ("/accounts/password/reset/key/s3cret/", "    http://127.0.0.1:8000/accounts/password/reset/key/s3cret/\n"),
    ],
)
def test_a_trial_shows_each_mail_with_its_main_link(folder: Path, settings, capfd, path: str, link: str) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    a_mail(TEXT.format(base=settings.BASE_URL, path=path)).send()
    assert capfd.readouterr().out == f"\n    Mail to ada@contoso.example: Subject ü\n{link}"


def test_a_mail_without_a_link_is_shown_with_its_file(folder: Path, settings, capfd) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    a_mail("Hello").send()
    assert capfd.readouterr().out.splitlines()[2:] == [f"    {path}" for path in folder.iterdir()]


@pytest.mark.parametrize(("name", "before", "after"), [("FORCE_COLOR", "\033[1;36m", "\033[0m"), ("NO_COLOR", "", "")])
def test_a_mail_is_coloured_at_a_terminal_and_its_subject_can_not_control_it(
    folder: Path, settings, capfd, monkeypatch: pytest.MonkeyPatch, name: str, before: str, after: str
) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(name, "1")
    mail = a_mail("Hello")
    mail.subject = "Red \033[31m alert"
    mail.send()
    assert capfd.readouterr().out.splitlines()[1] == f"    {before}Mail to ada@contoso.example: Red [31m alert{after}"


@pytest.mark.parametrize(
    ("base", "is_production"), [("https://lockbox.example.com", False), ("http://localhost", True)]
)
def test_an_installation_shows_no_mail_in_the_terminal(
    folder: Path, settings, capfd, base: str, *, is_production: bool
) -> None:
    settings.BASE_URL, settings.PRODUCTION = base, is_production
    a_mail(f"open {base}/invitations/s3cret/ now").send()
    assert capfd.readouterr() == ("", "")
    assert len(list(folder.iterdir())) == 1
