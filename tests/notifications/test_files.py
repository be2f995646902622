"""Mails that are written to files, for an installation without a mail server."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection

BACKEND = "requests_app.messages.mails.files.EmailBackend"


@pytest.fixture
def folder(settings, tmp_path: Path) -> Path:
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


def test_a_trial_shows_each_mail_with_its_link_in_the_terminal(folder: Path, settings, capfd) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    a_mail("Hello,\nopen http://127.0.0.1:8000/invitations/s3cret/ now.\nOr http://127.0.0.1:8000/tickets/").send()
    shown = "Mail to ada@contoso.example: Subject ü\n    http://127.0.0.1:8000/invitations/s3cret/\n"
    assert capfd.readouterr().out == shown


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
