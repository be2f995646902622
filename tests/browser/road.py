"""A real installation for one test: PostgreSQL, nginx with TLS in front, a mail server, and all processes.

Its administrator has only the two commands of the documents. Everything else is done in browsers.
"""

from __future__ import annotations

import base64
import email.policy
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import psycopg
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page, expect

from tests.docs.clone import Clone
from tests.ports import free_port

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
#: The host's name. The browser resolves it to this machine; nobody else needs to.
HOST = "lockbox.example"
#: A busy machine can need this many seconds for what an idle one does in a few.
PATIENCE = 120


def wait_for(what: Callable[[], T], why: str) -> T:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {PATIENCE} s: {why}")


# --- Mail --------------------------------------------------------------------------------------------------------


class Letters:
    """The mails that a mail server has taken, in their order."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, EmailMessage]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        parser: Any = BytesParser(policy=email.policy.default)
        message = parser.parsebytes(envelope.content)
        self.taken += [(address, message) for address in envelope.rcpt_tos]
        return "250 Message accepted for delivery"

    def to(self, address: str, subject: str = "", *, about: str = "") -> str:
        """Wait for a mail to this address with these words in its subject and its text, and return its text."""
        return wait_for(lambda: self._found(address, subject, about), f"a mail to {address}: {subject} {about}")

    def link_in(self, address: str, path: str, *, subject: str = "", about: str = "") -> str:
        """Wait for such a mail, and return the first address in it that has this path."""
        text = self.to(address, subject, about=about)
        found = re.search(rf"https?://\S*{path}\S*", text)
        assert found, text
        return found[0]

    def _found(self, address: str, subject: str, about: str) -> str:
        for to, message in reversed(self.taken):
            if to == address and subject in message["Subject"]:
                part = message.get_body(("plain",))
                assert part is not None
                text = str(part.get_content())
                if about in text:
                    return text
        return ""


class Files(Letters):
    """The mails of a trial, which are files."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place

    def _found(self, address: str, subject: str, about: str) -> str:
        parser: Any = BytesParser(policy=email.policy.default)
        files = sorted(self._place.glob("*.eml"), key=lambda path: path.stat().st_mtime)
        messages = [parser.parsebytes(path.read_bytes()) for path in files]
        self.taken = [(message["To"], message) for message in messages]
        return super()._found(address, subject, about)


