"""bench: what `make bench` prints. One table, medians of interleaved rounds, ratios within this run.

    tests/bench/bench.py [--rounds 5] [--system] [--mib 320] [--realtime]
                         [--json-mib 40] [--ingest-events 20000] [--skip snapshot,offsite,verify,start,idle,switch,json,ingest]
                         [--only ingest]

snapshot  `holdfast backup now` beside `etcdctl snapshot save` of the same etcd over mutual TLS, to the same disk. etcd 3.7
          and a 1.2 GiB database (made once, kept in the cache; needs Go), or with --system the installed version and one of
          --mib. With --level 2 holdfast checks the SHA-256 and syncs the file; etcdctl checks the length and syncs it. The
          second column is the default: the file is read again and verified to level 4, the catalogue's record written.
offsite   the same etcd into S3, compressed and encrypted, beside etcdctl, zstd, age and an uploader in a pipe: offsite.py
verify    `holdfast backup verify` beside `etcdutl snapshot status` (3.4: etcdctl) of one of these files, in the page cache.
          etcdutl maps the file, so its memory is told twice: all that is resident, and what is its own (RssAnon).
start     from exec to the first 200 of /readyz
idle      wake-ups and CPU over 20 s of a hub that waits for its next backup, the first being done
switch    from one fiber to the other, by bench/bench_switch beside the binary
json      the JSON reader over lists of pods, beside cJSON and simdjson: readers.py
ingest    the agent beside a client-go program, and its first list beside kubectl; needs Go: ingest.py
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

import ingest  # noqa: E402  (beside this file)
import offsite  # noqa: E402
import readers  # noqa: E402
from peers import bigdb  # noqa: E402  (the path comes first)
from peers.backup import check_file  # noqa: E402
from peers.ca import Ca, Cert  # noqa: E402
from peers.etcd import Etcd, _ctl_env  # noqa: E402
from peers.hub import Hub  # noqa: E402
from peers.limits import Watch  # noqa: E402
from peers.proc import PeerError, run, wait_for  # noqa: E402

MIB = 1 << 20
DB = {"total_bytes": 1200 * MIB, "keys": 300_000, "big": 16}
PARTS = ("snapshot", "offsite", "verify", "start", "idle", "switch", "json", "ingest")
IDLE_SECONDS = 20
STARTS = 15
GOAL_PACE, GOAL_ANON_MIB, GOAL_READY_MS, GOAL_WAKEUPS = 1.25, 4.0, 50.0, 2.0
GOAL_MEMORY = 50  # times less than etcdutl


@dataclass(frozen=True)
class Cost:
    """Of one command: the peaks are of private memory and of all that is resident, mapped files too."""
    seconds: float
    cpu_seconds: float
    anon_bytes: float
    rss_bytes: float


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
    peak = watch.stop()
    if child.returncode != 0:
        raise PeerError(f"{line}: exit {child.returncode}\n{said.decode(errors='replace')}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak.anon_peak, peak.rss_peak)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("seconds", "cpu_seconds", "anon_bytes", "rss_bytes")))


class Table:
    """`verified`: the same of holdfast when it verifies to level 4, where that is another thing."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, what: str, ours: str, theirs: str = "", ratio: str = "", goal: str = "", met: bool | None = None,
            verified: str = "") -> None:
        mark = "" if met is None else (f"{goal}: met" if met else f"{goal}: NOT met")
        self.rows.append((what, ours, verified, theirs, ratio, mark))

    def print(self, opponent: str) -> None:
        rows = [("", "holdfast", "to level 4", opponent, "ratio", "goal"), *self.rows]
        width = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width[at]) if at in (0, 5) else cell.rjust(width[at]) for at, cell in enumerate(row)).rstrip())


# --- snapshot

def big_etcd(folder: Path, tls: Cert, system: bool, mib: int) -> Etcd:
    if not system:
        return bigdb.get(**DB).open(folder, tls=tls)
    etcd = Etcd(folder, "system", tls)
    etcd.start()
    gateway = etcd.gateway()
    for at in range(0, mib, 2):  # an eighth in small values, so that there are keys to count
        gateway.put_many([(b"key-%d" % at, os.urandom(1792 << 10)),
                          *((b"small-%d-%d" % (at, i), os.urandom(1 << 10)) for i in range(240))])
    etcd.stop()
    return etcd


