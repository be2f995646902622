"""The licence is in the repository, in each package's metadata, and in the verifier, which is a single file."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
PACKAGES = (ROOT, ROOT / "clients" / "python")


def test_each_package_carries_the_exact_text_and_names_it() -> None:
    for package in PACKAGES:
        assert hashlib.sha256((package / "LICENSE").read_bytes()).hexdigest() == APACHE
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "SPDX-License-Identifier: Apache-2.0" in (ROOT / "verify" / "lockbox_verify.py").read_text()[:100]


def test_the_clients_metadata_have_the_expression_and_the_text(tmp_path: Path) -> None:
    """The test reads the metadata as an installer does."""
    source = tmp_path / "python"
    shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    script = "from setuptools import build_meta; print(build_meta.prepare_metadata_for_build_wheel('.'))"
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", script], cwd=source, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [made] = source.glob("*.dist-info")
    metadata = message_from_string((made / "METADATA").read_text())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert (made / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
