"""An upgrade while people work: the previous release runs, the database is migrated, and the parts are replaced.

The database, the data directory and the proxy stay. After the upgrade, all parts go back to the previous release on the
new schema, and then forward again. With SQLite, everything stops for a short time at each change, as documented.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import previous_release
from bench.storm import processes
from bench.storm.installation import CannotStart, Installation, free_port
from bench.storm.journal import IntendedAct, Outcome
from bench.storm.lifecycle import Replay
from bench.storm.storm import Storm

WEBS = ("web-a", "web-b")
#: The flags of each part, in the order in which docs/upgrades.md replaces them.
PARTS = {
    "beat": ["--no-web", "--no-tools", "--clusters", "0"],
    "worker": ["--no-web", "--no-beat", "--no-tools"],
    **{name: ["--no-beat", "--no-tools", "--clusters", "0"] for name in WEBS},
}
#: A kind of message and a task that no version knows.
UNKNOWN_TOPIC, UNKNOWN_TASK = "notify.of_a_newer_version", "requests_app.tasks.of_a_newer_version"
_ANSWERED = frozenset({Outcome.DONE, Outcome.REFUSED, Outcome.PUT_OFF})
#: Two web servers, with nginx's own rule: a call is sent to the other one if it can't be repeated by mistake.
NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/nginx-error.log; {user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f;
    uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    upstream web {{ {servers} keepalive 32; keepalive_timeout 10s; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 1m;
        location / {{
            proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
            proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $http_x_forwarded_for;
            proxy_read_timeout 60s; proxy_next_upstream error timeout;
        }}
    }}
}}
"""


@dataclass
class Part:
    """One part of the fleet, the source tree that it runs, and its process."""

    name: str
    tree: Path
    port: int
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Phase:
    """A time with its name. Failed calls are counted for each phase."""

    name: str
    begun: float
    over: float = 0.0
    failed: list[str] = field(default_factory=list)
    calls: int = 0
    #: The calls that the server answered with "try again in a few seconds", because too many people were signing in.
    put_off: int = 0
    #: The longest time that a call took, in seconds.
    longest: float = 0.0