@contextmanager
def mail_server() -> Iterator[tuple[Letters, int]]:
    letters = Letters()
    controller = Controller(letters, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield letters, controller.port
    finally:
        controller.stop()


# --- PostgreSQL --------------------------------------------------------------------------------------------------


def _starter() -> ModuleType:
    place = importlib.util.spec_from_file_location("with_postgres", ROOT / "bin" / "_with_postgres.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@contextmanager
def empty_postgresql() -> Iterator[str]:
    """Yield the address of an empty database, for a role that row-level security limits."""
    starter = _starter()
    with starter.server() as address:
        with psycopg.connect(starter.admin_of(address), autocommit=True) as superuser:
            superuser.execute("CREATE DATABASE lockbox OWNER lockbox")
        yield address.rpartition("/")[0] + "/lockbox"


# --- nginx -------------------------------------------------------------------------------------------------------


@dataclass
class Proxy:
    """nginx with the configuration of deploy/nginx.conf, on ports of this test and with a certificate of its own."""

    place: Path
    port: int
    behind: int

    @property
    def address(self) -> str:
        return f"https://{HOST}:{self.port}"

    def configuration(self) -> str:
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        text = "\n".join(line for line in text.splitlines() if "[::]" not in line)
        for before, after in {
            "127.0.0.1:8000": f"127.0.0.1:{self.behind}",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "lockbox.example.com": HOST,
            "proxy_set_header Host $host;": "proxy_set_header Host $http_host;",
            "/etc/ssl/lockbox/": f"{self.place}/",
            "/var/log/nginx/": f"{self.place}/",
        }.items():
            assert before in text, before
            text = text.replace(before, after)
        temporary = "".join(f"{kind}_temp_path {self.place}/{kind};\n" for kind in TEMPORARY)
        user = "user root;\n" if os.geteuid() == 0 else ""
        head = f"{user}daemon off;\npid {self.place}/nginx.pid;\nerror_log {self.place}/error.log;\nevents {{}}\n"
        return f"{head}http {{\n{temporary}{text}\n}}\n"

    def make_certificate(self) -> None:
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.place / "privkey.pem", "-out", self.place / "fullchain.pem", "-days", "2",
                "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
            ],
            check=True, capture_output=True,
        )  # fmt: skip

    def flags(self) -> list[str]:
        """Return the flags with which Chromium trusts exactly this certificate, and finds the host."""
        certificate = x509.load_pem_x509_certificate((self.place / "fullchain.pem").read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
        return [f"--ignore-certificate-errors-spki-list={pin}", f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]


#: Where nginx stores what does not fit into memory. Its default places belong to another user.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(place: Path, *, behind: int) -> Iterator[Proxy]:
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    assert program, "There is no nginx here. Install it: this test has it in front of the product."
    place.mkdir()
    proxy = Proxy(place, free_port(), behind)
    proxy.make_certificate()
    (place / "nginx.conf").write_text(proxy.configuration())
    process = subprocess.Popen([program, "-c", place / "nginx.conf", "-p", place, "-e", place / "error.log"])
    try:
        wait_for(lambda: (place / "nginx.pid").exists() or process.poll() is not None, "nginx")
        assert process.poll() is None, (place / "error.log").read_text()
        yield proxy
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


# --- The installation --------------------------------------------------------------------------------------------


@dataclass
class Installation:
    """The product with all its processes, behind the proxy, and the mails that it sends."""

    address: str
    flags: list[str]
    data: Path
    letters: Letters
    printed: str

    @property
    def setup_link(self) -> str:
        found = re.search(r"https?://\S+/set-up/\S+", self.printed)
        assert found, self.printed
        return found[0]

    def key_copy_ending(self) -> str:
        """Return the last four characters of the fingerprint of the encrypted copy of the log's key."""
        return hashlib.sha256((self.data / "log_key_copy.pem").read_bytes()).hexdigest()[-4:]


@contextmanager
def installed(place: Path) -> Iterator[Installation]:
    """Set up an installation on an empty PostgreSQL behind nginx with TLS, with `init` and `serve` alone."""
    with ExitStack() as stack:
        database = stack.enter_context(empty_postgresql())
        letters, mail_port = stack.enter_context(mail_server())
        behind = free_port()
        proxy = stack.enter_context(nginx(place / "nginx", behind=behind))
        data = place / "data"
        answers = {
            "--address": proxy.address,
            "--provider": "Example Cloud",
            "--database": database,
            "--mail": f"smtp://127.0.0.1:{mail_port}",
            "--sender": "lockbox@example.com",
            "--proxies": "1",
            "--host": "127.0.0.1",
            "--port": str(behind),
        }
        init = _customer_lockbox(data, "init", *(word for pair in answers.items() for word in pair))
        printed, _ = init.communicate(timeout=PATIENCE)
        assert init.returncode == 0, printed
        stack.enter_context(_serving(data, place / "serve.log"))
        yield Installation(proxy.address, proxy.flags(), data, letters, printed)


@contextmanager
def trial(place: Path) -> Iterator[Installation]:
    """Run `bin/run --empty` in a copy of the code, as somebody does who tries the product on their own machine."""
    clone = Clone.make(place / "clone")
    port = free_port()
    running = clone.start("bin/run --empty", PORT=str(port))
    try:
        printed = running.until("/set-up/", within=PATIENCE)
        assert "Nobody can sign in yet" not in printed
        assert "Ready: " in printed
        data = clone.data / "empty"
        yield Installation(f"http://localhost:{port}", [], data, Files(data / "mail"), printed)
    finally:
        running.end()


def _customer_lockbox(data: Path, *words: str, output: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the command of bin/customer-lockbox, in an environment that has nothing else."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(data.parent), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "lockbox_site.command_line", *words, "--data-dir", str(data)],
        env=environment, cwd=data.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@contextmanager
def _serving(data: Path, log: Path) -> Iterator[None]:
    with log.open("w") as output:
        process = _customer_lockbox(data, "serve", output=output)
    try:
        wait_for(lambda: "Ready: " in log.read_text() or process.poll() is not None, "serve")
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


# --- People ------------------------------------------------------------------------------------------------------


@dataclass
class Traveller:
    """A person with a browser of their own, and a device that holds their passkeys."""

    page: Page
    at: Installation
    email: str
    tenant: str = ""
    password: str = "correct horse battery 9 staple"  # noqa: S105 - only of this installation

    @classmethod
    def arrive(cls, browser: Browser, at: Installation, email: str) -> Traveller:
        context = browser.new_context(reduced_motion="reduce")
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        device = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": device})
        return cls(page, at, email)

    def open(self, path: str, *, shows: str | re.Pattern[str]) -> Page:
        """Open a page, and give a fresh proof if it is asked for."""
        self.page.goto(f"{self.at.address}{path}")
        self.shows(shows)
        return self.page

    def shows(self, words: str | re.Pattern[str]) -> None:
        """Wait for these words. If a page asks for a fresh proof before them, give it with the passkey."""
        proof = self.page.get_by_role("button", name="Confirm with your passkey")
        wanted = self.page.get_by_text(words).first
        expect(proof.or_(wanted).first).to_be_visible()
        if proof.is_visible():
            proof.click()
            expect(wanted).to_be_visible()

    def press(self, name: str, *, shows: str | re.Pattern[str] = "", within: str = "body") -> None:
        """Press a button, or follow a link, as a person who is in a hurry."""
        place = self.page.locator(within)
        place.get_by_role("button", name=name).or_(place.get_by_role("link", name=name)).first.click()
        if shows:
            self.shows(shows)

    def fill(self, **fields: str) -> None:
        """Fill in fields of a form, by their labels. An underscore is a space of the label."""
        for label, value in fields.items():
            field = self.page.get_by_label(label.replace("_", " "), exact=True)
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def add_passkey(self) -> None:
        """Set up the second factor: a passkey. Outside a trial, the recovery codes are shown once."""
        self.press("Create the passkey")
        saved = self.page.get_by_role("link", name="I have saved them")
        expect(saved.or_(self.page.get_by_text("is added.")).first).to_be_visible()
        if saved.is_visible():
            saved.click()

    def accept(self, name: str) -> None:
        """Follow the link in the mail of an invitation, and set up the second factor."""
        self.page.goto(self.at.letters.link_in(self.email, "/invitation/"))
        self.fill(Your_name=name, Your_password=self.password)
        self.press("Accept and create my account")
        self.add_passkey()
