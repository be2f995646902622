"""The heads on a real NFS server with two clients, in a small Linux of the test's own (user-mode Linux)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

pytestmark = [pytest.mark.deep, pytest.mark.timeout(900)]

#: Debian's packages user-mode-linux, nfs-kernel-server, nfs-common and kmod have them. Nothing of them need run here.
TOOLS = ("linux.uml", "rpc.nfsd", "rpc.mountd", "exportfs", "modprobe", "ip", "tc")
#: How long the writers work. A turn of disturbances takes half a minute.
SECONDS = 100
GUEST = Path(__file__).with_name("nfs_guest.sh")


@pytest.fixture
def tools() -> Path:
    """Return the directory in which `lib/modules` has the modules of user-mode Linux."""
    if os.geteuid() != 0 or (missing := [name for name in TOOLS if shutil.which(name) is None]):
        pytest.skip(f"needs root, and {', '.join(missing)}" if os.geteuid() == 0 else "needs root")
    return Path(str(shutil.which("linux.uml"))).resolve().parents[1]


@pytest.mark.parametrize(
    "options",
    [
        "hard,lookupcache=none",
        # The caches of the client show old states for a minute. Nothing wrong may come of it.
        "hard,actimeo=60",
        # After a cut, calls fail and are not repeated.
        "soft,timeo=20,retrans=1,lookupcache=none",
    ],
)
def test_two_hosts_on_nfs_never_move_one_generation_twice(options: str, tools: Path, tmp_path: Path) -> None:
    (tmp_path / "modules" / "lib").mkdir(parents=True)
    (tmp_path / "modules" / "lib" / "modules").symlink_to(tools / "lib" / "uml" / "modules")
    (tmp_path / "out").mkdir()
    output = _run_guest(options, tmp_path)
    assert output.count(" nfs4 ") == 2, output
    assert "disturbed" in output, output
    lines = [json.loads(line) for path in (tmp_path / "out").iterdir() for line in path.read_text().splitlines()]
    judge(lines)
    moves = [line for line in lines if line["what"] == "moved"]
    count = {name: sum(line["by"] == name for line in moves) for name in ("a1", "a2", "b1", "b2")}
    trouble = {line["why"].rpartition("(")[2] for line in lines if line["what"] == "trouble"}
    print(f"{options}: moved {count}, lost {sum(line['what'] == 'lost' for line in lines)}, trouble {trouble}")
    assert min(count["a1"] + count["a2"], count["b1"] + count["b2"]) > 20


def _run_guest(options: str, place: Path) -> str:
    given = {
        "ROOT": settings.BASE_DIR,
        "MODULES": place / "modules",
        "OUT": place / "out",
        "PYTHON": sys.executable,
        "SECONDS_OF_TEST": SECONDS,
        "OPTIONS": options,
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    }
    command = ["linux.uml", "mem=1G", "quiet", "rootfstype=hostfs", "rootflags=/", "rw", f"init={GUEST}"]
    command += ["con=null", "con0=fd:0,fd:1", f"uml_dir={place}", *(f"{name}={value}" for name, value in given.items())]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS + 300, check=False)
    return done.stdout.decode(errors="replace")


def judge(lines: list[dict[str, Any]]) -> None:
    """Each generation was moved by at most one writer, from the head that the one before it had moved to."""
    moved: dict[int, dict[str, Any]] = {}
    for line in lines:
        if line["what"] == "moved":
            assert line["generation"] not in moved, (line, moved[line["generation"]])
            moved[line["generation"]] = line
    tried = {line["root"]: line["generation"] for line in lines if line["what"] == "tried"}
    for generation, line in moved.items():
        # A writer whose call had no answer may have moved the one before, and does not know it.
        assert generation == 1 or tried[line["before"]] == generation - 1
        if generation - 1 in moved:
            assert line["before"] == moved[generation - 1]["root"]
