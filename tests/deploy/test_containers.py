"""The image and the compose file keep the rules that `docs/containers.md` promises. Nothing is built here."""

from __future__ import annotations

import copy
import json
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import rules
from tests.sources import ROOT, text_of

# Through JSON, because services that come from one anchor would share their parts.
COMPOSE = json.loads(json.dumps(yaml.safe_load(text_of(ROOT / "deploy" / "compose.yaml"))))


def test_the_compose_file_keeps_the_rules() -> None:
    assert rules.compose_breaches(COMPOSE) == []


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    document = copy.deepcopy(COMPOSE)
    change(document["services"])
    return rules.compose_breaches(document)


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (lambda s: s["web1"].pop("read_only"), "web1: its root can be written"),
        (lambda s: s["worker"].update(cap_drop=[]), "worker: keeps capabilities"),
        (lambda s: s["beat"].update(security_opt=[]), "beat: can gain privileges"),
        (lambda s: s["beat"].update(user="root"), "beat: has no user of its own"),
        (lambda s: s["web2"].pop("healthcheck"), "web2: has no health check"),
        (lambda s: s["web2"].update(stop_grace_period="15s"), "web2: is killed before it can end"),
        (lambda s: s["web1"].update(ports=["8000:8000"]), "web1: opens a port of the machine"),
        (lambda s: s["tools"].update(command=["tool"]), "tools: there is no command tool"),
        (lambda s: s["backup"].update(command=["customer-lockbox bakup"]), "backup: there is no command bakup"),
        (lambda s: s["web1"]["environment"].update(SECRET_KEY="k"), "web1: SECRET_KEY is a secret in the environment"),
        (lambda s: s["web1"]["environment"].update(SWEEP="1"), "web1: SWEEP is not a setting"),
        (
            lambda s: s["web1"]["environment"].update(CONTENT_ROOT="x://me:word@host"),
            "web1: CONTENT_ROOT may have a password",
        ),
        (lambda s: s["worker"]["secrets"].remove("secret_key"), "worker: SECRET_KEY_FILE names a file that is not"),
        (lambda s: s["worker"]["volumes"].append("signer:/x"), "The signer's volume is used by ['signer', 'worker']"),
        (lambda s: s["signer"]["volumes"].append("database:/x"), "The database's volume is not the database's alone"),
        (lambda s: s["database"].update(networks=["outside"]), "The database can be reached from outside"),
    ],
)
def test_a_compose_file_that_breaks_a_rule_is_found(change: Callable[[dict[str, Any]], object], breach: str) -> None:
    assert any(line.startswith(breach) for line in changed(change))


def test_each_secret_of_the_compose_file_is_made_by_the_script_or_asked_for(tmp_path: Path) -> None:
    """A second run replaces no secret. Only the account of the containers can read them."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "make-secrets.sh"
    script.write_text(text_of(ROOT / "deploy" / "compose" / "make-secrets.sh"))
    owners = tmp_path / "owners"
    for name, body in {"id": "echo 0", "chown": f'echo "$@" >>{owners}'}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LOCKBOX_UID": "20000"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", str(script)], env=env, capture_output=True, text=True)

    first = run()
    assert (first.returncode, "email_url" in first.stdout) == (1, True)
    secrets = tmp_path / "secrets"
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(COMPOSE["secrets"]) == set(made) | {"email_url"}
    assert len(set(made.values())) == len(made)
    assert made["database_url"] == f"postgres://lockbox:{made['database_password']}@database/lockbox"
    (secrets / "email_url").write_text("smtp+tls://me:word@mail.example.com:587")
    assert run().returncode == 0
    assert {name: (secrets / name).read_text() for name in made} == made
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o400}
    assert "20000" in owners.read_text()


def test_a_secret_of_the_script_is_strong_enough_for_production() -> None:
    from lockbox_site import production

    text = text_of(ROOT / "deploy" / "compose" / "make-secrets.sh")
    assert 'secret "$name" 48' in text
    assert not production.is_weak(os.urandom(48).hex())


# --- The image -------------------------------------------------------------------------------------------


def test_the_containerfile_keeps_the_rules() -> None:
    assert rules.containerfile_breaches(rules.containerfile()) == []


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("USER 10001:10001", "USER lockbox", "The image has no user with a fixed number"),
        ("COPY templates templates", "COPY . .", "A whole directory is copied"),
        ("ENV PATH=", "ENV SECRET_KEY=x PATH=", "A secret would be in the image"),
        (" --require-hashes", "", "Packages without a hash"),
        ("tini tzdata", "tini tzdata git", "A build tool is in the image"),
        ("rm -rf /var/lib/apt/lists/*", "rm -rf", "The lists of packages stay in a layer"),
        ("HEALTHCHECK", "# ", "HEALTHCHECK is missing"),
        ('["tini", "--", "customer-lockbox"]', '["customer-lockbox"]', "Nobody collects ended processes"),
    ],
)
def test_a_containerfile_that_breaks_a_rule_is_found(old: str, new: str, breach: str) -> None:
    text = rules.containerfile()
    assert old in text
    assert any(line.startswith(breach) for line in rules.containerfile_breaches(text.replace(old, new)))


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    paths = rules.copied(rules.containerfile())
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    first, *lines = [line for line in text_of(ROOT / ".dockerignore").splitlines() if line and line[0] != "#"]
    assert first == "*", "files without a line of their own are left out"
    named = {line[1:] for line in lines if line.startswith("!")}
    assert [
        path for path in sorted(paths) if not any(path == name or path.startswith(f"{name}/") for name in named)
    ] == []
    assert named <= paths | {path.partition("/")[0] for path in paths}
    assert {"**/.env", "deploy/compose/secrets"} <= set(lines)


@pytest.mark.parametrize("extra", ["otel", "pkcs11"])
def test_an_extra_of_the_image_is_the_extra_of_the_wheel_in_the_versions_of_the_tests(extra: str) -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert set(project["optional-dependencies"]) == {"otel", "pkcs11"}
    place = ROOT / "deploy" / f"requirements-{extra}.in"
    named = [line for line in text_of(place).splitlines() if line[0] not in "#-"]
    assert named == project["optional-dependencies"][extra]
    locked = pinned(place.with_suffix(".txt"))
    assert {re.split("[>=]", line)[0] for line in named} <= set(locked)
    for name, (version, hashes) in locked.items():
        assert hashes, f"{name} has no hash"
        for lock in ("requirements.txt", "requirements-dev.txt"):
            assert pinned(ROOT / lock).get(name, (version, hashes)) == (version, hashes)
        assert name in pinned(ROOT / "requirements-dev.txt"), f"no test uses {name}"


@cache
def pinned(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the packages of a lock file, with their versions and hashes."""
    found = {}
    for entry in re.split(r"\n(?=[A-Za-z])", text_of(lock)):
        name, _, rest = entry.partition("==")
        found[name] = (rest.split()[0], frozenset(re.findall(r"sha256:\w+", rest)))
    return found


def test_the_settings_of_the_image_exist() -> None:
    env = " ".join(rest for word, rest in rules.instructions(rules.containerfile()) if word == "ENV")
    names = {pair.partition("=")[0] for pair in env.split()} - {"PATH", "LANG", "HOME"}
    assert {name for name in names if not name.startswith("PYTHON")} <= rules.setting_names()
