"""Knows the words that `customer-lockbox` understands, and what its help says about each.

This reads the commands' files and imports none of them: they need the settings of an installation, and take seconds.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: The words of `customer-lockbox` itself. Every other word is a command of Django.
OURS = {
    "init": "set up an installation, or finish what is missing; asks, or takes flags",
    "setup-link": "print a new link for the first staff member",
    "deploy-files": "write units for systemd, and examples for proxies and monitoring, into a directory",
    "serve": "run everything in one foreground process: web server, workers, beat, proxy for web tools",
    "web": "run only the web server",
    "worker": "run only the task workers",
    "beat": "run only the beat, which starts periodic work",
    "tools": "run only the proxy for web tools",
    "probe": "say whether the parts in this container live, or are ready",
}
#: What the help says about commands of Django.
WORDS_FOR_DJANGO = {
    "migrate": "bring the database up to date",
    "collectstatic": "collect the static files of the pages; --noinput asks nothing",
    "check": "check settings and code; with --deploy, also what only production needs",
}
#: The commands that operators use, by purpose. A command that is not here is listed as another command.
GROUPS = {
    "Set up": ("init", "setup-link", "set_up", "deploy-files"),
    "Run": ("serve", "web", "worker", "beat", "tools", "ready", "probe"),
    "Upgrade and check": ("migrate", "collectstatic", "sync_schedules", "check", "doctor"),
    "Customers, people and resources": ("plan", "apply", "import", "export"),
    "Back up and restore": ("backup", "restore", "restored_by_hand", "log_heads", "tombstone"),
    "The log": ("log_key", "checkpoint", "verify_audit", "evidence", "export_log", "index_logs"),
    "Keys and the queue": ("reseal", "roll_token_keys", "provider_metadata", "sweep", "drain_outbox"),
    "Try it": ("demo",),
}
#: Commands that other commands start, that developers use, or that have a better form above.
NOT_LISTED = frozenset(
    {"lockbox", "cluster", "tool_proxy", "heartbeat", "setup_link", "lifecycle_docs", "openapi", "createsuperuser"}
    # For trials in the source tree (bin/run).
    | {"demo_world", "demo_people"}
)
#: The packages with commands for operators. Those of django-q2 and of the API framework are not for them.
OF_PRODUCT = ("lockbox_site", "requests_app", "audit_app")
OF_DJANGO = (
    "django.core", "django.contrib.staticfiles", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions",
)  # fmt: skip
#: The longest text of a command. From a longer one, only the parts before a comma are shown.
LENGTH = 100


def help_lines() -> Iterator[str]:
    """Yield the commands in groups, each with one line."""
    listed = {name for names in GROUPS.values() for name in names}
    others = tuple(sorted(set(_files(OF_PRODUCT)) - listed - NOT_LISTED))
    for title, names in {**GROUPS, "Other commands": others}.items():
        lines = [(name, text) for name in names if (text := _about(name))]
        if lines:
            yield ""
            yield f"{title}:"
            yield from (f"  {name:<16} {text}" for name, text in lines)


def is_known(name: str) -> bool:
    return name in OURS or name == "help" or name in _files((*OF_DJANGO, *OF_PRODUCT))


def nearest(name: str) -> str:
    """Return the command that is written most like this name, or ""."""
    return next(iter(difflib.get_close_matches(name, [*OURS, *_files((*OF_DJANGO, *OF_PRODUCT))], n=1)), "")


def _about(name: str) -> str:
    """Return what the help says about a command, or "" if there is no such command."""
    if text := OURS.get(name) or WORDS_FOR_DJANGO.get(name):
        return text
    file = _files(OF_PRODUCT).get(name)
    sentence = re.split(r"[.;:](?:\s|$)", _help_in(file) if file else "", maxsplit=1)[0].replace("`", "")
    while len(sentence) > LENGTH and "," in sentence:
        sentence = sentence.rpartition(",")[0]
    return sentence[:1].lower() + sentence[1:]


def _help_in(file: Path) -> str:
    """Return the text `help` of the command in this file, or ""."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["help"]:
            # The text may be marked for translation.
            value = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    return ""


@cache
def _files(packages: Sequence[str]) -> dict[str, Path]:
    """Return the files of the commands in these packages, by the commands' names."""
    found: dict[str, Path] = {}
    for package in packages:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations if spec is not None else None) or ():
            files = sorted(Path(place, "management", "commands").glob("[!_]*.py"))
            found |= {file.stem: file for file in files}
    return found
