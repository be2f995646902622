"""Tests the answers to the questions of `customer-lockbox init`, as they are given. Reads no settings."""

from __future__ import annotations

import fcntl
import os
import smtplib
import socket
import ssl
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from environ import Env

from lockbox_site import listening
from requests_app.platform.certificates import AUTHORITIES, Fault, fault_of, trust
from requests_app.platform.database import versions
from requests_app.platform.loopback import is_loopback

#: The seconds for the mail server and for the database.
WITHIN = 10
MOST_PROXIES = 10


class WrongAnswer(Exception):
    """An answer can't be used. The text is one line that says what happened and what to do."""


def directory(path: Path) -> None:
    """Make the data directory if it is missing. Raise WrongAnswer unless this account can write it and nobody else."""
    other = "Choose another directory with --data-dir."
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.stat()
        if os.geteuid() == 0 and facts.st_uid != 0:
            raise WrongAnswer(
                f"The directory {path} belongs to another account, and you are root. Run the command as that account: "
                f"runuser -u {path.owner()} -- customer-lockbox init"
            )
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as failure:
        raise WrongAnswer(f"The directory {path} can't be written ({failure.strerror}). {other}") from None
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise WrongAnswer(f"Other accounts can use the directory {path}. Run: chmod 700 {path}")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Inside the block, no other `init` works on this data directory. Raise WrongAnswer if another one does already.

    Each would make its own keys, and what was sealed with those that are replaced could never be read again.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise WrongAnswer(
            f"Another init works on {path} at this moment, perhaps in another terminal. Finish or end it. "
            "Then run init again, if something is still missing."
        ) from None
    except OSError:
        # Some network file systems can't lock a directory. The keys are read again before they are written.
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def address(text: str) -> str:
    """Return the address of the site. Raise WrongAnswer unless it has TLS or leads to this machine."""
    raw = text.strip().rstrip("/")
    example = "Write it like https://lockbox.example.com"
    try:
        parts = urlsplit(raw)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is not a number, or half of an IPv6 address
        is_sound = False
    if not is_sound or parts.username is not None or parts.path or parts.query or parts.fragment:
        raise WrongAnswer(f"{raw!r} is not the address of a site. {example}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise WrongAnswer(f"{raw} has no TLS, so others could read passwords and content. {example}")
    return raw if raw.isascii() else _in_ascii(raw, parts.hostname or "", parts.port)


def _in_ascii(raw: str, host: str, port: int | None) -> str:
    """Return the address in the form that browsers send. The scheme is https: no name like this is of this machine."""
    try:
        found = host.encode("idna").decode("ascii")
    except UnicodeError:
        found = ""
    # Python has the older rules for these: browsers would go to another site.
    if not found or set(host) & set("ßς\u200c\u200d"):
        raise WrongAnswer(f"Write the name in {raw} in its ASCII form, which begins with xn--") from None
    return f"https://{found}" + (f":{port}" if port else "")


def name(text: str) -> str:
    found = " ".join(text.split())
    if not found or len(found) > 120 or not found.isprintable():
        raise WrongAnswer("Write the provider's name, with at most 120 characters.")
    if found[0] == "$" or (found[0] == found[-1] and found[0] in "\"'"):
        # The reader of the file .env takes the first for the name of a variable, and removes the quotation marks.
        raise WrongAnswer("The provider's name can't begin with $, or be within quotation marks.")
    return found


def database(url: str) -> str:
    """Return the database's address. Raise WrongAnswer unless the product can work with this database."""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if not os.access(path.parent, os.W_OK):
            raise WrongAnswer(f"The directory {path.parent} can't be written, so SQLite can't be used there.")
        return url
    if not url.startswith(("postgres://", "postgresql://")):
        raise WrongAnswer("The database's address must begin with postgres:// or sqlite:///")
    try:
        with psycopg.connect(url, connect_timeout=WITHIN, application_name="customer-lockbox init") as connection:
            facts = _facts(connection)
    except psycopg.Error as failure:
        # The text names host and account, and never the password.
        why = " ".join(str(failure).split())
        raise WrongAnswer(f"The database doesn't work: {why}") from None
    _require_fit(*facts)
    return url


def _facts(connection: psycopg.Connection[Any]) -> tuple[int, str, str, bool, bool, bool]:
    """Return the version, the database, the role, its rights and limits, and whether the server only reads."""
    row = connection.execute(
        "SELECT current_database(), current_user, rolsuper OR rolbypassrls, "
        "coalesce(has_schema_privilege(current_user, current_schema(), 'CREATE'), false), pg_is_in_recovery() "
        "FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    return versions.major(connection.info.server_version), row[0], row[1], row[2], row[3], row[4]


def _require_fit(
    version: int, database: str, role: str, is_unlimited: bool, can_create: bool, is_standby: bool
) -> None:
    if why := versions.why_too_old(version):
        raise WrongAnswer(why)
    if is_standby:
        raise WrongAnswer("The server is a standby, which only reads. Name the server that accepts writes.")
    if is_unlimited:
        raise WrongAnswer(
            f"Row-level security doesn't limit the role {role}. Run as a superuser: "
            f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS"
        )
    if not can_create:
        raise WrongAnswer(
            f"The role {role} can't create tables. Make it the owner of the database. Run as a superuser: "
            f"ALTER DATABASE {database} OWNER TO {role}"
        )


def mail(url: str) -> str:
    """Return the mail server's address. Raise WrongAnswer unless the server accepts a connection, TLS and the login.

    Nothing is sent.
    """
    if not url.startswith(("smtp://", "smtp+tls://", "smtp+ssl://")):
        raise WrongAnswer(
            "The mail server's address must begin with smtp+tls://, smtp+ssl:// or smtp://. "
            "Write it like smtp+tls://user:password@mail.example.com:587"
        )
    try:
        found = Env.email_url_config(url)
        host, port = found["EMAIL_HOST"] or "localhost", int(found["EMAIL_PORT"] or 25)
    except (ValueError, KeyError):
        raise WrongAnswer("The mail server's address has a mistake, for example in the port.") from None
    user, password = found["EMAIL_HOST_USER"] or "", found["EMAIL_HOST_PASSWORD"] or ""
    has_tls, has_ssl = bool(found.get("EMAIL_USE_TLS")), bool(found.get("EMAIL_USE_SSL"))
    if user and not (has_tls or has_ssl or is_loopback(host)):
        raise WrongAnswer("Without TLS, others could read the mail server's password. Use smtp+tls:// or smtp+ssl://")
    greet_mail_server(host, port, user, password, has_tls=has_tls, has_ssl=has_ssl)
    return url


def greet_mail_server(host: str, port: int, user: str, password: str, *, has_tls: bool, has_ssl: bool) -> None:
    """Do everything that comes before a mail. Raise WrongAnswer if the server does not accept it."""
    try:
        _greet(host, port, user, password, has_tls=has_tls, has_ssl=has_ssl)
    except (OSError, smtplib.SMTPException, UnicodeError) as failure:
        raise WrongAnswer(f"The mail server {host}:{port} {_why_not(failure)}") from None


#: What to do about a certificate.
_WAYS_OUT = {
    Fault.NAME: "Use the name in the certificate.",
    Fault.ISSUER: "If a certificate authority of your own made it, put that authority's certificate into a file, and "
    f"run init with its path: {AUTHORITIES}=/etc/lockbox-ca.pem",
    Fault.OTHER: "Replace the certificate, or the one of its authority.",
}


def authorities(text: str) -> str:
    """Trust the certificate authorities in this file too, and return its absolute path."""
    path = Path(text).absolute()
    try:
        trust(path)
    except OSError as failure:
        why = failure.strerror or str(failure)
        raise WrongAnswer(f"{AUTHORITIES}: the file {path} has no certificate that can be read ({why}).") from None
    return str(path)


def _why_not(failure: Exception) -> str:
    """Return what a mail server did, and what to do about it."""
    match failure:
        case smtplib.SMTPAuthenticationError():
            return (
                f"refused the user name or the password ({_reply(failure)}). Check both; in the address, write special "
                "characters as %40 for @ and %3A for :"
            )
        case ssl.SSLCertVerificationError() if fault := fault_of(failure):
            return f"has a certificate that is not valid: {failure.verify_message.rstrip('.')}. {_WAYS_OUT[fault]}"
        case ssl.SSLError():
            return f"doesn't speak TLS here ({failure.reason}). Check the port, and smtp+tls:// or smtp+ssl://"
        case smtplib.SMTPNotSupportedError():
            return f"doesn't offer what is needed ({failure}) Check the port, and smtp+tls:// or smtp+ssl://"
        case smtplib.SMTPResponseException():
            return f"refused the connection ({_reply(failure)})."
        case socket.gaierror():
            return "is not known. Check its name."
    why = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    return f"doesn't answer ({why}). Check its name, the port and the firewall."


def _greet(host: str, port: int, user: str, password: str, *, has_tls: bool, has_ssl: bool) -> None:
    """Do everything that comes before a mail, with the checks of the certificate that sending makes too."""
    secure = ssl.create_default_context()
    made = (
        smtplib.SMTP_SSL(host, port, timeout=WITHIN, context=secure)
        if has_ssl
        else smtplib.SMTP(host, port, timeout=WITHIN)
    )
    with made as server:
        server.ehlo_or_helo_if_needed()
        if has_tls:
            server.starttls(context=secure)
            server.ehlo_or_helo_if_needed()
        if user:
            server.login(user, password)


def _reply(failure: smtplib.SMTPResponseException) -> str:
    raw = failure.smtp_error
    words = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    return " ".join([str(failure.smtp_code), *words.split()])


def sender(text: str) -> str:
    """Return the sender of mails: an address, or a name with an address in angle brackets."""
    found = text.strip()
    try:
        validate_email(parseaddr(found)[1])
    except ValidationError:
        raise WrongAnswer(
            "Write the sender like lockbox@example.com or Customer Lockbox <lockbox@example.com>"
        ) from None
    if not found.isprintable():
        raise WrongAnswer("The sender can't contain line breaks.")
    return found


def host(text: str) -> str:
    found = text.strip()
    try:
        socket.getaddrinfo(found, None)
    except (OSError, UnicodeError):
        raise WrongAnswer(f"{found!r} is not an address of this machine. Usually it is 127.0.0.1") from None
    return found


def port(text: str, *, at: str) -> str:
    """Return the port. Raise WrongAnswer if it is in use at the host `at`."""
    number = _number(text, least=1, most=65535, what="A port")
    if why := listening.why_not(at, number, choosing=lambda other: f"--port {other}"):
        raise WrongAnswer(why)
    return str(number)


def proxies(text: str, *, base_url: str) -> str:
    """Return the number of reverse proxies. Raise WrongAnswer for 0 if the site has TLS, which a proxy provides."""
    number = _number(text, least=0, most=MOST_PROXIES, what="The number of proxies")
    if number == 0 and base_url.startswith("https://"):
        raise WrongAnswer("A reverse proxy must provide the TLS of https://, so there is at least 1 proxy.")
    return str(number)


def _number(text: str, *, least: int, most: int, what: str) -> int:
    raw = text.strip()
    if not (raw.isascii() and raw.isdecimal() and least <= int(raw[:9]) <= most):
        raise WrongAnswer(f"{what} is a number from {least} to {most}, not {raw!r}.")
    return int(raw)
