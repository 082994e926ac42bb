"""bench: what `make bench` prints. One table, medians of interleaved rounds, ratios within this run.

    tests/bench/bench.py [--rounds 5] [--system] [--realtime] [--skip snapshot,start,idle,switch]

snapshot  `holdfast backup now` beside `etcdctl snapshot save` of the same etcd over mutual TLS, to the same disk. etcd 3.7
          and a 1.2 GiB database (made once, kept in the cache; needs Go), or with --system the installed version and a
          smaller one. holdfast checks the SHA-256 and syncs the file; etcdctl checks the length and syncs it.
start     from exec to the first 200 of /readyz
idle      wake-ups and CPU of a hub with nothing to do, over 20 s
switch    from one fiber to the other, by bench/bench_switch beside the binary
--realtime puts etcd and both clients into SCHED_RR (needs root): on a machine that does other work, all three else wait
for the CPU most of the time, and so take the same time.
Exit code 0 unless a measurement failed; a goal that is not met is marked, not failed: machines differ.
"""
from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers import bigdb  # noqa: E402  (the path comes first)
from peers.backup import check_file  # noqa: E402
from peers.ca import Ca, Cert  # noqa: E402
from peers.etcd import Etcd, _ctl_env  # noqa: E402
from peers.hub import Hub  # noqa: E402
from peers.limits import Watch  # noqa: E402
from peers.proc import PeerError, run, wait_for  # noqa: E402

MIB = 1 << 20
DB = {"total_bytes": 1200 * MIB, "keys": 300_000, "big": 16}
IDLE_SECONDS = 20
STARTS = 15
GOAL_PACE, GOAL_ANON_MIB, GOAL_READY_MS, GOAL_WAKEUPS = 1.25, 4.0, 50.0, 2.0


@dataclass(frozen=True)
class Cost:
    """Of one command."""
    seconds: float
    cpu_seconds: float
    anon_bytes: int


REALTIME = ["chrt", "--rr", "1"]


