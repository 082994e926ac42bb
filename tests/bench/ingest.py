"""ingest: the agent beside a small client-go program (tests/bench/ingest) that lists, watches and POSTs the same changes.

changes  both at once: some 100 changes a second for some seconds, each told to a platform double over TLS. From the API server's
         answer to the writer to the arrival at the double, which has the same clock; and what went to the disk.
spooled  both platforms are down, `--ingest-events` pods come into being, and both programs have taken them in: the hub into its
         spool, client-go into its memory. Then one platform after the other is up again. Each program has one core, the hub
         `hub32` with RLIMIT_DATA, no rate limit but the highest. CPU is what a program used from the first pod to the last arrival.
list     a cluster of 10,000 pods: `holdfast run` from exec to the finished snapshot, beside `kubectl get pods -A -o json`
The control plane is real (peers.kube), without controllers; the pods of `spooled` and `list` are written into etcd.
"""
from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from peers.ca import Ca
from peers.clientgo import ClientGo
from peers.hub import Hub
from peers.kube import ControlPlane
from peers.kube_law import Law
from peers.kubefill import fill
from peers.limits import Watch
from peers.platform import VERSION_LABEL, Platform
from peers.proc import PeerError, wait_for

MIB = 1 << 20
CHANGES_PER_SECOND, CHANGE_SECONDS, CHANGED_PODS = 100, 10, 200
LISTED_PODS = 10_000
RATE = 5000
TICKS = os.sysconf("SC_CLK_TCK")
GOAL_PACE, GOAL_CPU, GOAL_MEMORY, GOAL_P99_MS = 2000, 5, 10, 50


def cpu_seconds(pid: int) -> float:
    """Of all threads, so far; proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def agent_hub(binary: Path, folder: Path, plane: ControlPlane, platform: Platform, kinds: list[str] | None = None) -> Hub:
    """Not started."""
    hub = Hub(binary, folder, profile="hub32", limited=True)
    (folder / "id").write_text(platform.client_id + "\n")
    hub.config = {"version": 1, "data": str(folder / "data"), "listen": hub.config["listen"],
                  "kubernetes": {"kubeconfig": str(plane.kubeconfig("agent", token=plane.agent_account()))},
                  "ingest": {"enabled": True, "source": "config", "platform_url": platform.url, "cluster_name": "bench", "ca": str(platform.tls.ca),
                             "credentials": {"client_id_file": str(folder / "id"), "private_key_file": str(platform.private_key)},
                             "rate_limit": {"events_per_second": RATE, "burst_size": RATE}}}
    if kinds:
        hub.config["ingest"]["kinds"] = kinds
    return hub


def told(hub: Hub, name: str) -> float:
    return sum(hub.metrics()[f"holdfast_ingest_{name}"].values())


def written_bytes(hub: Hub) -> float:
    """After the last commit of what was sent, and the metric that tells of it (each second)."""
    wait_for(lambda: told(hub, "spool_events") == 0, "an empty spool", 60, hub.proc, every=0.1)
    time.sleep(1.5)
    return told(hub, "spool_written_bytes_total")


@dataclass
class Side:
    """One program and its platform."""
    name: str
    pid: int
    platform: Platform
    took_in: float = 0  # CPU seconds
    sent: float = 0     # CPU seconds from the platform's return to the last arrival
    pace: float = 0     # arrivals a second, from the first to the last
    first: float = 0    # seconds from the platform's return to the first
    anon: float = 0
    late: list[float] = field(default_factory=list)         # ms from the API server's answer
    late_request: list[float] = field(default_factory=list)  # ms from the request


# --- changes, some each second

def arrivals(platform: Platform, since: int) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for one in platform.delivered(since):
        if one.get("kind") == "Pod" and one.get("type") == "modified":
            found.setdefault((one["name"], one.get("version", 0)), one["at"])
    return found


def change(plane: ControlPlane, pods: list[tuple[str | None, str]], count: int) -> dict[tuple[str, int], tuple[float, float]]:
    """`count` changes at their times; of each when it was asked for and when that was answered."""
    began = time.monotonic() + 0.2

    def one(at: int) -> tuple[tuple[str, int], tuple[float, float]]:
        space, name = pods[at % len(pods)]
        version = 2 + at // len(pods)
        time.sleep(max(0.0, began + at / CHANGES_PER_SECOND - time.monotonic()))
        asked = time.monotonic()
        plane.client.patch("Pod", name, {"metadata": {"labels": {VERSION_LABEL: str(version)}}}, space)
        return (name, version), (asked, time.monotonic())

    return dict(plane.client.many(one, range(count)))


def measure_changes(plane: ControlPlane, hub: Hub, sides: list[Side], pods: list[tuple[str | None, str]]) -> float:
    """Fills in `late` of each side; bytes written for a change."""
    seen = [side.platform.stats()["journal"] for side in sides]
    before = written_bytes(hub)
    made = change(plane, pods, CHANGES_PER_SECOND * CHANGE_SECONDS)
    for side, since in zip(sides, seen):
        came = wait_for(lambda: len(found := arrivals(side.platform, since)) >= len(made) and found, f"{len(made)} changes at {side.name}'s platform",
                        60, every=0.2)
        side.late = [(came[key] - answered) * 1000 for key, (_, answered) in made.items()]
        side.late_request = [(came[key] - asked) * 1000 for key, (asked, _) in made.items()]
    return (written_bytes(hub) - before) / len(made)


# --- many that wait

def wait_quiet(pid: int, seconds: float = 180) -> None:
    """Until it has used next to no CPU for two seconds: nothing tells from outside what it has taken in."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = cpu_seconds(pid)
        time.sleep(2)
        if cpu_seconds(pid) - before <= 0.1:
            return
    raise PeerError(f"process {pid} does not come to rest")


