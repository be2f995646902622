"""Builds and runs real containers with buildah and podman, in directories of the test's own.

No registry is needed: the base is made with debootstrap, and PostgreSQL and Caddy come from Debian.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import socket
import subprocess
from pathlib import Path

from tests.sources import ROOT

PROGRAMS = ("buildah", "debootstrap", "podman", "podman-compose", "nft", "ip", "unshare", "nsenter")
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
#: Runs in namespaces of its own for processes, mounts and the network, as their first process. It ends when the tests
#: end or are killed, because then nobody has the other end of its standard input. The kernel then ends all processes in
#: these namespaces, and takes back their bridges, rules and mounts.
#: podman keeps in /run and /dev/shm which containers run: another podman on this machine would change it. crun refuses
#: a machine that has both versions of cgroups. Only these processes stop seeing the second one.
ALONE = """
set -e
for place in /run/containers /run/crun /run/libpod /run/netns /dev/shm; do
    mkdir -p $place
    mount -t tmpfs tmpfs $place
done
if grep -q ' cgroup ' /proc/mounts; then
    for place in $(awk '$3 == "cgroup2" { print $2 }' /proc/mounts); do umount -l "$place"; done
fi
ip link set lo up
# Ended processes that nobody waits for disappear.
trap '' CHLD
echo ready
exec cat
"""
#: Waits until the namespaces are gone, and then deletes the images: without them, nothing is left to clean up.
HOLDER = """
unshare --mount --net --pid --fork --kill-child --mount-proc sh -c "$1"
rm -rf "$2/storage" "$2/run" "$2/networks" "$2/base"
"""
#: These need the network of the machine, for packages.
ONLINE = {"buildah", "debootstrap"}
#: From <sched.h>. `os.setns` exists since Python 3.12.
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Engine:
    """Runs its commands in namespaces that end with these tests, however they end. So it touches no other container."""

    def __init__(self, place: Path) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        assert not missing, f"Install {', '.join(missing)}. bin/test deep does it as root on Debian."
        assert os.geteuid() == 0, "These tests make mounts and networks, so they need root."
        self.place = place
        for name, text in {"containers.conf": CONTAINERS, "storage.conf": STORAGE}.items():
            (place / name).write_text(text.format(place=place))
        self._holder = subprocess.Popen(
            ["sh", "-c", HOLDER, "holder", ALONE, str(place)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            # A Ctrl-C in the terminal is for the tests. They end these processes.
            start_new_session=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self._first = _first_inside(self._holder.pid)
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "CONTAINERS_CONF": str(place / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def try_to(self, *words: str | Path, cwd: Path = ROOT, within: float = 900) -> subprocess.CompletedProcess[str]:
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *map(str, words)]
        spaces = ["--mount", "--pid"] if words[0] in ONLINE else ["--mount", "--pid", "--net"]
        command = ["nsenter", *spaces, f"--target={self._first}", *inside]
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

    def build(self, name: str, file: Path, context: Path, *, target: str = "", **arguments: str) -> str:
        """Build an image, or only its stage `target`. The layers stay for the next build."""
        limit = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        most = limit if limit != resource.RLIM_INFINITY else 65_536
        given = dict(arguments)
        if os.environ.get("PIP_CERT"):
            given["PIP_CERT"] = "/etc/pip-ca.pem"
        if index := os.environ.get("PIP_INDEX_URL"):
            given["PIP_INDEX_URL"] = index
        pairs = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
        stage = ["--target", target] if target else []
        self.do(
            "buildah", "build", "--layers", *stage, "--format", "docker", "--network", "host",
            "--ulimit", "nofile=20000:20000", "--ulimit", f"nproc={most}:{most}", *pairs,
            "--file", file, "--tag", name, context, within=1800,
        )  # fmt: skip
        return name

    def processes(self, container: str) -> list[int]:
        """Return the processes of a running container, as the machine numbers them."""
        main = self.podman("inspect", "--format", "{{.State.Pid}}", container)
        space = self.do("readlink", f"/proc/{main}/ns/pid")
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns" / "pid") == space:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def connect(self, port: int) -> socket.socket:
        """Return a connection to a port that a container has published. Only the engine's own network has it."""
        with open("/proc/self/ns/net") as ours, open(f"/proc/{self._first}/ns/net") as theirs:
            _enter(theirs.fileno())
            try:
                made = socket.socket()
            finally:
                _enter(ours.fileno())
        made.settimeout(10)
        try:
            made.connect(("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        """End everything that these tests have started, and delete their images."""
        self._holder.communicate(timeout=120)


def _first_inside(holder: int) -> int:
    """Return the first process of the namespaces: the child of the holder's child."""
    for _ in range(2):
        [holder] = map(int, Path(f"/proc/{holder}/task/{holder}/children").read_text().split())
    return holder


def _enter(namespace: int) -> None:
    """Bring this thread into a network. Sockets stay in the network in which they were made."""
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
