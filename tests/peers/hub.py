"""hub: the binary under test, as a running hub and as one-shot commands.

    hub = Hub(binary, folder, endpoints=[etcd.url], client=ca.client("hub"), profile="edge16")
    hub.start(); hub.metrics()["holdfast_…"]; hub.snapshots(); hub.stop().code
    hub.command("backup", "now", "-o", "json")

The configuration is hub.config, a dict: change it before start(). Loopback only, port free at start.
"""
from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from . import ask, prom
from .ca import Cert
from .config import hub_config, to_yaml
from .limits import Usage, Watch, memory_group
from .proc import PeerError, Proc, free_port, run, wait_for, write_whole

MIB = 1 << 20
PROFILE_BYTES = {"edge16": 16 * MIB, "hub32": 32 * MIB, "hub64": 64 * MIB}
BUSY = 75  # exit code: another run is at work there
GROUP_EXTRA = 16 * MIB  # page tables, page cache, socket buffers: DESIGN, "Memory"


@dataclass(frozen=True)
class Stopped:
    """How a hub ended: its exit code, how long it took, what it used, what it logged."""
    code: int
    seconds: float
    usage: Usage
    log: str


def record_of(snapshot: Path) -> Path:
    """Where a snapshot's record lies."""
    return snapshot.with_name(snapshot.name + ".json")


