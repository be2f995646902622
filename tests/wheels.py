"""Builds the wheel, and installs it into an environment that has the packages of this run and nothing of the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tests.sources import ROOT

WITHIN = 120
#: The time of every file in what is built.
EPOCH = "1764547200"


def build(what: str, to: Path, *, source: Path = ROOT) -> Path:
    """Build a `wheel` or an `sdist` from a source tree, without a build environment. Return the built file."""
    words = [sys.executable, "-m", "hatchling", "build", "--target", what, "--directory", str(to)]
    env = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(words, cwd=source, env=env, capture_output=True, text=True, timeout=WITHIN)
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = to.glob("*.whl" if what == "wheel" else "*.tar.gz")
    return made


@dataclass
class Environment:
    """A virtual environment with the product. `variables` are those of the shell in which commands run."""

    path: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def packages(self) -> Path:
        return self.path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    @property
    def program(self) -> Path:
        return self.path / "bin" / "customer-lockbox"

    @classmethod
    def with_packages_of_this_run(cls, path: Path) -> Environment:
        """Make an environment. A path file leads to the installed packages, so that nothing is downloaded."""
        venv.create(path, symlinks=True)
        made = cls(path, {"PATH": "/usr/bin:/bin", "HOME": str(path)})
        (made.packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        return made

    def install(self, wheel: Path) -> None:
        """Install the wheel with pip, as an operator does. It may not compile, which takes longer than all else."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.path / "bin" / "python")]
        words = ["install", "--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check"]
        env = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run([*pip, *words, str(wheel)], env=env, capture_output=True, text=True, timeout=WITHIN)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `customer-lockbox` in the environment's directory. Return how it ended."""
        return self.execute(str(self.program), *words, variables=variables)

    def done(self, *words: str, **variables: str) -> str:
        """Run `customer-lockbox`, assert that it succeeds, and return its output."""
        run = self.run(*words, **variables)
        assert run.returncode == 0, f"{words}\n{run.stdout[-1500:]}\n{run.stderr[-1500:]}"
        return run.stdout

    def execute(
        self, *command: str, within: float = WITHIN, variables: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment's directory."""
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.variables | dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
        )

    @contextmanager
    def running(self, *words: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `customer-lockbox` until the block ends. Then send SIGTERM, and wait."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(self.program), *words],
                cwd=self.path,
                env=self.variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            finally:
                process.kill()