def drain(side: Side, events: int) -> None:
    side.platform.clear("journal", "counts")
    before, began = cpu_seconds(side.pid), time.monotonic()
    side.platform.up()
    side.platform.wait_count("events", events, 300)
    side.sent = cpu_seconds(side.pid) - before
    at = [one["at"] for one in side.platform.delivered()]
    if len(at) < events:
        raise PeerError(f"{side.name} delivered {len(at)} of {events}")
    side.first, side.pace = min(at) - began, (len(at) - 1) / (max(at) - min(at))
    print(f"  {side.name}: first after {side.first:.1f} s, then {side.pace:.0f}/s; CPU {side.took_in / events * 1e6:.1f} us to take one in, "
          f"{side.sent / events * 1e6:.1f} us to deliver it", flush=True)


def measure_spooled(plane: ControlPlane, hub: Hub, sides: list[Side], events: int) -> float:
    """Bytes written for an event."""
    before, used = written_bytes(hub), [cpu_seconds(side.pid) for side in sides]
    for side in sides:
        side.platform.down()
    made = fill(plane, pods=events, prefix="late", kinds=["Pod"], running=False, direct=True)
    print(f"  {events} pods in {made.seconds:.1f} s", flush=True)
    wait_for(lambda: told(hub, "spool_events") >= events, f"{events} events in the spool", 300, hub.proc, every=0.2)
    for side, cpu in zip(sides, used):
        wait_quiet(side.pid)
        side.took_in = cpu_seconds(side.pid) - cpu
    for side in sides:
        drain(side, events)
    return (written_bytes(hub) - before) / events


# --- the first list

def list_once(hub: Hub) -> tuple[float, float, float]:
    """Seconds, CPU seconds, RssAnon peak up to the line that tells of the list."""
    began = time.monotonic()
    hub.start(wait=False)
    try:
        wait_for(lambda: "the cluster was listed" in hub.log_text(), "a list", 120, hub.proc, every=0.01)
        seconds, cpu = time.monotonic() - began, cpu_seconds(hub.proc.pid)
        return seconds, cpu, hub.watch.stop().anon_peak
    finally:
        hub.kill()


def measure_list(folder: Path, options, plane: ControlPlane, platform: Platform, run_measured) -> dict[str, list[tuple[float, float, float]]]:
    line = [plane.programs / "kubectl", f"--kubeconfig={plane.admin_config}", f"--cache-dir={folder / 'kubectl'}", "get", "pods", "-A", "-o", "json"]
    costs: dict[str, list[tuple[float, float, float]]] = {"holdfast": [], "kubectl": []}
    print(f"list: {options.binary} run, kinds: [Pod]\n  beside {' '.join(map(str, line))}", flush=True)
    for number in range(options.rounds + 1):
        for name in (list(costs) if number % 2 else list(costs)[::-1]):
            if name == "kubectl":
                cost = run_measured(line, {"HOME": str(folder), "PATH": "/usr/bin:/bin"})
                one = (cost.seconds, cost.cpu_seconds, cost.anon_bytes)
            else:
                one = list_once(agent_hub(options.binary, folder / f"list-{number}", plane, platform, ["Pod"]))
            if number:
                costs[name].append(one)
                print(f"  round {number} {name}: {one[0]:.2f} s, {one[1]:.2f} s CPU, RssAnon {one[2] / MIB:.1f} MiB", flush=True)
    return costs


# --- all of it

def start_rival(folder: Path, plane: ControlPlane, platform: Platform, core: int) -> ClientGo:
    rival = ClientGo(folder, plane, platform, rate=RATE, burst=RATE)
    rival.line = ["/usr/bin/taskset", "-c", str(core), *rival.line]  # before it counts the cores
    return rival.start()


