"""Checks of this machine: settings, files, static files, room on the disk, memory."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from lockbox_site.doctor.findings import Found, ok, problem, warning

#: Less room than this is a problem, or deserves a warning, in bytes.
NO_ROOM, LITTLE_ROOM = 100 * 1024**2, 1024**3
#: The memory that one web server process and one cluster need (docs/operators.md).
NO_MEMORY, LITTLE_MEMORY = 128 * 1024**2, 512 * 1024**2
_PACKAGES = ("lockbox_site", "requests_app", "audit_app")
_MEMORY = Path("/proc/meminfo")
#: Checks of Django for what a site without TLS can't have. One line says the same.
_WITHOUT_TLS = frozenset({"security.W004", "security.W008", "security.W012", "security.W016"})
#: Variables in the file of settings that other programs read.
_OTHERS = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "LANG", "LC_ALL", "PATH", "HOME", "PYTHONUNBUFFERED"})


def settings_fit() -> Iterator[Found]:
    """Check settings that are allowed, but probably wrong."""
    from urllib.parse import urlsplit

    from django.conf import settings

    from requests_app.platform.loopback import is_loopback

    found = []
    host = urlsplit(settings.BASE_URL).hostname or ""
    if settings.DEBUG:
        found.append(problem("DEBUG is on. Pages of errors show code and settings.", "Remove DEBUG from the settings."))
    if not settings.PRODUCTION and not is_loopback(host):
        found.append(
            problem(
                f"PRODUCTION is off, but the address is {settings.BASE_URL}. Cookies and redirects are not protected.",
                "Set PRODUCTION=on.",
            )
        )
    if host not in settings.ALLOWED_HOSTS and f"[{host}]" not in settings.ALLOWED_HOSTS:
        found.append(
            problem(f"BASE_URL leads to {host}, which is not in ALLOWED_HOSTS.", f"Add {host} to ALLOWED_HOSTS.")
        )
    if settings.PRODUCTION:
        found += _in_production(settings)
    for name in unknown_names(Path(settings.DATA_DIR) / ".env"):
        found.append(
            warning(f"No setting has the name {name}, which is in the file .env.", "Correct or remove the line.")
        )
    yield from found or [ok(f"All settings can be read. Production is {'on' if settings.PRODUCTION else 'off'}.")]


def _in_production(settings: object) -> Iterator[Found]:
    for name in ("WEBHOOK_PRIVATE_NETWORK", "WITNESS_PRIVATE_NETWORK", "SSO_PRIVATE_NETWORK"):
        if getattr(settings, name):
            yield warning(
                f"{name} is on. Customers choose these addresses, and can reach your own network.",
                f"Set {name}=off, unless the receivers are in your network.",
            )
    if "@localhost" in str(getattr(settings, "DEFAULT_FROM_EMAIL", "")):
        yield warning(
            "Mails come from an address at localhost, which many servers refuse.",
            "Set DEFAULT_FROM_EMAIL=lockbox@your-domain.",
        )


def unknown_names(path: Path) -> list[str]:
    """Return the names in the file of settings that nothing in the code reads."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = [match[1] for line in lines if (match := re.match(r"\s*(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=", line))]
    return [name for name in names if name.removesuffix("_FILE") not in _names_in_code() and name not in _OTHERS]


@cache
def _names_in_code() -> frozenset[str]:
    root = Path(__file__).resolve().parents[2]
    sources = (path.read_text() for package in _PACKAGES for path in (root / package).rglob("*.py"))
    return frozenset(name for text in sources for name in re.findall(r"\"([A-Z][A-Z0-9_]+)\"", text))


def django_fits() -> Iterator[Found]:
    """Run the checks of `check --deploy`. They only warn outside of production, so they are reported only there."""
    from django.conf import settings
    from django.core import checks

    found = checks.run_checks(include_deployment_checks=settings.PRODUCTION)
    is_without_tls = settings.BASE_URL.startswith("http://") and any(message.id in _WITHOUT_TLS for message in found)
    if is_without_tls:
        found = [message for message in found if message.id not in _WITHOUT_TLS]
        yield warning(
            f"The address is {settings.BASE_URL}, so nothing that people send is encrypted.",
            "For people on other machines, set BASE_URL to an https:// address of a reverse proxy with TLS.",
        )
    for message in sorted(found, key=lambda each: -each.level):
        judge = problem if message.level >= checks.ERROR else warning
        if message.level >= checks.WARNING:
            yield judge(f"{message.id}: {_one_line(message.msg)}", _one_line(message.hint or ""))
    if not is_without_tls and not any(message.level >= checks.WARNING for message in found):
        yield ok("All checks of the start pass.")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def files_are_private() -> Iterator[Found]:
    """Check that no other account can read the files with secrets."""
    from django.conf import settings

    data = Path(settings.DATA_DIR)
    secret = [data / ".env", data / "secret_key", Path(settings.LOG_KEY_FILE)]
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite"):
        secret.append(Path(settings.DATABASES["default"]["NAME"]))
    yield from private(data, secret)


def private(data: Path, secret: list[Path]) -> Iterator[Found]:
    """Check the permissions of the data directory and of these files. This needs no settings."""
    found = []
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        way = f"Run the command with the account of the units, or: chown -R lockbox {data}"
        found.append(problem(f"This account can't read and write {data}.", way))
    for path in secret:
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077 and not _is_closed(data, path):
                found.append(problem(f"Other accounts can read {path} (mode {mode:o}).", f"Run: chmod 600 {path}"))
    yield from found or [ok(f"No other account can read the secrets in {data}.")]


def _is_closed(data: Path, path: Path) -> bool:
    """Return whether the file is in the data directory, and no other account can enter that directory."""
    return data in path.parents and not stat.S_IMODE(data.stat().st_mode) & 0o077


def static_files() -> Iterator[Found]:
    from lockbox_site import readiness
    from requests_app.platform import program, statics

    if why := statics.why_not_collected():
        yield problem(why.partition(" Run: ")[0], f"Run: {program.command('collectstatic --noinput')}")
    elif not (served := readiness.static())["ok"]:
        yield problem(str(served["detail"]), f"Run: {program.command('collectstatic --noinput')}")
    else:
        yield ok("The static files of this version are collected.")


def room() -> Iterator[Found]:
    """Check that there is room where data and temporary files are written."""
    from django.conf import settings

    yield room_in("the data directory", Path(settings.DATA_DIR))
    yield room_in("temporary files", Path(tempfile.gettempdir()))


def room_in(name: str, path: Path) -> Found:
    free = shutil.disk_usage(path).free
    facts = os.statvfs(path)
    shown = f"{free / 1024**3:.1f} GiB are free for {name} ({path})."
    if facts.f_files and facts.f_favail < 1000:
        return problem(f"Only {facts.f_favail} more files fit into {path}.", "Delete old files there.")
    if free < NO_ROOM:
        return problem(shown, f"Make room in {path}. Without room, no act is saved.")
    return warning(shown, f"Make room in {path}, or give it a larger disk.") if free < LITTLE_ROOM else ok(shown)


def memory() -> Iterator[Found]:
    try:
        text = _MEMORY.read_text()
    except OSError:
        yield ok("The free memory can't be read on this system.")
        return
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    free = int(match[1]) * 1024 if match else LITTLE_MEMORY
    shown = f"{free / 1024**2:.0f} MiB of memory are available."
    more = "Give the machine more memory, or lower WEB_WORKERS, CLUSTERS or WORKERS."
    yield problem(shown, more) if free < NO_MEMORY else warning(shown, more) if free < LITTLE_MEMORY else ok(shown)