class Hub:
    """profile    --profile, None for the default
    limited    RLIMIT_DATA equal to the profile, and a memory cgroup of profile + 16 MiB where one can be had
               (self.group, None where not)
    args       more arguments of `holdfast run`;  env  environment instead of a clean one"""

    def __init__(self, binary: Path, folder: Path, *, endpoints: Sequence[str] = (), client: Cert | None = None,
                 ca: Path | None = None, every: str = "6h", profile: str | None = None, limited: bool = False,
                 args: Sequence[str] = (), env: dict[str, str] | None = None):
        self.binary = Path(binary)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.backups = self.folder / "backups"
        self.backups.mkdir(exist_ok=True)
        self.port = free_port()
        self.config = hub_config(data=self.folder / "data", listen=f"127.0.0.1:{self.port}", endpoints=endpoints,
                                 client=client, ca=ca, destination=self.backups, every=every)
        self.profile, self.limited = profile, limited
        self.args = [*(["--profile", profile] if profile else []), *args]
        self.env = {"PATH": "/usr/bin:/bin", **(env or {})}
        self.group = None
        self.proc: Proc | None = None
        self.watch: Watch | None = None
        self.ready_seconds = 0.0

    @property
    def config_file(self) -> Path:
        return self.folder / "holdfast.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "holdfast.log"

    def write_config(self) -> Path:
        return write_whole(self.config_file, to_yaml(self.config))

    def start(self, wait: bool = True, seconds: float = 60) -> "Hub":
        """`holdfast run`; with wait until /readyz is 200 (self.ready_seconds says how long that took)."""
        self.write_config()
        limits = self._limits()
        began = time.monotonic()
        self.proc = Proc([self.binary, "run", "--config", self.config_file, *self.args], log=self.log, env=self.env,
                         limits=limits, setup=self.group.enter if self.group else None)
        self.watch = Watch(self.proc.pid)
        if wait:
            wait_for(lambda: self.get("/readyz")[0] == 200, "holdfast /readyz", seconds, self.proc, every=0.002)
            self.ready_seconds = time.monotonic() - began
        return self

    def _limits(self) -> dict[int, int]:
        if not self.limited:
            return {}
        amount = PROFILE_BYTES[self.profile or "hub32"]
        self.group = memory_group(amount + GROUP_EXTRA)
        return {resource.RLIMIT_DATA: amount}

    def get(self, path: str, headers: dict[str, str] | None = None, seconds: float = 30) -> tuple[int, bytes]:
        """Status and body; OSError when nobody answers."""
        return ask.get(self.port, path, headers, seconds)

    def metrics_text(self) -> str:
        status, body = self.get("/metrics")
        if status != 200:
            raise PeerError(f"/metrics: {status}")
        return body.decode()

    def metrics(self) -> prom.Samples:
        """Name to labels to number: metrics()["up"][()], or [(("task", "backup"),)]."""
        return prom.parse(self.metrics_text())

    def metric(self, name: str, **labels: str) -> float:
        """One number; KeyError when there is none such."""
        return self.metrics()[name][tuple(sorted(labels.items()))]

    def wait_metric(self, name: str, check, seconds: float = 120, **labels: str) -> float:
        """Until check(number) is true; that number."""
        def look() -> tuple[float] | None:
            try:
                number = self.metric(name, **labels)
            except KeyError:
                return None
            return (number,) if check(number) else None
        return wait_for(look, f"metric {name}{labels or ''}", seconds, self.proc, every=0.05)[0]  # type: ignore

    def snapshots(self) -> list[Path]:
        """Finished snapshots, oldest first."""
        return sorted(self.backups.glob("etcd-snapshot-*.db"))

    def leftovers(self) -> list[Path]:
        """Everything else that lies in the destination: temporary files, most likely."""
        return sorted(set(self.backups.iterdir()) - set(self.snapshots()) - set(map(record_of, self.snapshots())))

    def damaged(self) -> list[Path]:
        """Snapshots that failed their verification and were kept aside."""
        return sorted(self.backups.glob("etcd-snapshot-*.db.bad"))

    def verify(self, file: Path, *args: str, code: int = 0) -> dict:
        """What `backup verify FILE -o json` says; it must end with `code`."""
        done = run([self.binary, "backup", "verify", str(file), "-o", "json", *args], env=self.env, check=False)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def log_lines(self) -> list[str]:
        """Whole ones: what is being written just now is left out."""
        return self.log_text().rpartition("\n")[0].splitlines()

    def wait_log(self, words: str, count: int = 1, seconds: float = 120) -> None:
        """Until so many lines have these words."""
        wait_for(lambda: sum(words in line for line in self.log_lines()) >= count, f"{count} of {words!r} in the log", seconds,
                 self.proc, every=0.02)

    def wait_snapshot(self, count: int = 1, seconds: float = 120) -> Path:
        """Until there are so many and the run that made the newest is told of: record, metrics, log; not what comes after
        it, see wait_idle(). The newest."""
        def told() -> Path | None:
            found = self.snapshots()
            if len(found) < count or not record_of(found[-1]).exists():
                return None
            done = any("backup done" in line and found[-1].name in line for line in self.log_lines())
            return found[-1] if done else None
        return wait_for(told, f"{count} snapshots", seconds, self.proc, every=0.02)  # type: ignore

    def wait_idle(self, seconds: float = 120) -> None:
        """After a run was told of: until it has pruned too, and the destinations are free for another."""
        wait_for(lambda: self.command("backup", "prune", "--dry-run").returncode != BUSY, "nothing under way", seconds, self.proc,
                 every=0.05)

    def command(self, *args: object, seconds: float = 120, data: bytes | None = None) -> subprocess.CompletedProcess:
        """`holdfast ARGS --config FILE` to its end, under no limits; .returncode, .stdout, .stderr (bytes)."""
        self.write_config()
        return run([self.binary, *map(str, args), "--config", self.config_file], check=False, seconds=seconds,
                   env=self.env, data=data)

    def pause(self) -> None:
        self.proc.pause()

    def resume(self) -> None:
        self.proc.resume()

    def kill(self) -> Stopped:
        """SIGKILL: what a power cut does to a process."""
        return self._end(signal.SIGKILL, 60)

    def stop(self, seconds: float = 60) -> Stopped:
        """SIGTERM. PeerError when it still runs after that many seconds (it is killed then)."""
        return self._end(signal.SIGTERM, seconds)

    def _end(self, number: int, seconds: float) -> Stopped:
        if self.proc is None:
            return Stopped(0, 0.0, Usage(), "")
        usage = self.watch.stop()
        began = time.monotonic()
        if self.proc.alive():
            self.proc.send(number)
        try:
            code = self.proc.wait(seconds)
        except PeerError:
            self.proc.kill()
            raise
        finally:
            self.close()
        return Stopped(code, time.monotonic() - began, usage, self.log_text())

    def close(self) -> None:
        """Ends whatever runs, without judging it; idempotent."""
        if self.watch:
            self.watch.stop()
        if self.proc and self.proc.alive():
            self.proc.kill()
        if self.group:
            self.group.remove()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
