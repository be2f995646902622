"""Runs what the demo needs: a data directory of its own, a real mail server, and the product's own processes."""

from __future__ import annotations

import contextlib
import email
import email.policy
import hashlib
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from django.conf import settings

from lockbox_site.demo import people
from lockbox_site.demo.authenticator import Authenticator
from lockbox_site.demo.browser import App, Browser, Stopped
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import clock
from requests_app.platform import webauthn

#: The shorter times of the demo, in seconds. All other settings are as in production.
SHORTENED = {
    "CUSTOMER_DECISION_SECONDS": "20",
    "REMINDER_SECONDS": "3,10,17",
    "WINDOW_CHOICES_SECONDS": "12,1800,3600,7200,14400,28800",
    "CLOSING_SOON_SECONDS": "6",
    "SWEEP_SECONDS": "1",
}
#: The commands that run before the product starts.
STEPS = (
    ["migrate"],
    ["log_key", "create"],
    ["demo_world", "--bare"],  # and the addresses of the application and the tool
    ["collectstatic", "--noinput"],
    ["sync_schedules"],
)
BIG_DOCUMENT = "Exports/everything-2026.bin"
BIG_BYTES = 40 * 1024 * 1024
HOST = "127.0.0.1"
RP_ID = "localhost"


@dataclass(frozen=True)
class Mail:
    at: float
    to: str
    message: EmailMessage

    @property
    def subject(self) -> str:
        # A long subject is split over several lines.
        return " ".join(str(self.message["Subject"]).split())

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part is not None else ""


class MailServer:
    """An SMTP server on loopback. It stores all mails."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self._controller = Controller(self, hostname=HOST, port=free_port())

    @property
    def port(self) -> int:
        return int(self._controller.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # the name that aiosmtpd requires
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        for to in envelope.rcpt_tos:
            self.mails.append(Mail(clock.monotonic(), to, parsed))
        return "250 OK"

    def start(self) -> None:
        # The library logs every command. The timeline reports the mails that arrived, so this log is not needed.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def wait_for(self, to: str, topic: str, *, part: str = "", within: float = 20) -> Mail:
        """Wait for a mail to this person about this topic, with `part` in its subject or text. Return the first one."""
        ends = clock.monotonic() + within
        while clock.monotonic() < ends:
            for mail in list(self.mails):
                is_it = mail.to.startswith(to) and topic in str(mail.message["X-Lockbox-Topic"])
                if is_it and (part in mail.subject or part in mail.text):
                    return mail
            time.sleep(0.1)
        seen = [(mail.to, mail.subject) for mail in self.mails[-8:]]
        raise Stopped(f"No mail {topic!r} reached {to} within {within:.0f} s. The last ones: {seen}")


class Stage:
    """All that runs during the demo, started and ended together."""

    def __init__(self) -> None:
        self.mail = MailServer()
        self.port = free_port()
        self.base = f"http://{HOST}:{self.port}"
        self.origin = f"http://{RP_ID}:{self.port}"
        self.guarded_port, self.tool_port, self.proxy_secret = free_port(), free_port(), secrets.token_hex(32)
        self.process: subprocess.Popen[bytes] | None = None
        self._passwords: dict[str, str] = {}

    @contextlib.contextmanager
    def set_up(self) -> Iterator[Stage]:
        _empty(Path(settings.DATA_DIR))
        self.mail.start()
        try:
            # One process for all commands, because starting Django takes seconds.
            self.manage("demo", "--prepare", *self._applications())
            self._passwords = people.passwords()
            _write_big_document()
            self._start()
            yield self
        finally:
            self._stop()
            self.mail.stop()

    def _applications(self) -> list[str]:
        secret = hashlib.sha256(self.proxy_secret.encode()).hexdigest()
        guarded, tool = (f"http://localhost:{port}" for port in (self.guarded_port, self.tool_port))
        return ["--guarded", guarded, "--tool", tool, "--proxy-secret-hash", secret]

    def browser(self, login: str) -> Browser:
        """Return a browser in which this person is signed in. `login` is the address or its part before the at-sign."""
        address = next(address for address in self._passwords if address.startswith(f"{login}@"))
        secret = people.app_secrets().get(address)
        browser = Browser(self.base, address, self._passwords[address], App(secret) if secret else None)
        browser.sign_in()
        return browser

    def passkey(self, login: str) -> Authenticator:
        """Add a software passkey to a person's account, and return it."""
        device, challenge = Authenticator(origin=self.origin), secrets.token_bytes(32)
        party = webauthn.Party(rp_id=RP_ID, name=settings.PROVIDER_NAME, origins=frozenset({self.origin}))
        actor = as_(login, fresh=True)
        options = webauthn.registration_options(
            party=party, user_id=actor.person.bytes, email=actor.email, name=actor.name, challenge=challenge
        )
        operations.enrol_passkey(
            actor=actor, response=device.create(options), challenge=challenge, name="Software passkey", party=party
        )
        return device

    def manage(self, *arguments: str) -> str:
        """Run a management command as an operator would, and return its output."""
        done = subprocess.run(  # noqa: S603 - our own command line
            [*settings.MANAGE, *arguments],
            cwd=settings.WORKING_DIRECTORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Stopped(f"manage.py {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-800:]}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **SHORTENED,
            "HOST": HOST,
            "PORT": str(self.port),
            "BASE_URL": self.base,
            # A passkey belongs to a host name, never to an IP address.
            "PASSKEY_RP_ID": RP_ID,
            "PASSKEY_ORIGINS": self.origin,
            "ALLOWED_HOSTS": f"{HOST},localhost",
            "EMAIL_URL": f"smtp://{HOST}:{self.mail.port}",
            "LOG_LEVEL": "WARNING",
        }

    def _start(self) -> None:
        log = (Path(settings.DATA_DIR) / "lockbox.log").open("wb")
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            [*settings.MANAGE, "lockbox"],
            cwd=settings.WORKING_DIRECTORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        ends = clock.monotonic() + 60
        while clock.monotonic() < ends:
            if self.process is not None and self.process.poll() is not None:
                raise Stopped(f"The product ended at once. Its log: {Path(settings.DATA_DIR) / 'lockbox.log'}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.base}/readyz", timeout=5)
                return
            time.sleep(0.3)
        raise Stopped("The product was not ready within a minute.")

    def _stop(self) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=25)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _empty(directory: Path) -> None:
    """Empty the demo's directory. Raise Stopped if the directory was not made by a demo."""
    marker = directory / ".demo"
    # The settings write a key before this runs, so a key alone does not mean that the directory is in use.
    strange = {entry.name for entry in directory.iterdir()} - {"secret_key"} if directory.exists() else set()
    if strange and not marker.exists():
        raise Stopped(f"{directory} was not made by the demo, and is left alone. Name another: DATA_DIR=…")
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    marker.touch()


def _write_big_document() -> None:
    """Write a document so big that the demo can close the window while the document is being read."""
    path = Path(settings.CONTENT_ROOT) / "fabrikam" / "docs" / "engineering" / BIG_DOCUMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(BIG_BYTES)
