"""The package can be built from a clone and from its sdist. Both builds contain the generated client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.clients import generated, package
from tests.clients.generated import PACKAGE, ROOT

CLIENT = ROOT / "clients" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def small_document(**more: object) -> str:
    """Return an OpenAPI document with one route. Its client is generated quickly."""
    answers = {"200": {"description": "The time", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    route = {"operationId": "time_now", "tags": ["time"], "responses": answers, **more}
    info = {"title": "Time", "version": "1"}
    return json.dumps({"openapi": "3.1.0", "info": info, "paths": {"/now": {"get": route}}})


def test_it_installs_from_a_clone_without_an_index_and_a_build_environment(tmp_path: Path) -> None:
    source, place = package.clone(tmp_path / "clone"), tmp_path / "installed"
    (tmp_path / "clone" / "docs" / "openapi.json").write_text(small_document())
    package.install(source, place, "--no-deps", "--no-build-isolation")
    assert (place / "lockbox_client" / "api" / "time" / "time_now.py").exists()
    assert package.differing(place / "lockbox_cli", CLIENT / "lockbox_cli") == []


def test_it_installs_from_a_clone_with_all_that_it_names(installed: Path, tmp_path: Path) -> None:
    """It is installed with exactly the requirements in pyproject.toml. Run it without this machine's other packages."""
    assert package.differing(installed / "lockbox_client", PACKAGE) == []
    assert package.differing(installed / "lockbox_cli", CLIENT / "lockbox_cli") == []
    words = [sys.executable, "-S", str(installed / "bin" / "lockbox"), "--help"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=generated.WITHIN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: lockbox" in done.stdout


def test_an_sdist_builds_without_the_repository(tmp_path: Path) -> None:
    source = package.clone(tmp_path)
    (tmp_path / "docs" / "openapi.json").write_text(small_document())
    sdist = package.build(source, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "openapi.json").read_text() == small_document()
    assert (unpacked / "lockbox_client" / "api" / "time" / "time_now.py").exists()
    with zipfile.ZipFile(package.build(unpacked, "wheel", tmp_path / "wheel")) as wheel:
        wheel.extractall(tmp_path / "carried")
    for name in ("lockbox_client", "lockbox_cli"):
        assert package.differing(tmp_path / "carried" / name, unpacked / name) == []


def test_an_editable_installation_finds_the_generated_code(tmp_path: Path) -> None:
    source = package.clone(tmp_path)
    (tmp_path / "docs" / "openapi.json").write_text(small_document())
    with zipfile.ZipFile(package.build(source, "editable", tmp_path / "wheel")) as wheel:
        wheel.extractall(tmp_path / "site")
    program = "import site, sys; site.addsitedir(sys.argv[1]); from lockbox_client.api.time import time_now as module"
    words = [sys.executable, "-S", "-c", f"{program}; print(module.__file__)", str(tmp_path / "site")]
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=generated.WITHIN)
    assert done.stdout.strip() == str(source / "lockbox_client" / "api" / "time" / "time_now.py"), done.stderr


def test_remains_of_an_earlier_build_are_not_built_again(tmp_path: Path) -> None:
    source = package.clone(tmp_path)
    (tmp_path / "docs" / "openapi.json").write_text(small_document())
    for place in (source, source / "build" / "lib"):
        (place / "lockbox_client").mkdir(parents=True)
        (place / "lockbox_client" / "__init__.py").touch()
        (place / "lockbox_client" / "left_over.py").touch()
    with zipfile.ZipFile(package.build(source, "wheel", tmp_path / "wheel")) as wheel:
        names = set(wheel.namelist())
    assert "lockbox_client/api/time/time_now.py" in names
    assert "lockbox_client/left_over.py" not in names


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (None, "The OpenAPI document is missing"),
        # The generator only warns about such a route and omits it, so the build must fail.
        (small_document(parameters=[{"name": "a", "in": "query", "schema": {"$ref": "#/nowhere"}}]), "/now"),
    ],
)
def test_a_package_without_all_routes_is_not_built(tmp_path: Path, document: Any, problem: str) -> None:
    source = package.clone(tmp_path)
    (tmp_path / "docs" / "openapi.json").unlink()
    if document is not None:
        (tmp_path / "docs" / "openapi.json").write_text(document)
    with pytest.raises(AssertionError) as failure:
        package.build(source, "wheel", tmp_path / "wheel")
    assert problem in str(failure.value)
    assert list((tmp_path / "wheel").iterdir()) == []


def test_the_build_takes_the_generator_of_the_lock_file() -> None:
    for each in map(Requirement, package.BUILD_REQUIRES):
        assert each.specifier.contains(version(each.name)), f"clients/python/pyproject.toml: {each}"
