"""soak: `holdfast run` with a backup every 10 s, while etcd is stopped, killed and restarted, a disk fills and another turns
read-only, and keys are written all the while.

    tests/soak/soak.py [--minutes 60] [--seed N] [--binary FILE] [--etcd system|3.4|3.5|3.7] [--patience N] [--keep]

It fails (exit 1) on: a listed good file that our own verification or etcd's tool does not find good; a fault of which
failures_total, the stale gauge or the webhook does not tell in time, or of whose end they do not; an alarm without a fault;
/healthz not 200 within a second; RssAnon at the end more than 5 % above that of minute 5 (a quarter of a shorter run); file
descriptors that grow; a file that retention should have kept, or has not removed; a leftover; an end with another code than 0.
Of three destinations two are file systems of their own in a mount namespace of this program; where there can be none, they
and their faults are left out, and it says so. The clock is not moved: a static binary cannot be told another time but by
moving the machine's; tests/sim moves it in the simulated world.
"""
from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "soak")]

from peers.ca import Ca  # noqa: E402  (the path comes first)
from peers.catalogue import assert_agrees, assert_good, assert_whole, listed, verify  # noqa: E402
from peers.etcd import Etcd, restore, snapshot_status  # noqa: E402
from peers.hub import PROFILE_BYTES, Hub  # noqa: E402
from peers.proc import PeerError, run  # noqa: E402
from peers.receiver import Receiver  # noqa: E402
from watchers import Place, Watchers  # noqa: E402

MIB = 1 << 20
KEEP = 4                    # retention: last
EVERY_S = 10
IDLE_S, TOTAL_S, LATE_S = 2, 20, 5  # what the hub puts up with; LATE_S: how late a backup may be before it is stale. Times --patience
ALARM_S = 60.0              # a fault is told, and its end, within so long
FAULT_S_MAX = 150.0         # one fault from begin to end, at most
GROWTH_MAX = 1.05
SMALL_BYTES = 160 * MIB
FAILED, STALE, RECOVERED = "failed", "stale", "recovered"


@dataclass(frozen=True)
class Fault:
    """hits: the destinations that must fail; reasons: what failures_total may say of it. A hushed one ends before anything
    must be told."""
    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    hits: tuple[str, ...]
    reasons: frozenset[str]
    hushed: bool = False


