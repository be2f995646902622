"""The wheel has all that the product needs and nothing else. Its installation works without the source tree."""

from __future__ import annotations

import email
import errno
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hatch_build
import lockbox_site
from lockbox_site import command_words, django_commands, starting
from tests.outbox.conftest import Postbox, Server
from tests.ports import free_port
from tests.sources import PACKAGES, ROOT, files_in
from tests.wheels import EPOCH, Environment, build

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CARRIED: dict[str, str] = {
    **PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"],
    "deploy": "lockbox_site/deploy",  # by hatch_build.py
}
#: What a project of Django may have in the same environment, with names that others have too.
THEIRS = {
    "theirs/__init__.py": "",
    "theirs/settings.py": "SECRET_KEY = 'x'\nINSTALLED_APPS = ['theirs']\nROOT_URLCONF = 'theirs.urls'\n",
    "theirs/urls.py": "urlpatterns = []\n",
    "templates/__init__.py": "WHOSE = 'theirs'\n",
    "templates/base.html": "theirs",
    "static/__init__.py": "WHOSE = 'theirs'\n",
    "tests/__init__.py": "WHOSE = 'theirs'\n",
}
#: Prints where the modules of a process are from.
MODULES = """
import json, sys
import templates, static, tests
print(json.dumps({
    "path": sys.path,
    "files": [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))],
    "whose": [module.WHOSE for module in (templates, static, tests)],
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with the wheel, beside a project of Django of somebody else."""
    made = Environment.with_packages_of_this_run(tmp_path_factory.mktemp("installed") / "venv")
    for name, text in THEIRS.items():
        (made.packages / name).parent.mkdir(parents=True, exist_ok=True)
        (made.packages / name).write_text(text)
    made.install(wheel)
    made.variables["DJANGO_SETTINGS_MODULE"] = "theirs.settings"
    return made


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def metadata_of(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def shape(requirement: Requirement) -> tuple[str, ...]:
    """Return what a requirement says, in the one form in which two can be compared."""
    return canonicalize_name(requirement.name), *sorted(requirement.extras), str(requirement.specifier)


def expected() -> set[str]:
    """Return the files of the source tree that the wheel must have, with their names there."""
    found = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in files_in(package)}
    for source, target in CARRIED.items():
        files = [ROOT / source] if (ROOT / source).is_file() else files_in(source)
        found |= {f"{target}/{file.relative_to(ROOT / source).as_posix()}".removesuffix("/.") for file in files}
    return found


# --- What is in it ------------------------------------------------------------------------------------------


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    found = {name for name in names_in(wheel) if ".dist-info/" not in name}
    assert found == expected()
    assert {name.partition("/")[0] for name in found} == set(PACKAGES)
    for place in ("templates", "static"):
        assert {f"lockbox_site/{path.relative_to(ROOT).as_posix()}" for path in files_in(place)} <= found


def test_no_package_has_the_secrets_that_an_operator_made_in_the_source_tree(tmp_path: Path) -> None:
    """docs/containers.md makes them in deploy/. Later, the same tree may be built."""
    for name in ("compose.yaml", "compose/make-secrets.sh", "compose/secrets/secret_key", ".env"):
        path = tmp_path / "deploy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    carried = set(hatch_build.examples(tmp_path).values())
    assert carried == {f"lockbox_site/deploy/{name}" for name in ("compose.yaml", "compose/make-secrets.sh")}
    secret = "deploy/compose/secrets/secret_key"
    done = subprocess.run(["git", "check-ignore", "--no-index", secret, "deploy/.env"], cwd=ROOT, capture_output=True)
    assert len(done.stdout.splitlines()) == 2, "neither a commit nor the source archive has them"


