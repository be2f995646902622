"""The rules for the files in deploy/. Each function returns the breaches, one line for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from django.conf import settings

from lockbox_site import command_words, environment
from tests.site.test_settings import names_read
from tests.sources import ROOT, nodes_of, text_of

Service = Mapping[str, Any]

#: Services of other projects, with the reason for what they have and the product's services have not.
NOT_OURS = {"database": "runs as the account of its image", "proxy": "binds ports below 1024"}
#: Services that end, or that run a command at times. They have no supervisor that a probe could ask.
WITHOUT_PROBE = frozenset({"migrate", "backup", "heads"})
#: Names in the environment of a service that are not settings of the product.
OF_OTHERS = {"POSTGRES_PASSWORD_FILE", "SITE_HOST", "SITE_TLS"}
_SOUNDS_SECRET = re.compile(r"(SECRET|PASSWORD|PASSPHRASE|TOKEN|_KEY|_PIN|DATABASE_URL|EMAIL_URL)$")


@cache
def setting_names() -> frozenset[str]:
    """Return each name that the settings read, and NAME_FILE for each secret."""
    names = names_read(nodes_of(ROOT / "lockbox_site" / "settings.py"))
    return frozenset(names | {f"{name}{environment.IN_FILE}" for name in environment.SECRETS})


def environment_breaches(where: str, given: Mapping[str, str], files: set[str]) -> Iterator[str]:
    """`given` is the environment of a container, and `files` are the paths of the secrets that are mounted there."""
    for name, value in given.items():
        if name not in setting_names() | OF_OTHERS:
            yield f"{where}: {name} is not a setting"
        if _SOUNDS_SECRET.search(name) or name in environment.SECRETS:
            yield f"{where}: {name} is a secret in the environment"
        if "://" in value and "@" in value:
            yield f"{where}: {name} may have a password"
        if name.endswith("_FILE") and value.startswith("/run/secrets/") and value not in files:
            yield f"{where}: {name} names a file that is not mounted"


def word_breaches(where: str, words: list[str]) -> Iterator[str]:
    """Judge the command of a container, or the commands in its shell loop."""
    line = " ".join(words)
    names = re.findall(r"customer-lockbox (\w[\w-]*)", line) or words[:1]
    for name in names:
        if not command_words.is_known(name):
            yield f"{where}: there is no command {name}"


def seconds(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found, text
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def compose_breaches(document: Mapping[str, Any]) -> list[str]:
    return [line for name, service in document["services"].items() for line in _service_breaches(name, service)] + list(
        _place_breaches(document)
    )


def _service_breaches(name: str, service: Service) -> Iterator[str]:
    if service.get("read_only") is not True:
        yield f"{name}: its root can be written"
    if service.get("cap_drop") != ["ALL"]:
        yield f"{name}: keeps capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name}: can gain privileges"
    if "ports" in service and name != "proxy":
        yield f"{name}: opens a port of the machine"
    has_check = "test" in service.get("healthcheck", {})
    if not has_check and name not in WITHOUT_PROBE:
        yield f"{name}: has no health check"
    files = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
    yield from environment_breaches(name, service.get("environment", {}), files)
    if seconds(service.get("stop_grace_period", "10s")) <= settings.STOP_SECONDS + 5:
        yield f"{name}: is killed before it can end"
    if name in NOT_OURS:
        return
    if service.get("cap_add"):
        yield f"{name}: gets capabilities"
    if not re.search(r"\d{4,}", str(service.get("user", ""))):
        yield f"{name}: has no user of its own"
    yield from word_breaches(name, service["command"])


def _place_breaches(document: Mapping[str, Any]) -> Iterator[str]:
    """The heads show that a database is an older copy, so they are elsewhere. Only the signer has the key."""
    services = document["services"]
    holders = {
        name: {str(volume).partition(":")[0] for volume in service.get("volumes", [])}
        for name, service in services.items()
    }
    if [name for name, volumes in holders.items() if "database" in volumes] != ["database"]:
        yield "The database's volume is not the database's alone"
    parts = {name for name, volumes in holders.items() if "signer" in volumes} - WITHOUT_PROBE
    if parts != {"signer"}:
        yield f"The signer's volume is used by {sorted(parts)}"
    if services["database"]["networks"] != ["inside"] or document["networks"]["inside"] != {"internal": True}:
        yield "The database can be reached from outside"


# --- The image -------------------------------------------------------------------------------------------


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Containerfile: (word, rest)."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    return [
        (word.upper(), " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def containerfile_breaches(text: str) -> list[str]:
    found = instructions(text)
    last = max(at for at, (word, _) in enumerate(found) if word == "FROM")
    final = found[last:]
    breaches = []
    users = [rest for word, rest in final if word == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[-1]):
        breaches.append("The image has no user with a fixed number")
    if any(word == "ADD" or (word == "COPY" and re.match(r"\S*\.\s", rest)) for word, rest in found):
        breaches.append("A whole directory is copied")
    for word, rest in found:
        if word in ("ENV", "ARG") and any(_SOUNDS_SECRET.search(name) for name in re.findall(r"(\w+)=", rest)):
            breaches.append(f"A secret would be in the image: {rest}")
        if word == "RUN" and " install " in rest and "pip" in rest and not _is_locked(rest):
            breaches.append(f"Packages without a hash: {rest}")
        if word == "RUN" and word in [w for w, _ in final] and (word, rest) in final and "apt-get install" in rest:
            if "rm -rf /var/lib/apt/lists" not in rest:
                breaches.append("The lists of packages stay in a layer")
            if re.search(r"\b(gcc|build-essential|python3-venv|python3-pip|git)\b", rest):
                breaches.append("A build tool is in the image")
    words = {word for word, _ in final}
    breaches += [f"{word} is missing" for word in ("HEALTHCHECK", "ENTRYPOINT", "LABEL") if word not in words]
    if not any(word == "ENTRYPOINT" and rest.startswith('["tini"') for word, rest in final):
        breaches.append("Nobody collects ended processes")
    return breaches


def _is_locked(line: str) -> bool:
    """Return whether each call of pip installs packages with hashes, or only the wheel that was built just now."""
    calls = [
        call for call in re.split(r";|&&", line) if re.search(r"\bpip\b.*\binstall\b", call) and "apt-get" not in call
    ]
    return all("--require-hashes" in call or "--no-deps --no-index" in call for call in calls)


def copied(text: str) -> set[str]:
    """Return the paths of the source code that a Containerfile copies."""
    return {
        path
        for word, rest in instructions(text)
        if word == "COPY" and "--from=" not in rest
        for path in rest.split()[:-1]
    }


def containerfile() -> str:
    return text_of(ROOT / "deploy" / "Containerfile")