class Soak:
    def __init__(self, options: argparse.Namespace, folder: Path, mounts: bool):
        self.options, self.folder = options, folder
        self.rng = random.Random(options.seed)
        self.wrong: list[str] = []
        self.counts: Counter = Counter()
        self.verified: dict[Path, int] = {}
        self.latency: dict[str, list[float]] = {}
        self.receiver = Receiver()
        names = ["plain", *(["small", "frozen"] if mounts else [])]
        self.places = {name: Place(name, folder / name) for name in names}
        for place in self.places.values():
            place.path.mkdir()
            if place.name != "plain":
                run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "none", place.path])
        ca = Ca(folder / "ca")
        self.etcd = Etcd(folder / "etcd", options.etcd, ca.server("etcd"))
        self.hub = Hub(options.binary, folder / "hub", endpoints=[self.etcd.url], client=ca.client("holdfast"),
                       every=f"{EVERY_S}s", profile="edge16")
        # No memory cgroup: what is written to a tmpfs would be charged to it.
        self.hub._limits = lambda: {resource.RLIMIT_DATA: PROFILE_BYTES["edge16"]}
        self.hub.config["backup"].update(
            idle_timeout=self.patiently(IDLE_S), total_timeout=self.patiently(TOTAL_S), max_age=self.patiently(LATE_S, 2 * EVERY_S),
            destinations=[{"name": place.name, "type": "directory", "path": str(place.path), "retention": {"last": KEEP}}
                          for place in self.places.values()])
        self.hub.config["notify"] = {"webhook": self.receiver.webhook, "ping_url": self.receiver.ping}

    def patiently(self, seconds: float, more: float = 0) -> str:
        return f"{round(seconds * self.options.patience + more)}s"

    # --- faults

    def faults(self) -> list[Fault]:
        everybody = tuple(self.places)
        starting = frozenset({"refused", "closed", "reset", "unreachable", "timeout", "remote"})  # also of one that listens and does not serve yet
        found = [
            Fault("etcd stopped (SIGSTOP)", self.etcd.pause, self.etcd.resume, everybody, frozenset({"timeout"})),
            Fault("etcd killed (SIGKILL)", self.etcd.kill, self._start_etcd, everybody, starting),
            Fault("etcd restarted at once", self._restart_etcd, lambda: None, everybody, starting, hushed=True)]
        if "small" in self.places:
            found += [Fault("disk full", self._fill, self._empty, ("small",), frozenset({"nospace"})),
                      Fault("disk read-only", lambda: self._remount("ro"), lambda: self._remount("rw"), ("frozen",),
                            frozenset({"readonly"}))]
        return found

    def _start_etcd(self) -> None:
        self.etcd.start(wait=False)

    def _restart_etcd(self) -> None:
        self.etcd.kill()
        self.etcd.start(wait=False)

    def _fill(self) -> None:
        with open(self.places["small"].path / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 << 10))
            except OSError:
                pass

    def _empty(self) -> None:
        (self.places["small"].path / "filler").unlink()

    def _remount(self, how: str) -> None:
        """A writer in the middle makes the kernel refuse: then a moment later."""
        end = time.monotonic() + 20 * self.options.patience
        while True:
            try:
                run(["mount", "-o", f"remount,{how}", self.places["frozen"].path])
                return
            except PeerError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    # --- what is seen from outside

    def failures(self, destination: str) -> Counter:
        family = self.hub.metrics().get("holdfast_backup_failures_total", {})
        return Counter({dict(labels)["reason"]: int(number) for labels, number in family.items()
                        if dict(labels)["destination"] == destination and number})

    def gauge(self, name: str, destination: str) -> float:
        return self.hub.metrics().get(f"holdfast_backup_{name}", {}).get((("destination", destination),), float("nan"))

    def told(self, since: float, destination: str, kind: str) -> bool:
        return any(kind in event.kind for event in self.receiver.since(since, destination))

    def expect(self, what: str, check: Callable[[], object], seconds: float = ALARM_S) -> bool:
        """Waits for it; what does not come in time is wrong, and told."""
        seconds *= self.options.patience
        began = time.monotonic()
        while True:
            try:
                if check():
                    self.latency.setdefault(what.split(": ")[-1], []).append(time.monotonic() - began)
                    return True
            except (OSError, PeerError) as error:
                if not self.hub.proc.alive():
                    raise
                self.note(f"{what}: {error}")
                return False
            if time.monotonic() - began > seconds:
                self.note(f"{what}: not within {seconds:.0f} s")
                return False
            time.sleep(0.2)

    def note(self, what: str) -> None:
        self.wrong.append(what)
        print(f"  WRONG {what}", flush=True)

    def is_well(self, since: float, destination: str) -> bool:
        return self.gauge("last_success_timestamp_seconds", destination) >= int(since) and self.gauge("stale", destination) == 0

    def one_fault(self, fault: Fault) -> None:
        """From the fault to the last sign of recovery; every second one lasts until the backups are stale."""
        long = self.rng.random() < 0.5
        before = {name: self.failures(name) for name in self.places}
        since = time.time()
        print(f"  {self.clock()} {fault.name}{', until stale' if long and not fault.hushed else ''}", flush=True)
        self.counts[fault.name] += 1
        fault.begin()
        try:
            for name in () if fault.hushed else fault.hits:
                self.expect(f"{fault.name}, {name}: failures_total",
                            lambda: sum((self.failures(name) - before[name])[reason] for reason in fault.reasons) > 0)
                self.expect(f"{fault.name}, {name}: webhook of the failure", lambda: self.told(since, name, FAILED))
                if long:
                    self.expect(f"{fault.name}, {name}: stale gauge", lambda: self.gauge("stale", name) == 1)
                    self.expect(f"{fault.name}, {name}: webhook of the stale", lambda: self.told(since, name, STALE))
        finally:
            fault.end()
        ended = time.time()
        failed = {name: sum(self.failures(name).values()) > sum(before[name].values()) for name in fault.hits}
        for name in fault.hits:
            self.expect(f"{fault.name}, {name}: good again", lambda: self.is_well(ended, name))
            if failed[name]:
                self.expect(f"{fault.name}, {name}: webhook of the recovery", lambda: self.told(since, name, RECOVERED))
        self.nothing_else(fault, before, since)

    def nothing_else(self, fault: Fault, before: dict[str, Counter], since: float) -> None:
        """No alarm of another reason, or of a destination that the fault does not touch."""
        for name in self.places:
            new = self.failures(name) - before[name]
            odd = {reason: count for reason, count in new.items() if name not in fault.hits or reason not in fault.reasons}
            if odd:
                self.note(f"{fault.name}, {name}: failures {odd}")
            if name not in fault.hits and self.receiver.since(since, name):
                self.note(f"{fault.name}, {name}: {[event.body for event in self.receiver.since(since, name)][:2]}")

    # --- what lies there

    def look(self, deep: bool) -> None:
        """Every listed good file is good: ours says so, and etcd's tool of the newest of each destination; deep: one
        restores."""
        try:
            records = listed(self.hub)
            for record in records:
                self.unless_pruned(record, self.look_at)
            for name, place in self.places.items():
                for newest in [record for record in records if record["destination"] == name][-1:]:
                    self.unless_pruned(newest, self.agrees)
                self.retained(place)
            if deep and records:
                self.restores(records)
        except (AssertionError, PeerError, OSError, KeyError) as error:
            self.note(f"verdict: {type(error).__name__} {str(error)[:400]}")

    def unless_pruned(self, record: dict, look: Callable[[dict], None]) -> None:
        """Retention goes on meanwhile: of a file that it took nothing can be said. That it takes the right ones, retained() sees."""
        try:
            look(record)
        except (AssertionError, PeerError, OSError):
            if Path(record["path"]).exists():
                raise
            self.counts["pruned while it was looked at"] += 1

    def agrees(self, record: dict) -> None:
        assert_agrees(record, snapshot_status(Path(record["path"]), self.options.etcd), self.etcd.version)
        self.counts["agreed with etcd's tool"] += 1

    def look_at(self, record: dict) -> None:
        path = Path(record["path"])
        assert_whole(record)
        if self.verified.get(path) == path.stat().st_ino:
            return
        told = verify(self.hub.binary, path)
        assert_good(told)
        assert (told.record["hash"], told.record["sha256"]) == (record["hash"], record["sha256"]), record
        self.verified[path] = path.stat().st_ino
        self.counts["verified again"] += 1

    def restores(self, records: list[dict]) -> None:
        """One of them, with as many keys as its record tells."""
        for record in self.rng.sample(records, len(records)):
            copy = self.folder / record["name"]
            self.unless_pruned(record, lambda record: shutil.copyfile(record["path"], copy))
            if copy.exists():
                self.restored(record, copy)
                return

    def restored(self, record: dict, copy: Path) -> None:
        again_folder = self.folder / "again"
        try:
            with restore(copy, again_folder, self.options.etcd) as again:
                again.start()
                assert again.count() == record["keys"], (again.count(), record)
            self.counts["restored"] += 1
        finally:
            copy.unlink()
            shutil.rmtree(again_folder, ignore_errors=True)

    def retained(self, place: Place) -> None:
        """The newest KEEP of all that ever were; one more while a run is at work."""
        files = place.files()
        newest = sorted(place.seen | set(files))[-KEEP:]
        lost = [name for name in newest if not (place.path / name).exists() and name < max(files, default="")]
        if lost:
            self.note(f"retention in {place.name} removed {lost}")
        if len(files) > KEEP + 1:
            self.note(f"retention in {place.name} keeps {len(files)}, not {KEEP}: {files}")
        self.counts["retention looked at"] += 1

    # --- the run

    def clock(self) -> str:
        return f"{int(time.monotonic() - self.began) // 60:02d}:{int(time.monotonic() - self.began) % 60:02d}"

    def run(self) -> None:
        self.began = time.monotonic()
        self.etcd.start().fill(1500, big=2)
        self.hub.start()
        self.watchers = Watchers(self.hub, self.etcd, list(self.places.values()), self.options.patience)
        end = self.began + self.options.minutes * 60
        for name in self.places:
            self.expect(f"start, {name}: the first backup", lambda: len(self.places[name].files()) > 0)
        try:
            self.faults_in_turn(end)
            while time.monotonic() < end:  # the last stretch is quiet, for the memory's sake
                time.sleep(min(5.0, max(0.0, end - time.monotonic())))
                self.look(deep=False)
        except (OSError, PeerError) as error:
            self.note(f"the run ended early: {type(error).__name__} {error}; the log: {self.hub.proc.log_tail(4)}")
        self.finish()

    def faults_in_turn(self, end: float) -> None:
        waiting: list[Fault] = []
        while time.monotonic() < end - min(FAULT_S_MAX, 0.4 * self.options.minutes * 60):
            self.look(deep=len(waiting) % 3 == 0)
            if not waiting:
                waiting = self.faults()
                self.rng.shuffle(waiting)
            self.one_fault(waiting.pop())

    def finish(self) -> None:
        metrics = self.hub.metrics() if self.hub.proc.alive() else {}
        for task, count in metrics.get("holdfast_task_refusals_total", {}).items():
            if count:
                self.note(f"refused for want of budget: {task} {count}")
        self.pings = len(self.receiver.pings)
        self.watchers.stop()
        self.memory()
        stopped = self.hub.stop()
        if stopped.code != 0:
            self.note(f"holdfast ended with {stopped.code}: {stopped.log[-600:]}")
        for place in self.places.values():
            left = {path.name for path in place.path.iterdir()} - set(place.files())
            left -= {f"{name}.json" for name in place.files()}
            if left:
                self.note(f"leftovers in {place.name}: {sorted(left)}")
        self.wrong += [f"/healthz {text}" for text in self.watchers.unwell] + [f"receiver: {text}" for text in self.receiver.wrong]
        if not self.pings:
            self.note("not one ping of a success")

    def memory(self) -> None:
        """RssAnon and descriptors of a window at minute 5 against the last one."""
        length = self.watchers.samples[-1][0]
        window = min(60.0, length / 8)
        first = self.watchers.window(min(300.0, length / 4), window)
        last = self.watchers.window(length - window, window + 1)
        self.anon = [statistics.median(sample[1] for sample in part) for part in (first, last)]
        self.descriptors = [min(sample[2] for sample in part) for part in (first, last)]
        if self.anon[1] > GROWTH_MAX * self.anon[0]:
            self.note(f"RssAnon grew from {self.anon[0] / MIB:.2f} to {self.anon[1] / MIB:.2f} MiB")
        if self.descriptors[1] > self.descriptors[0]:
            self.note(f"descriptors grew from {self.descriptors[0]} to {self.descriptors[1]}")

    def table(self) -> None:
        watchers = self.watchers
        rows = [("minutes", f"{(time.monotonic() - self.began) / 60:.1f}"), ("seed", str(self.options.seed)),
                ("etcd", self.etcd.version), ("destinations", ", ".join(self.places)),
                ("backups seen", ", ".join(f"{place.name} {len(place.seen)}" for place in self.places.values()))]
        rows += [(name, str(count)) for name, count in sorted(self.counts.items())]
        rows += [(f"{what}, s (median, worst of {len(took)})", f"{statistics.median(took):.1f}, {max(took):.1f}")
                 for what, took in sorted(self.latency.items())]
        rows += [("webhooks", str(dict(Counter(event.kind for event in self.receiver.events)))), ("pings", str(self.pings)),
                 ("keys written, refused", f"{watchers.written}, {watchers.refused}"),
                 ("/healthz asked, slowest, not well", f"{len(watchers.health_ms)}, {max(watchers.health_ms, default=0):.0f} ms, "
                                                       f"{len(watchers.unwell)}"),
                 ("RssAnon, MiB: minute 5, end, peak", f"{self.anon[0] / MIB:.2f}, {self.anon[1] / MIB:.2f}, "
                                                       f"{max(sample[1] for sample in watchers.samples) / MIB:.2f}"),
                 ("descriptors: minute 5, end, peak", f"{self.descriptors[0]}, {self.descriptors[1]}, "
                                                      f"{max(sample[2] for sample in watchers.samples)}"),
                 ("clock", "not moved here (see tests/sim)"), ("wrong", str(len(self.wrong)))]
        width = max(len(row[0]) for row in rows)
        print("\nsoak")
        for name, value in rows:
            print(f"  {name.ljust(width)}  {value}")
        for text in self.wrong:
            print(f"  WRONG {text}")

    def close(self) -> None:
        self.hub.close()
        self.etcd.resume() if self.etcd.proc and self.etcd.proc.alive() else None
        self.etcd.stop()
        self.receiver.close()