def bench_events(table, folder: Path, options) -> None:
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(folder / "plane", kwok=False, manager=False))
        tls = Ca(folder / "ca", "platform CA").server("platform")
        platforms = [stack.enter_context(Platform(folder / name, tls)) for name in ("ours", "theirs")]
        platforms[1].expect(lenient=True)
        filled = fill(plane, pods=CHANGED_PODS)
        hub = stack.enter_context(agent_hub(options.binary, folder / "hub", plane, platforms[0]))
        hub.start()
        pin(hub.proc.pid, cores[-1])
        rival = stack.enter_context(start_rival(folder, plane, platforms[1], cores[-2:][0]))
        rival.synced()
        law = Law(plane, platforms[0], ["Pod"])
        law.holds(60)
        sides = [Side("holdfast", hub.proc.pid, platforms[0]), Side("client-go", rival.pid, platforms[1])]
        watch = Watch(rival.pid)
        print(f"ingest: {options.binary} run\n  beside {' '.join(map(str, rival.line))}", flush=True)
        live_bytes = measure_changes(plane, hub, sides, filled.named["Pod"])
        spooled_bytes = measure_spooled(plane, hub, sides, options.ingest_events)
        platforms[0].assert_clean()
        law.holds(120, clean=False)
        sides[1].anon = watch.stop().anon_peak
        sides[0].anon = hub.stop().usage.anon_peak
    tell_events(table, options.ingest_events, *sides, spooled_bytes)
    tell_changes(table, *sides, live_bytes)


def tell_events(table, events: int, ours: Side, theirs: Side, written: float) -> None:
    per_cpu = [events / (side.took_in + side.sent) for side in (ours, theirs)]
    table.add(f"ingest, {events} events had to wait, beside client-go: delivered /s", f"{ours.pace:.0f}", f"{theirs.pace:.0f}",
              f"{ours.pace / theirs.pace:.2f} x", f">= {GOAL_PACE}/s", ours.pace >= GOAL_PACE)
    table.add("  events a CPU second", f"{per_cpu[0]:.0f}", f"{per_cpu[1]:.0f}", f"{per_cpu[0] / per_cpu[1]:.2f} x",
              f">= {GOAL_CPU} x", per_cpu[0] >= GOAL_CPU * per_cpu[1])
    for what, name in (("taking it in", "took_in"), ("delivering it", "sent")):
        cost = [getattr(side, name) / events * 1e6 for side in (ours, theirs)]
        table.add(f"  CPU of one, {what}, us", f"{cost[0]:.1f}", f"{cost[1]:.1f}", f"{cost[0] / cost[1]:.2f} x")
    table.add("  peak RssAnon, MiB", f"{ours.anon / MIB:.1f}", f"{theirs.anon / MIB:.1f}", f"1/{theirs.anon / ours.anon:.1f}",
              f"<= 1/{GOAL_MEMORY}", ours.anon * GOAL_MEMORY <= theirs.anon)
    table.add("  bytes to the disk for one", f"{written:.0f}")


def tell_changes(table, ours: Side, theirs: Side, written: float) -> None:
    for name, what in (("late", f"{CHANGES_PER_SECOND} changes/s, from the API server's answer"), ("late_request", "  from the request")):
        points = [statistics.quantiles(getattr(side, name), n=100) for side in (ours, theirs)]
        goal = {"goal": f"p99 < {GOAL_P99_MS} ms", "met": points[0][98] < GOAL_P99_MS} if name == "late" else {}
        table.add(f"{what}: p50 / p99, ms", *(f"{of[49]:.1f} / {of[98]:.1f}" for of in points), f"{points[0][98] / points[1][98]:.2f} x", **goal)
    table.add("  bytes to the disk for one", f"{written:.0f}")


def bench_list(table, folder: Path, options, run_measured) -> None:
    with ControlPlane(folder / "listed", kwok=False, manager=False) as plane, \
            Platform(folder / "platform", Ca(folder / "listca", "platform CA").server("platform")) as platform:
        fill(plane, pods=LISTED_PODS, kinds=["Pod"], direct=True)
        costs = measure_list(folder, options, plane, platform, run_measured)
    (seconds, cpu, anon), (their_seconds, their_cpu, their_anon) = ([statistics.median(column) for column in zip(*of)] for of in costs.values())
    table.add(f"first list of {LISTED_PODS} pods, beside kubectl get pods -A -o json, s", f"{seconds:.2f}", f"{their_seconds:.2f}",
              f"{their_seconds / seconds:.2f} x pace")
    table.add("  CPU, s", f"{cpu:.2f}", f"{their_cpu:.2f}", f"{cpu / their_cpu:.2f} x")
    table.add("  peak RssAnon, MiB", f"{anon / MIB:.1f}", f"{their_anon / MIB:.1f}", f"1/{their_anon / anon:.1f}")


def bench(table, folder: Path, options, run_measured) -> None:
    folder.mkdir()
    bench_events(table, folder, options)
    bench_list(table, folder, options, run_measured)