def test_the_wheel_names_its_version_its_command_and_the_dependencies_of_the_lock_files_source(wheel: Path) -> None:
    facts = metadata_of(wheel)
    assert (facts["Name"], facts["Version"]) == ("customer-lockbox", lockbox_site.__version__)
    wanted = [Requirement(text) for text in facts.get_all("Requires-Dist")]
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    named = {shape(Requirement(line)) for line in lines if line}
    assert {shape(each) for each in wanted if each.marker is None} == named
    assert set(facts.get_all("Provides-Extra")) == {"otel", "pkcs11"}
    with zipfile.ZipFile(wheel) as archive:
        [points] = [archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert points.split("\n")[:2] == ["[console_scripts]", "customer-lockbox = lockbox_site.command_line:main"]


def test_the_source_archive_is_whole(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.glob("customer_lockbox-*")
    for place in (*PACKAGES, "templates", "static", "tests", "docs", "bin", "deploy", "verify", "clients", "bench"):
        there = [path.relative_to(ROOT) for path in files_in(place) if is_source(path)]
        missing = [path for path in there if not (unpacked / path).exists()]
        assert missing == [], place
    with zipfile.ZipFile(wheel) as packed:
        assert {entry.date_time[:3] for entry in packed.infolist()} == {time.gmtime(int(EPOCH))[:3]}


def is_source(path: Path) -> bool:
    """Return whether git would have this file. Builds and tests make others in these directories."""
    made = {"node_modules", "build", "dist", "lockbox_client"}
    places = path.relative_to(ROOT).parts[:-1]
    return path.suffix != ".pyc" and not any(place in made or place.endswith("_cache") for place in places)


# --- What an installation does ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_installation_beside_another_project_works_from_init_to_the_first_page(
    installed: Environment, tmp_path: Path
) -> None:
    assert_it_works(installed, tmp_path / "data")
    facts = json.loads(installed.done("shell", "--verbosity", "0", "-c", MODULES, "--data-dir", str(tmp_path / "data")))
    assert facts["whose"] == ["theirs"] * 3
    assert_nothing_of_the_tree(installed, [*facts["path"], *facts["files"]])
    theirs = installed.execute(str(installed.path / "bin" / "python"), "-m", "django", "check")
    assert (theirs.returncode, theirs.stderr) == (0, ""), "the other project works as before"


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_an_installation_from_the_package_index_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Only here, pip chooses all packages, from the names and versions in the wheel. It needs a network."""
    venv.create(tmp_path / "venv", symlinks=True, with_pip=True)
    empty = Environment(tmp_path / "venv", {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    done = empty.execute("bin/pip", "install", "--quiet", str(wheel), within=600, variables=pip)
    assert done.returncode == 0, done.stderr
    assert_it_works(empty, tmp_path / "data")


def assert_it_works(installed: Environment, data: Path) -> None:
    """Make an installation without a question, run each kind of command, and read a page with its style sheets."""
    before, port, log, where = (
        files_of(installed.packages),
        free_port(),
        data.with_name("log"),
        ("--data-dir", str(data)),
    )
    assert "  migrate  " in installed.done("--help")
    mail = Server(Postbox(), hostname="127.0.0.1", port=0)
    mail.start()
    try:
        server = f"smtp://127.0.0.1:{mail.port}"
        words = ("--address", f"http://localhost:{port}", "--provider", "Example", "--mail", server)
        shown = installed.done("init", *where, *words)
    finally:
        mail.stop()
    assert f"Start it: {installed.program} serve --data-dir {data}" in shown
    installed.done("migrate", "--check", *where)
    installed.done("collectstatic", "--noinput", *where)
    # Without TLS, the settings of a deployment have warnings, but nothing may be missing.
    installed.done("check", "--deploy", "--fail-level", "ERROR", *where)
    small = {"CLUSTERS": "1", "WORKERS": "1", "WEB_WORKERS": "1"}
    with installed.running("serve", *where, log=log, **small) as process:
        assert read(port, "/healthz", process, log)[0] == 200
        status, page = read(port, "/accounts/login/", process, log)
        assert status == 200
        styles = re.findall(r'href="(/static/[^"]+\.css)"', page)
        assert len(styles) > 3
        assert {read(port, style, process, log)[0] for style in styles} == {200}
    assert process.returncode == 0, log.read_text()
    assert files_of(installed.packages) == before, "a command wrote into site-packages"


@pytest.mark.slow
def test_relative_paths_start_at_the_data_directory_and_never_in_site_packages(
    installed: Environment, tmp_path: Path
) -> None:
    script = (
        "from django.conf import settings as s\n"
        "print(s.CONTENT_ROOT, s.LOG_KEY_FILE, s.DATABASES['default']['NAME'], s.WORKING_DIRECTORY, sep='\\n')"
    )
    words = ("-P", "-m", "lockbox_site", "shell", "--verbosity", "0", "-c", script)
    given = {"CONTENT_ROOT": "content", "LOG_KEY_FILE": "keys/log", "DATABASE_URL": "sqlite:///sub/lockbox.sqlite3"}
    ours = {**given, "DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "SECRET_KEY": "x" * 60}
    done = installed.execute("bin/python", *words, variables={"DATA_DIR": str(tmp_path), **ours})
    found = [f"{tmp_path}/content", f"{tmp_path}/keys/log", f"{tmp_path}/sub/lockbox.sqlite3", "/"]
    assert (done.stdout.splitlines(), done.stderr) == (found, "")
    refused = installed.execute("bin/python", *words, variables={"DATA_DIR": "here", **ours})
    assert refused.stderr == "customer-lockbox: DATA_DIR must be an absolute path, not 'here'.\n"
    assert not (installed.path / "here").exists()


def assert_nothing_of_the_tree(installed: Environment, paths: list[str]) -> None:
    # The packages of this run may be in an environment inside the tree.
    assert [path for path in paths if Path(path).is_relative_to(ROOT) and "site-packages" not in path] == []
    ours = [path for path in paths if set(Path(path).parts) & set(PACKAGES)]
    assert len(ours) > 100
    assert [path for path in ours if not Path(path).is_relative_to(installed.packages)] == []


def files_of(place: Path) -> dict[str, int]:
    """Return the files below a directory with their sizes, without compiled ones."""
    files = (path for path in place.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(place).as_posix(): path.stat().st_size for path in files}


def read(port: int, path: str, server: subprocess.Popen[bytes], log: Path) -> tuple[int, str]:
    """Return the status and the text of a page. Wait for a server that is just starting."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 60
    while True:
        try:
            with opener.open(f"http://localhost:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as refused:
            return refused.code, ""
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)


def test_a_wrong_use_of_the_command_is_one_clear_line(installed: Environment, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert installed.done("--version") == f"customer-lockbox {lockbox_site.__version__}\n"
    for words, line in (
        (
            ("migrat",),
            "There is no command 'migrat'. Did you mean migrate? To see all commands: customer-lockbox --help",
        ),
        (("xyzzy",), "There is no command 'xyzzy'. To see all commands: customer-lockbox --help"),
        (("web",), f"There is no installation in {data}. Make one: customer-lockbox init --data-dir {data}"),
    ):
        done = installed.run(*words, "--data-dir", data)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"customer-lockbox: {line}\n")
    assert not Path(data).exists()


@pytest.mark.slow
def test_another_account_learns_which_account_it_must_be(open_place: Path) -> None:
    """Each of these would otherwise make new keys, or end with a traceback."""
    for path, mode in ((open_place / "closed", 0o000), (open_place / "half", 0o755)):
        path.mkdir()
        (path / ".env").touch(0o600)
        (path / ".env").chmod(0o000)
        path.chmod(mode)
        done = as_nobody(path, "log_key", "show")
        unreadable = path if mode == 0 else path / ".env"
        assert done.returncode == 2
        assert done.stderr.startswith(f"customer-lockbox: This account can't read {unreadable}. Run the command as ")
        assert len(done.stderr.splitlines()) == 1
        path.chmod(0o755)


def test_a_file_that_this_account_cant_use_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_words: list[str]) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/var/lib/lockbox/static")

    monkeypatch.setattr(django_commands, "execute_from_command_line", refuse)
    with pytest.raises(starting.CannotStart):
        django_commands.run("customer-lockbox", ["collectstatic", "--noinput"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("customer-lockbox: This account can't use /var/lib/lockbox/static (Permission denied).")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a directory that other accounts can enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an account without rights, or as this account if it has few."""
    script = (
        "import os, sys\n"
        "import lockbox_site.django_commands, lockbox_site.command_line as line\n"
        "import lockbox_site.settings\n"
        # This account may not be able to read the tree, and the names of the commands are read once.
        "line.command_words.is_known('log_key')\n"
        "os.geteuid() or (os.setgid(65534), os.setuid(65534))\n"
        "line.main()\n"
    )
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "DATA_DIR": str(data)}
    return subprocess.run(
        [sys.executable, "-P", "-c", script, *words], env=env, cwd="/", capture_output=True, text=True, timeout=60
    )


def test_the_units_name_the_link_through_which_the_program_was_called(installed: Environment, tmp_path: Path) -> None:
    """An upgrade makes the link lead to another environment (docs/upgrades.md). The units stay as they are."""
    link = tmp_path / "current"
    link.symlink_to(installed.program.parent.parent)
    program = link / "bin" / "customer-lockbox"
    subprocess.run([program, "deploy-files", tmp_path / "deploy"], check=True, capture_output=True, cwd="/")
    unit = (tmp_path / "deploy" / "systemd" / "lockbox-web.service").read_text()
    assert re.findall(r"^ExecStart=(\S+)", unit, flags=re.MULTILINE) == [str(program)]


def test_the_units_of_deploy_files_start_this_installation(installed: Environment, tmp_path: Path) -> None:
    target = tmp_path / "deploy"
    written = installed.done("deploy-files", str(target)).split()
    assert str(target / "nginx.conf") in written
    units = list((target / "systemd").iterdir())
    assert {unit.name for unit in units} == {unit.name for unit in files_in("deploy/systemd")}
    for unit in units:
        starts = re.findall(r"^ExecStart=(\S+)", unit.read_text(), flags=re.MULTILINE)
        # A timer starts a service, and no program itself.
        assert bool(starts) == (unit.suffix == ".service")
        assert set(starts) <= {str(installed.program)}, unit.name
    (tmp_path / "file").touch()
    refused = installed.run("deploy-files", str(tmp_path / "file" / "below"))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


# --- The help -----------------------------------------------------------------------------------------------


def test_the_help_has_one_line_for_each_command_of_an_operator() -> None:
    lines = list(command_words.help_lines())
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert len(listed) == len(set(listed))
    ours = {path.stem for package in PACKAGES for path in (ROOT / package / "management" / "commands").glob("[!_]*.py")}
    assert ours - set(listed) == command_words.NOT_LISTED & ours
    assert set(command_words.OURS) <= set(listed)
    assert [line for line in lines if len(line) > 120] == []
    assert [line for line in lines if line.startswith("  ") and len(line.split()) < 3] == []
    names = {name for group in command_words.GROUPS.values() for name in group}
    # These parts of the contract have commands of their own.
    assert {name for name in names if not command_words.is_known(name)} <= {"backup", "restore", "doctor"}


def test_every_command_of_django_that_is_not_known_here_is_of_a_package_that_is_not_for_operators() -> None:
    from django.core.management import get_commands

    unknown = {app for name, app in get_commands().items() if not command_words.is_known(name)}
    assert {str(app).partition(".")[0] for app in unknown} <= {
        "allauth",
        "django_q",
        "drf_spectacular",
        "rest_framework",
    }
