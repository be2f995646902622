"""Without its static files, the product can make no page. So it does not start, and the load balancer's probe fails."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.management import CommandError
from django.test import Client

from requests_app.management import _fitness
from requests_app.platform import statics
from tests import ground
from tests.site.test_settings import bare
from tests.sources import ROOT


def command(data: Path | None = None) -> str:
    return f"Run: {ROOT}/bin/customer-lockbox collectstatic --noinput --data-dir {data or settings.DATA_DIR}"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> ManifestStaticFilesStorage:
    """Return a storage of static files with one file, which is collected as in production."""
    source, settings.STATIC_ROOT = tmp_path / "source", str(tmp_path / "static")
    (source / "css").mkdir(parents=True)
    Path(settings.STATIC_ROOT).mkdir()
    (source / "css" / "site.css").write_text("a { color: red }")
    settings.STATICFILES_DIRS = [str(source)]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    made = ManifestStaticFilesStorage(location=settings.STATIC_ROOT)
    monkeypatch.setattr(statics, "staticfiles_storage", made)
    return made


def collect(storage: ManifestStaticFilesStorage) -> None:
    place = Path(storage.location) / "css"
    place.mkdir(parents=True, exist_ok=True)
    source = Path(settings.STATICFILES_DIRS[0]) / "css"
    for path in source.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    names = {f"css/{path.name}": (storage, f"css/{path.name}") for path in source.iterdir()}
    assert all(done for _name, _hashed, done in storage.post_process(names))


def test_files_that_were_never_collected_are_noticed(storage: ManifestStaticFilesStorage) -> None:
    assert statics.why_not_collected() == f"The static files are not collected. {command()}"
    with pytest.raises(CommandError, match="not collected"):
        _fitness.require_static_files()


def test_collected_files_are_enough(storage: ManifestStaticFilesStorage, client: Client) -> None:
    collect(storage)
    assert statics.why_not_collected() == statics.why_not_served() == ""
    assert client.get("/healthz").status_code == 200


def test_files_of_an_older_version_are_noticed(storage: ManifestStaticFilesStorage) -> None:
    collect(storage)
    (Path(settings.STATICFILES_DIRS[0]) / "css" / "new.css").write_text("b { color: blue }")
    assert statics.why_not_collected() == f"The static files are older than the code. {command()}"


@pytest.mark.parametrize("name", ["staticfiles.json", "css/site.*.css"])
def test_load_balancers_learn_when_a_file_vanishes_and_when_it_is_back(
    storage: ManifestStaticFilesStorage, client: Client, name: str
) -> None:
    collect(storage)
    [path] = Path(storage.location).glob(name)
    aside = path.rename(path.with_suffix(".aside"))
    answer = client.get("/healthz")
    shown = path.relative_to(storage.location)
    detail = f"The static file {shown} is not there. Run the command collectstatic."
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "detail": detail})
    assert answer["Cache-Control"] == "no-store"
    aside.rename(path)
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_alarms_are_delivered_too(storage: ManifestStaticFilesStorage, client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["static"]["ok"] is False


def test_debug_serves_the_files_of_the_code(storage: ManifestStaticFilesStorage, settings: Any) -> None:
    settings.DEBUG = True
    assert statics.why_not_collected() == ""


def test_a_page_of_another_version_gets_that_file_if_it_was_collected_here(
    storage: ManifestStaticFilesStorage, client: Client
) -> None:
    """The new version's files are collected while processes of the old version still run."""
    collect(storage)
    newer = "css/site.000000000000.css"
    (Path(storage.location) / newer).write_text("a { color: green }")
    answer = client.get(f"/static/{newer}")
    assert (answer.status_code, answer.getvalue()) == (200, b"a { color: green }")
    assert answer["Content-Type"].startswith("text/css")
    assert "immutable" not in answer["Cache-Control"]


def test_a_page_of_another_version_gets_this_version_of_the_file_but_no_browser_stores_it(
    storage: ManifestStaticFilesStorage, client: Client
) -> None:
    """In containers, each version has only its own files."""
    collect(storage)
    answer = client.get("/static/css/site.000000000000.css")
    assert (answer.status_code, answer.getvalue()) == (200, b"a { color: red }")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    ["css/other.000000000000.css", "css/../../secret.000000000000.css", "css/site.12.css", "secret.000000000000.css"],
)
def test_no_other_file_is_served_under_a_hashed_name(
    storage: ManifestStaticFilesStorage, client: Client, name: str
) -> None:
    collect(storage)
    # The web server knows the files that are there when it starts, so this one comes later.
    client.get("/healthz")
    for place in (Path(storage.location), Path(storage.location).parent):
        (place / "secret.000000000000.css").write_text("secret")
    assert statics.of_another_version(name) is None
    assert client.get(f"/static/{name}").status_code == 404


#: Start the product, then the web server. Collect the files, and start the web server again. Print how each one ended.
STARTS = """
import contextlib, importlib, io, json, sys
import manage

def command(*words):
    sys.argv = ["manage.py", *words]
    manage.main()

def web():
    importlib.import_module("lockbox_site.rsgi")

def ended(start, *words):
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            start(*words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()

product = ended(command, "lockbox")
before = ended(web)
collected, *_written = ended(command, "collectstatic", "--noinput")
print(json.dumps([product, before, collected, ended(web)]))
"""


@pytest.mark.slow
def test_nothing_that_serves_pages_starts_without_them(tmp_path: Path) -> None:
    shutil.copy(ground.sqlite(), tmp_path / "lockbox.sqlite3")
    words, env = [sys.executable, "-c", STARTS], bare(tmp_path, PORT="8951")
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert (done.returncode, done.stderr) == (0, "")
    product, before, collected, after = json.loads(done.stdout)
    needed = f"The static files are not collected. {command(tmp_path)}"
    assert product == [1, "", f"CommandError: {needed}\n"]
    assert before == [1, "", f"web: {needed}\n"]
    assert collected == 0
    assert after == [0, "", ""]