def run_measured(line: Sequence[object], env: dict[str, str]) -> Cost:
    """To its end; PeerError unless it ended well."""
    began = time.monotonic()
    child = subprocess.Popen([str(word) for word in line], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watch = Watch(child.pid, every=0.005)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    peak = watch.stop().anon_peak
    if child.returncode != 0:
        raise PeerError(f"{line}: exit {child.returncode}\n{said.decode(errors='replace')}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("seconds", "cpu_seconds", "anon_bytes")))


class Table:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, what: str, ours: str, theirs: str = "", ratio: str = "", goal: str = "", met: bool | None = None) -> None:
        mark = "" if met is None else (f"{goal}: met" if met else f"{goal}: NOT met")
        self.rows.append((what, ours, theirs, ratio, mark))

    def print(self, opponent: str) -> None:
        rows = [("", "holdfast", opponent, "ratio", "goal"), *self.rows]
        width = [max(len(row[at]) for row in rows) for at in range(5)]
        for row in rows:
            print("  ".join(cell.ljust(width[at]) if at in (0, 4) else cell.rjust(width[at]) for at, cell in enumerate(row)).rstrip())


# --- snapshot

def big_etcd(folder: Path, tls: Cert, system: bool) -> Etcd:
    if not system:
        return bigdb.get(**DB).open(folder, tls=tls)
    etcd = Etcd(folder, "system", tls)
    etcd.start()
    gateway = etcd.gateway()
    for at in range(160):
        gateway.put_many((b"key-%d-%d" % (at, i), os.urandom(MIB)) for i in range(2))
    etcd.stop()
    return etcd


def bench_snapshot(table: Table, folder: Path, binary: Path, rounds: int, system: bool, realtime: bool) -> str:
    ca = Ca(folder / "ca")
    client = ca.client("bench")
    etcd = big_etcd(folder / "etcd", ca.server("etcd"), system)
    etcd.start(wait=False)
    try:
        wait_for(etcd._healthy, "etcd ready", 180, etcd.proc)
        if realtime:
            run(["chrt", "--all-tasks", "--rr", "--pid", "1", str(etcd.pid)])
        return rounds_of_snapshots(table, folder, binary, rounds, etcd, client, REALTIME if realtime else [])
    finally:
        etcd.stop()


def rounds_of_snapshots(table: Table, folder: Path, binary: Path, rounds: int, etcd: Etcd, client: Cert,
                        before: list[str]) -> str:
    hub = Hub(binary, folder / "hub", endpoints=[etcd.url], client=client)
    saved = folder / "saved.db"
    lines = {"holdfast": [*before, binary, "backup", "now", "--config", hub.write_config()],
             "etcdctl": [*before, etcd.programs.etcdctl, "--endpoints", etcd.url, "--cacert", client.ca, "--cert", client.cert,
                         "--key", client.key, "snapshot", "save", saved]}
    for name, line in lines.items():
        print(f"{name}: {' '.join(map(str, line))}", flush=True)
    costs: dict[str, list[Cost]] = {name: [] for name in lines}
    size = 0
    for number in range(rounds + 1):  # the first warms up the page cache
        for name in (list(lines) if number % 2 else list(lines)[::-1]):
            os.sync()
            cost = run_measured(lines[name], _ctl_env())
            if number:
                costs[name].append(cost)
                print(f"  round {number} {name}: {cost.seconds:.2f} s, {cost.cpu_seconds:.2f} s CPU", flush=True)
            size = (saved if name == "etcdctl" else hub.snapshots()[0]).stat().st_size
            if name == "holdfast" and number == 0:
                check_file(hub.snapshots()[0])
            for file in [*hub.snapshots(), saved]:
                file.unlink(missing_ok=True)
    tell_snapshot(table, size, median(costs["holdfast"]), median(costs["etcdctl"]))
    return f"etcdctl {etcd.version}"


def tell_snapshot(table: Table, size: int, ours: Cost, theirs: Cost) -> None:
    pace = theirs.seconds / ours.seconds
    table.add(f"snapshot of {size / MIB:.0f} MiB, s", f"{ours.seconds:.2f}", f"{theirs.seconds:.2f}", f"{pace:.2f} x pace",
              f">= {GOAL_PACE} x", pace >= GOAL_PACE)
    table.add("  MiB/s", f"{size / MIB / ours.seconds:.0f}", f"{size / MIB / theirs.seconds:.0f}")
    table.add("  CPU, s", f"{ours.cpu_seconds:.2f}", f"{theirs.cpu_seconds:.2f}", f"{ours.cpu_seconds / theirs.cpu_seconds:.2f} x")
    table.add("  peak RssAnon, MiB", f"{ours.anon_bytes / MIB:.2f}", f"{theirs.anon_bytes / MIB:.2f}",
              f"{ours.anon_bytes / theirs.anon_bytes:.2f} x", f"<= {GOAL_ANON_MIB:.0f} MiB", ours.anon_bytes <= GOAL_ANON_MIB * MIB)


# --- start

def is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return sock.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def idle_hub(folder: Path, binary: Path, profile: str) -> Hub:
    hub = Hub(binary, folder, profile=profile)
    del hub.config["backup"]
    hub.write_config()
    return hub


def one_start(hub: Hub) -> float:
    began = time.monotonic()
    child = subprocess.Popen([hub.binary, "run", "--config", hub.config_file, *hub.args], stderr=subprocess.DEVNULL)
    try:
        while not is_ready(hub.port):
            if child.poll() is not None or time.monotonic() > began + 10:
                raise PeerError("holdfast run does not become ready")
            time.sleep(0.0005)
        return time.monotonic() - began
    finally:
        child.terminate()
        child.wait()


def bench_start(table: Table, folder: Path, binary: Path) -> None:
    for profile in ("edge16", "hub32", "hub64"):
        hub = idle_hub(folder / f"start-{profile}", binary, profile)
        took_ms = statistics.median(one_start(hub) for _ in range(STARTS)) * 1000
        table.add(f"exec to /readyz, {profile}, ms", f"{took_ms:.1f}",
                  **({"goal": f"< {GOAL_READY_MS:.0f} ms", "met": took_ms < GOAL_READY_MS} if profile == "hub32" else {}))


# --- idle

def switches(pid: int) -> int:
    """Voluntary and not, of all threads."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])  # utime, stime: proc(5)


def bench_idle(table: Table, folder: Path, binary: Path) -> None:
    with idle_hub(folder / "idle", binary, "hub32") as hub:
        hub.start()
        time.sleep(1)
        first = hub.metric("holdfast_loop_wakeups_total")
        before = switches(hub.proc.pid), cpu_ticks(hub.proc.pid)
        time.sleep(IDLE_SECONDS)
        after = switches(hub.proc.pid), cpu_ticks(hub.proc.pid)
        asking = hub.metric("holdfast_loop_wakeups_total")
        again = hub.metric("holdfast_loop_wakeups_total")
        wakeups = max(asking - first - (again - asking), 0) / IDLE_SECONDS  # less what one question costs
        table.add("idle: loop wake-ups /s", f"{wakeups:.2f}", goal=f"<= {GOAL_WAKEUPS:.0f}/s", met=wakeups <= GOAL_WAKEUPS)
        table.add("idle: context switches /s", f"{(after[0] - before[0]) / IDLE_SECONDS:.2f}", goal=f"<= {GOAL_WAKEUPS:.0f}/s",
                  met=(after[0] - before[0]) / IDLE_SECONDS <= GOAL_WAKEUPS)
        table.add("idle: CPU, %", f"{(after[1] - before[1]) / os.sysconf('SC_CLK_TCK') / IDLE_SECONDS * 100:.3f}")


# --- switch

def bench_switch(table: Table, program: Path) -> None:
    print(f"switch: {program}", flush=True)
    table.add("fiber switch, ns", run([program], seconds=60).stdout.decode().strip())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--system", action="store_true", help="the installed etcd, 320 MiB: no Go needed")
    parser.add_argument("--skip", default="", help="any of snapshot,start,idle,switch")
    parser.add_argument("--binary", type=Path, default=Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/x86_64/holdfast")))
    parser.add_argument("--realtime", action="store_true", help="SCHED_RR for etcd and both clients: for busy machines")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    skip = options.skip.split(",")
    table, opponent, failed = Table(), "etcdctl", []
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=options.binary.resolve().parent))
    binary = options.binary.resolve()

    def attempt(name: str, work: Callable[[], object]) -> object:
        if name in skip:
            return None
        try:
            return work()
        except (PeerError, OSError, AssertionError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr)
            return None

    print(f"{run([binary, 'version']).stdout.decode().strip()}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        told = attempt("snapshot", lambda: bench_snapshot(table, folder, binary, options.rounds, options.system,
                                                          options.realtime))
        opponent = str(told) if told else opponent
        attempt("start", lambda: bench_start(table, folder, binary))
        attempt("idle", lambda: bench_idle(table, folder, binary))
        attempt("switch", lambda: bench_switch(table, binary.parent / "bench" / "bench_switch"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print()
    table.print(opponent)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