class Kept:
    """One snapshot that the snapshot part leaves for the verify part."""
    file: Path | None = None
    etcd: Etcd | None = None
    bare_seconds: float = 0.0  # of `etcdctl snapshot save`


def bench_snapshot(table: Table, folder: Path, options: argparse.Namespace, kept: Kept) -> str:
    ca = Ca(folder / "ca")
    client = ca.client("bench")
    etcd = big_etcd(folder / "etcd", ca.server("etcd"), options.system, options.mib)
    etcd.start(wait=False)
    kept.etcd = etcd
    try:
        wait_for(etcd._healthy, "etcd ready", 180, etcd.proc)
        if options.realtime:
            run(["chrt", "--all-tasks", "--rr", "--pid", "1", str(etcd.pid)])
        told = rounds_of_snapshots(table, folder, options, etcd, client, kept)
        if "offsite" not in options.skip.split(",") and not options.system:
            (folder / "offsite").mkdir()
            offsite.bench(table, folder / "offsite", options, etcd, client, kept.bare_seconds)
        return told
    finally:
        etcd.stop()


def interleaved(lines: dict[str, list], rounds: int, after: Callable[[str, int], None]) -> dict[str, Cost]:
    """Medians of rounds in which all take turns, in changing order; the first round warms up the page cache and is not
    counted."""
    for name, line in lines.items():
        print(f"{name}: {' '.join(map(str, line))}", flush=True)
    costs: dict[str, list[Cost]] = {name: [] for name in lines}
    for number in range(rounds + 1):
        for name in (list(lines) if number % 2 else list(lines)[::-1]):
            os.sync()
            cost = run_measured(lines[name], _ctl_env())
            if number:
                costs[name].append(cost)
                print(f"  round {number} {name}: {cost.seconds:.2f} s, {cost.cpu_seconds:.2f} s CPU, RssAnon "
                      f"{cost.anon_bytes / MIB:.1f} MiB", flush=True)
            after(name, number)
    return {name: median(of) for name, of in costs.items()}


def rounds_of_snapshots(table: Table, folder: Path, options: argparse.Namespace, etcd: Etcd, client: Cert, kept: Kept) -> str:
    hub = Hub(options.binary, folder / "hub", endpoints=[etcd.url], client=client)
    saved, kept.file = folder / "saved.db", folder / "etcd-snapshot-20260101-000000.db"
    before = REALTIME if options.realtime else []
    now = [*before, options.binary, "backup", "now", "--config", hub.write_config()]
    lines = {"holdfast": [*now, "--level", "2"], "holdfast to level 4": now,
             "etcdctl": [*before, etcd.programs.etcdctl, "--endpoints", etcd.url, "--cacert", client.ca, "--cert", client.cert,
                         "--key", client.key, "snapshot", "save", saved]}

    def after(name: str, number: int) -> None:
        if name == "etcdctl":
            saved.unlink()
            return
        made = hub.snapshots()[0]
        if number == 0:
            check_file(made)
        made.replace(kept.file)
        for rest in hub.backups.iterdir():
            rest.unlink()

    costs = interleaved(lines, options.rounds, after)
    kept.bare_seconds = costs["etcdctl"].seconds
    tell_snapshot(table, kept.file.stat().st_size, *(costs[name] for name in lines))
    return f"etcdctl {etcd.version}"


def tell_snapshot(table: Table, size: int, ours: Cost, verified: Cost, theirs: Cost) -> None:
    pace = theirs.seconds / ours.seconds
    table.add(f"snapshot of {size / MIB:.0f} MiB, s", f"{ours.seconds:.2f}", f"{theirs.seconds:.2f}", f"{pace:.2f} x pace",
              f">= {GOAL_PACE} x", pace >= GOAL_PACE, f"{verified.seconds:.2f}")
    table.add("  MiB/s", f"{size / MIB / ours.seconds:.0f}", f"{size / MIB / theirs.seconds:.0f}",
              verified=f"{size / MIB / verified.seconds:.0f}")
    table.add("  CPU, s", f"{ours.cpu_seconds:.2f}", f"{theirs.cpu_seconds:.2f}", f"{ours.cpu_seconds / theirs.cpu_seconds:.2f} x",
              verified=f"{verified.cpu_seconds:.2f}")
    table.add("  peak RssAnon, MiB", f"{ours.anon_bytes / MIB:.2f}", f"{theirs.anon_bytes / MIB:.2f}",
              f"{ours.anon_bytes / theirs.anon_bytes:.2f} x", f"<= {GOAL_ANON_MIB:.0f} MiB", ours.anon_bytes <= GOAL_ANON_MIB * MIB,
              f"{verified.anon_bytes / MIB:.2f}")


