"""Builds and runs real containers with buildah and podman, in directories of the test's own.

No registry is needed: the base is made with debootstrap, and PostgreSQL and Caddy come from Debian.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

from tests.sources import ROOT

PROGRAMS = ("buildah", "debootstrap", "podman", "podman-compose", "nft", "unshare", "nsenter")
CONTAINERS = """
[containers]
cgroups = "disabled"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{place}/networks"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{place}/storage"
runroot = "{place}/run"
"""
#: crun refuses a machine that has both versions of cgroups. Only these processes stop seeing the second one. And podman
#: keeps in /run which containers run: another podman on this machine would change it.
ALONE = """
set -e
for place in containers crun libpod netns; do
    mkdir -p /run/$place
    mount -t tmpfs tmpfs /run/$place
done
if grep -q ' cgroup ' /proc/mounts; then
    for place in $(awk '$3 == "cgroup2" { print $2 }' /proc/mounts); do umount -l "$place"; done
fi
exec sleep infinity
"""


class Engine:
    """All its commands run in one mount namespace, because podman keeps its networks in mounts."""

    def __init__(self, place: Path) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        assert not missing, f"Install {', '.join(missing)}. bin/test deep does it as root on Debian."
        assert os.geteuid() == 0, "These tests make mounts and networks, so they need root."
        self.place = place
        for name, text in {"containers.conf": CONTAINERS, "storage.conf": STORAGE}.items():
            (place / name).write_text(text.format(place=place))
        self._alone = subprocess.Popen(["unshare", "--mount", "sh", "-c", ALONE])
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "CONTAINERS_CONF": str(place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def try_to(self, *words: str | Path, cwd: Path = ROOT, within: float = 900) -> subprocess.CompletedProcess[str]:
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *map(str, words)]
        command = ["nsenter", "--mount", f"--target={self._alone.pid}", *inside]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=within, stdin=subprocess.DEVNULL
        )

    def do(self, *words: str | Path, cwd: Path = ROOT, within: float = 900) -> str:
        done = self.try_to(*words, cwd=cwd, within=within)
        assert done.returncode == 0, f"{' '.join(map(str, words))}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()

    def podman(self, *words: str | Path) -> str:
        return self.do("podman", *words)

    def base(self) -> str:
        """Make an image of plain Debian, and return its name."""
        directory = self.place / "base"
        self.do("debootstrap", "--variant=minbase", "trixie", directory)
        # What the installer has downloaded would count as a part of the image.
        for leftover in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(directory / leftover)
            (directory / leftover / "partial").mkdir(parents=True)
        if certificate := os.environ.get("PIP_CERT"):
            shutil.copy(certificate, directory / "etc" / "pip-ca.pem")
        container = self.do("buildah", "from", "scratch")
        self.do("buildah", "add", "--quiet", container, directory, "/")
        self.do("buildah", "commit", "--quiet", container, "localhost/debian:trixie")
        self.do("buildah", "rm", container)
        shutil.rmtree(directory)
        return "localhost/debian:trixie"

    def build(self, name: str, file: Path, context: Path, **arguments: str) -> str:
        limit = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        most = limit if limit != resource.RLIM_INFINITY else 65_536
        given = dict(arguments)
        if os.environ.get("PIP_CERT"):
            given["PIP_CERT"] = "/etc/pip-ca.pem"
        if index := os.environ.get("PIP_INDEX_URL"):
            given["PIP_INDEX_URL"] = index
        pairs = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
        self.do(
            "buildah", "build", "--format", "docker", "--network", "host", "--ulimit", "nofile=20000:20000",
            "--ulimit", f"nproc={most}:{most}", *pairs, "--file", file, "--tag", name, context, within=1800,
        )  # fmt: skip
        return name

    def processes(self, container: str) -> list[int]:
        """Return the processes of a running container, as the machine numbers them."""
        main = self.podman("inspect", "--format", "{{.State.Pid}}", container)
        space = os.readlink(f"/proc/{main}/ns/pid")
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns" / "pid") == space:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def close(self) -> None:
        for name in re.findall(r"\S+", self.try_to("podman", "ps", "--all", "--quiet").stdout):
            self.try_to("podman", "rm", "--force", "--time", "1", name)
        for name in re.findall(r"\S+", self.try_to("podman", "network", "ls", "--quiet").stdout):
            self.try_to("podman", "network", "rm", "--force", name)
        self.try_to("podman", "system", "reset", "--force")
        self._alone.terminate()
        self._alone.wait()