def own_mounts() -> list[str]:
    """How this program gets a mount namespace of its own; empty: not at all."""
    for how in (["unshare", "-m", "--propagation", "private"], ["unshare", "-m", "-r", "--propagation", "private"]):
        try:
            run([*how, "mount", "-t", "tmpfs", "none", "/mnt"])
            return how
        except PeerError:
            continue
    return []


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--binary", type=Path, default=Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/x86_64/holdfast")))
    parser.add_argument("--etcd", default="system", choices=["system", "3.4", "3.5", "3.7"])
    parser.add_argument("--patience", type=float, default=1, help="on a machine that does other things too: this times a second for /healthz, as long until alarms, as much silence of etcd that is no fault")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs")
    parser.add_argument("--inside", choices=["yes", "no"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    return options


def main() -> int:
    options = arguments()
    if options.inside is None:
        how = own_mounts()
        line = [*how, sys.executable, __file__, *sys.argv[1:], "--seed", str(options.seed), "--inside", "yes" if how else "no"]
        os.execvp(line[0], line)
    if options.inside == "no":
        print("soak: no mount namespace here: the full and the read-only folder are left out", flush=True)
    print(f"soak: {options.minutes:g} minutes, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="holdfast-soak-", dir=options.binary.parent))
    soak = Soak(options, folder, options.inside == "yes")
    try:
        soak.run()
        soak.table()
    finally:
        soak.close()
        if options.keep:
            print(f"kept: {folder}")
        for name, place in soak.places.items():
            if name != "plain":
                run(["umount", "-l", place.path], check=False)
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