# --- verify

def bench_verify(table: Table, options: argparse.Namespace, kept: Kept) -> None:
    if not kept.file or not kept.file.exists():
        raise PeerError("there is no snapshot: the snapshot part failed or was skipped")
    before = REALTIME if options.realtime else []
    lines = {"holdfast": [*before, options.binary, "backup", "verify", kept.file],
             "etcdutl": [*before, kept.etcd.programs.etcdutl, "snapshot", "status", kept.file, "-w", "json"]}
    costs = interleaved(lines, options.rounds, lambda name, number: None)
    ours, theirs = costs["holdfast"], costs["etcdutl"]
    table.add(f"verify {kept.file.stat().st_size / MIB:.0f} MiB to level 4, s", f"{ours.seconds:.2f}", f"{theirs.seconds:.2f}",
              f"{theirs.seconds / ours.seconds:.2f} x pace", "no slower", ours.seconds <= theirs.seconds)
    table.add("  CPU, s", f"{ours.cpu_seconds:.2f}", f"{theirs.cpu_seconds:.2f}", f"{ours.cpu_seconds / theirs.cpu_seconds:.2f} x")
    table.add("  peak resident, MiB", f"{ours.rss_bytes / MIB:.2f}", f"{theirs.rss_bytes / MIB:.2f}",
              f"1/{theirs.rss_bytes / ours.rss_bytes:.0f}", f"<= 1/{GOAL_MEMORY}", ours.rss_bytes * GOAL_MEMORY <= theirs.rss_bytes)
    table.add("  peak RssAnon, MiB", f"{ours.anon_bytes / MIB:.2f}", f"{theirs.anon_bytes / MIB:.2f}",
              f"1/{theirs.anon_bytes / ours.anon_bytes:.1f}")


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
        table.add(f"exec to /readyz, {profile}, ms", f"{took_ms:.1f}", goal=f"< {GOAL_READY_MS:.0f} ms", met=took_ms < GOAL_READY_MS)


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
    with Etcd(folder / "idle-etcd") as etcd, Hub(binary, folder / "idle", endpoints=[etcd.url], profile="hub32") as hub:
        etcd.start()
        hub.start()
        hub.wait_snapshot()
        time.sleep(2)
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
    parser.add_argument("--system", action="store_true", help="the installed etcd: no Go needed")
    parser.add_argument("--mib", type=int, default=320, help="size of the database of --system")
    parser.add_argument("--json-mib", type=int, default=40, help="size of each list of pods that the JSON readers read")
    parser.add_argument("--ingest-events", type=int, default=20_000, help="events that wait for the platform")
    parser.add_argument("--skip", default="", help=f"any of {','.join(PARTS)}")
    parser.add_argument("--only", default="", help="any of the same: the others are skipped")
    parser.add_argument("--binary", type=Path, default=Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/x86_64/holdfast")))
    parser.add_argument("--realtime", action="store_true", help="SCHED_RR for etcd and both clients: for busy machines")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    skip = options.skip.split(",") + [part for part in PARTS if options.only and part not in options.only.split(",")]
    skip += ["ingest"] if options.system else []
    options.skip = ",".join(skip)
    table, opponent, failed = Table(), "etcdctl", []
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=options.binary.resolve().parent))
    binary = options.binary = options.binary.resolve()
    kept = Kept()

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
        told = attempt("snapshot", lambda: bench_snapshot(table, folder, options, kept))
        opponent = str(told) if told else opponent
        attempt("verify", lambda: bench_verify(table, options, kept))
        attempt("start", lambda: bench_start(table, folder, binary))
        attempt("idle", lambda: bench_idle(table, folder, binary))
        attempt("switch", lambda: bench_switch(table, binary.parent / "bench" / "bench_switch"))
        attempt("ingest", lambda: ingest.bench(table, folder / "ingest", options, run_measured))
        attempt("json", lambda: readers.bench(table, folder, binary.parent / "bench" / "bench_json", options.rounds, options.json_mib))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print()
    table.print(opponent)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
