"""`python -m bench.storm`: run one storm on a source tree of this product, and report. Exit 1 if anything is wrong."""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.storm import report
from bench.storm.drill import Drill
from bench.storm.faults import BOUNDS
from bench.storm.rolling import Rolling
from bench.storm.storm import Storm

ROOT = Path(__file__).resolve().parents[2]


#: The faults of a short storm: one each of the web server, the database and the workers.
SHORT = {
    "sqlite": ("kill one web worker", "SQLite is locked", "kill the cluster"),
    "postgres": ("cut at COMMIT's answer", "PostgreSQL crashes", "kill one web worker"),
}
SHORT_SEED, SHORT_SECONDS = 12, 30.0
DISK_BYTES = 700_000_000


def main() -> int:
    # With this handler, started processes are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _arguments()
    seed = SHORT_SEED if arguments.short else secrets.randbelow(10**6)
    seed = seed if arguments.seed is None else arguments.seed
    seconds = SHORT_SECONDS if arguments.short else arguments.seconds
    directory = Path(tempfile.mkdtemp(prefix="lockbox-storm-", dir=arguments.dir))
    words = "--short" if arguments.short else f"--seconds {seconds:g}"
    words += " --drill" if arguments.drill else ""
    words += " --upgrade" if arguments.upgrade else ""
    words += f" --before {arguments.before}" if arguments.before else ""
    words += " --small-disk" if arguments.small_disk else ""
    words += "".join(f' --only "{kind}"' for kind in arguments.only or ())
    print(f"Seed {seed}. The same again: python -m bench.storm --database {arguments.database} --seed {seed} {words}")
    print(f"Everything of it is in {directory}", flush=True)
    kind = Drill if arguments.drill else Rolling if arguments.upgrade else Storm
    few: dict[str, Any] = {"clients": 8, "tenants": 3, "kinds": SHORT[arguments.database]} if arguments.short else {}
    if arguments.upgrade:
        few["before"] = arguments.before
    if arguments.only:
        few["kinds"] = arguments.only
    disk = _small_disk(directory) if arguments.small_disk else None
    storm = kind(
        arguments.tree.resolve(), directory, arguments.database, seed=seed, seconds=seconds, pace=arguments.pace,
        calm_seconds=arguments.calm, small_disk=disk, **few,
    )  # fmt: skip
    try:
        result = storm.run()
    finally:
        if disk is not None:
            subprocess.run(["umount", "--lazy", disk], check=False)
    more = storm.lines() if isinstance(storm, Rolling) else []
    text = "\n".join([*more, "", *report.lines(result)])
    print(f"\n{text}")
    (directory / "report.txt").write_text(text + "\n")
    (directory / "result.json").write_text(json.dumps(report.numbers(result)))
    is_well = not result.violations and not result.problems and bool(report.acknowledged(result.acts))
    if is_well and not arguments.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if is_well else 1


def _small_disk(directory: Path) -> Path:
    """Mount a file system for the database, so that the storm can fill it. Only root can do this."""
    disk = directory / "disk"
    disk.mkdir()
    directory.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk], check=True)
    return disk


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long people act while things break")
    parser.add_argument("--short", action="store_true", help="half a minute with few people and three faults")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and of everybody's choices")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout that is tried")
    parser.add_argument("--pace", type=float, default=1.0, help="how long a client waits between two acts, in seconds")
    parser.add_argument("--calm", type=float, default=120.0, help="how long what waits to leave may not get less")
    parser.add_argument("--drill", action="store_true", help="a backup under load, and a restore elsewhere")
    parser.add_argument("--upgrade", action="store_true", help="from the previous release to this one, under load")
    parser.add_argument("--before", default="", help="with --upgrade: begin with this commit, not the previous release")
    parser.add_argument("--small-disk", action="store_true", help="the disk fills up, too; mounts one in memory (root)")
    parser.add_argument("--only", action="append", choices=sorted(BOUNDS), help="just this fault; again for more")
    parser.add_argument("--dir", default=None, help="where to put everything (a disk, not memory)")
    parser.add_argument("--keep", action="store_true", help="keep it all, though nothing was wrong")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