class Fleet(Installation):
    """An installation whose parts are separate processes behind a proxy. Each part has its own version of the code."""

    def __init__(self, tree: Path, directory: Path, **named: Any) -> None:
        super().__init__(tree, directory, **named)
        self.parts = {name: Part(name, tree, free_port()) for name in PARTS}
        self.proxy: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        self.start_parts(*PARTS)
        self._start_proxy()
        if wait:
            self.wait_until_ready()

    def start_parts(self, *names: str) -> None:
        for name in names:
            part = self.parts[name]
            env = {**self.env, "PYTHONPATH": str(part.tree), "PORT": str(part.port)}
            with (self.directory / f"{name}.log").open("ab") as out:
                part.process = subprocess.Popen(
                    [sys.executable, "manage.py", "lockbox", *PARTS[name]], cwd=part.tree, env=env,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip

    def _start_proxy(self) -> None:
        if self.proxy is not None:
            return
        servers = " ".join(f"server 127.0.0.1:{self.parts[name].port} max_fails=0;" for name in WEBS)
        text = NGINX.format(
            place=self.directory, port=self.port, servers=servers, user="user root;" if os.geteuid() == 0 else ""
        )
        path = self.directory / "nginx.conf"
        path.write_text(text)
        self.proxy = subprocess.Popen(["nginx", "-c", path, "-e", self.directory / "nginx-start.log"])

    def wait_until_ready(self) -> None:
        for name in WEBS:
            self.wait_for(name)
        super().wait_until_ready()

    def wait_for(self, name: str, within: float = 120.0) -> None:
        """Wait until this part works: a web server answers, and a background part has written its heartbeat."""
        part, until = self.parts[name], time.monotonic() + within
        port, self.port = self.port, part.port
        try:
            while time.monotonic() < until:
                if part.process is None or part.process.poll() is not None:
                    break
                if name not in WEBS or self.probe("/healthz")[0] == 200:
                    return
                time.sleep(0.1)
        finally:
            self.port = port
        log = (self.directory / f"{name}.log").read_text(errors="replace")
        raise CannotStart(f"{name} did not come up: {log[-3000:]}")

    def replace(self, name: str, tree: Path) -> None:
        """Send SIGTERM to a part, wait until it has ended, and start it with the code of this tree."""
        self.stop_parts(name)
        self.parts[name].tree = tree
        self.start_parts(name)
        self.wait_for(name)

    def stop_parts(self, *names: str, within: float = 60.0) -> None:
        for name in names:
            process = self.parts[name].process
            if process is None:
                continue
            family = processes.tree(process.pid)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(within)
            processes.send(9, *family)  # type: ignore[arg-type]  # SIGKILL, for what has not ended
            process.wait(30)
            self.parts[name].process = None

    def stop(self, within: float = 60.0) -> None:
        self.stop_parts(*reversed(PARTS), within=within)

    def stop_all(self) -> None:
        self.stop()
        if self.proxy is not None:
            self.proxy.terminate()
            self.proxy.wait(20)

    def family(self) -> list[int]:
        return [
            pid for part in self.parts.values() if part.process is not None for pid in processes.tree(part.process.pid)
        ]


class Rolling(Storm):
    """A storm without faults, in which the code of the commit `before` is replaced by that of `tree`, back, and again.

    Without `before`, it begins with the previous release.
    """

    installation: Fleet

    def __init__(self, tree: Path, directory: Path, *given: Any, before: str = "", **named: Any) -> None:
        self.new = tree
        self.old = previous_release.tree(before)
        self.phases: list[Phase] = []
        self.applied: list[str] = []
        self.replays: list[Replay] = []
        super().__init__(self.old, directory, *given, **{**named, "with_faults": False})

    def _installed(self, url: str, data: Path | None) -> Fleet:
        return Fleet(self.old, self.directory, database_url=url, mail_port=self.mail.port, data=data)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        phase = Phase(name, time.time())
        self.phases.append(phase)
        print(f"{name} ...", flush=True)
        yield
        phase.over = time.time()

    def while_it_blows(self, begun: float) -> None:
        each = self.seconds / 6
        try:
            self._steps(each)
        except Exception as failure:  # the report shows it
            self.problems.append(f"The upgrade broke off: {failure!r}")

    def _steps(self, each: float) -> None:
        with self.phase("the previous release"):
            time.sleep(each)
        if self.server is None:
            self._with_a_stop(each)
            return
        with self.phase("migrating under the previous release"):
            self._migrate(self.new)
        with self.phase("the previous release on the new schema"):
            time.sleep(each)
        for name, tree in self._turns():
            for part in PARTS if tree is self.new else reversed(PARTS):
                with self.phase(f"{name}: {part}"):
                    self.installation.replace(part, tree)
            with self.phase(f"{name}: done"):
                self._work_for(each, tree)

    def _work_for(self, seconds: float, tree: Path) -> None:
        """Wait. If all parts run the new code, check that it leaves what only a newer version knows."""
        if tree is self.new:
            self._leave_what_nobody_knows()
        time.sleep(seconds)
        if tree is self.new:
            self._take_what_nobody_knows()

    def _turns(self) -> list[tuple[str, Path]]:
        return [("to the new code", self.new), ("back to the previous release", self.old), ("again", self.new)]

    def _with_a_stop(self, each: float) -> None:
        for name, tree in self._turns():
            with self.phase(f"{name}: stopped"):
                self.installation.stop()
                self._migrate(tree)
                for part in self.installation.parts.values():
                    part.tree = tree
                self.installation.start()
            with self.phase(f"{name}: done"):
                self._work_for(each, tree)

    def _migrate(self, tree: Path) -> None:
        """Do what the unit lockbox-migrate does, with the code of this tree."""
        before = self._migrations()
        for words in (["migrate", "--noinput"], ["collectstatic", "--noinput"], ["sync_schedules"]):
            command, env = [sys.executable, "manage.py", *words], {**self.installation.env, "PYTHONPATH": str(tree)}
            done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise CannotStart(f"{words} ended with {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
        self.applied += sorted(self._migrations() - before)

    def _migrations(self) -> set[str]:
        return {f"{app}/{name}" for app, name in self.rows.rows("SELECT app, name FROM django_migrations")}

    def _leave_what_nobody_knows(self) -> None:
        """Write a message and a schedule of a newer version."""
        now = "now()" if self.server is not None else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
        number = "'00000000-0000-0000-0000-00000000000a'" if self.server is not None else f"'{'0' * 31}a'"
        self.rows.do(
            "INSERT INTO requests_app_outboxmessage (id, topic, about, mark, key, lane, payload, recipient, state, "
            f"attempts, created_at, next_attempt_at, last_error) VALUES ({number}, '{UNKNOWN_TOPIC}', {number}, '', "
            f"'unknown', 'fanout', '{{\"audiences\": []}}', '', 'waiting', 0, {now}, {now}, '')"
        )
        self.rows.do(
            "INSERT INTO django_q_schedule (name, func, schedule_type, minutes, repeats, next_run) VALUES "
            f"('of_a_newer_version', '{UNKNOWN_TASK}', 'I', 1, -1, {now})"
        )

    def _take_what_nobody_knows(self) -> None:
        """Add a problem unless both rows are as they were written, and remove them."""
        of_topic = f"FROM requests_app_outboxmessage WHERE topic = '{UNKNOWN_TOPIC}'"
        message = self.rows.rows(f"SELECT state, attempts {of_topic}")
        schedule = self.rows.rows(f"SELECT task FROM django_q_schedule WHERE func = '{UNKNOWN_TASK}'")
        if message != [("waiting", 0)] or schedule != [(None,)]:
            self.problems.append(f"What only a newer version knows was touched: {message} {schedule}")
        self.rows.do(f"DELETE {of_topic}")
        self.rows.do(f"DELETE FROM django_q_schedule WHERE func = '{UNKNOWN_TASK}'")

    # --- Ending ------------------------------------------------------------------------------------------------

    def calm_down_and_check(self, journal: Any) -> Any:
        self._count(journal.acts)
        return super().calm_down_and_check(journal)

    def _stop_all_but_web(self) -> None:
        self.installation.stop()
        self.installation.manage("checkpoint")
        self.installation.start_parts(*WEBS)
        self.installation.wait_until_ready()

    def clean_up(self) -> None:
        if hasattr(self, "installation"):
            self.installation.stop_all()
        super().clean_up()

    def _replay(self, slug: str, lines: list[dict[str, Any]]) -> Replay:
        self.replays.append(super()._replay(slug, lines))
        return self.replays[-1]

    def _count(self, acts: list[IntendedAct]) -> None:
        for phase in self.phases:
            for act in acts:
                for call in act.calls:
                    if phase.begun <= call.ended < phase.over:
                        phase.calls += 1
                        phase.longest = max(phase.longest, call.ended - call.begun)
                        phase.put_off += call.outcome == Outcome.PUT_OFF
                        if call.outcome not in _ANSWERED:
                            phase.failed.append(f"{act.door} {act.name}: {call.status} {call.code} {call.words[:80]}")

    def lines(self) -> list[str]:
        """Return one line for each phase, then which migrations were applied, and how late windows were closed."""
        rows = [f"{'phase':<48}{'seconds':>9}{'calls':>8}{'failed':>8}{'longest':>9}"]
        for phase in self.phases:
            seconds = phase.over - phase.begun
            counts = f"{phase.calls:>8}{len(phase.failed):>8}{phase.longest:>8.2f}s"
            rows.append(f"{phase.name:<48}{seconds:>9.1f}{counts}")
            rows += [f"    {each}" for each in phase.failed[:5]]
        late = self._closed_late()
        return [
            *rows,
            f"Sign-ins that were put off, as at any busy time: {sum(phase.put_off for phase in self.phases)}",
            f"Migrations applied while people worked: {', '.join(self.applied) or 'none'}",
            f"Windows that ended by themselves: {len(late)}, recorded at most {max(late, default=0):.1f} s later",
        ]

    def _closed_late(self) -> list[float]:
        """Return how many seconds after its end each window was recorded as closed. Nobody could use it in between."""
        return [
            (life.ended_at - life.closes_at).total_seconds()
            for replay in self.replays
            for life in replay.lives.values()
            if life.ended_at is not None and life.closes_at is not None and life.ended_at >= life.closes_at
        ]
