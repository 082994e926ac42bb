"""SIGKILL at a hundred random moments of a running backup: only whole, good files are listed, and nothing stays behind.

Eight victims at a time, each with a destination of its own; every other one is a hub, whose first run is due at start. The
moments are spread over the whole run, with some after its end. The seed is printed; HOLDFAST_SEED repeats it.
"""
from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from peers.backup import NAME, now
from peers.catalogue import LISTED, assert_good, assert_shape, assert_whole, listed, together, verdict_of, verify, verify_line
from peers.etcd import Etcd
from peers.proc import Proc, wait_for

MIB = 1 << 20
KILLS, AT_ONCE, TIDY_EVERY = 100, 8, 7
SMALL_KEYS, BIG_KEYS = 4500, 16  # about 32 MiB of file


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    with Etcd(tmp_path_factory.mktemp("etcd")) as etcd:
        etcd.start().fill(SMALL_KEYS, big=BIG_KEYS)
        yield etcd


class Victim:
    """One destination and who is killed in it."""

    def __init__(self, hub, is_hub: bool):
        self.hub, self.is_hub = hub, is_hub
        self.proc: Proc | None = None
        self.round = 0
        self.whole = 0  # bytes of a finished snapshot
        self.before: set[str] = set()  # what lay there after the last kill
        hub.write_config()

    def start(self) -> None:
        """A hub gets an empty folder, so that its first run is due; what it made before stays looked at."""
        hub = self.hub
        if self.is_hub:
            hub.backups = hub.folder / f"backups-{self.round}"
            hub.backups.mkdir()
            hub.config["backup"]["destinations"][0]["path"] = str(hub.backups)
            hub.write_config()
        self.round += 1
        words = ["run"] if self.is_hub else ["backup", "now"]
        self.proc = Proc([hub.binary, *words, "--config", hub.config_file], log=hub.log, env=hub.env)

    def done(self) -> bool:
        """Whether its backup is over."""
        if not self.is_hub:
            return not self.proc.alive()
        return any(path.with_name(path.name + ".json").exists() or path.with_suffix(".json").exists()
                   for path in self.hub.snapshots())

    def kill(self) -> str:
        """What it was caught at: over, nothing, streaming, verifying, unrecorded (a .db without its record) or recorded."""
        if not self.proc.alive():
            code = self.proc.wait(1)
            assert code == 0 and not self.is_hub, f"{code}: {self.proc.log_text()}"
            return "over"
        self.proc.kill()
        sizes = {path.name: path.stat().st_size for path in self.hub.backups.iterdir()}
        names = set(sizes)
        whole = max((size for name, size in sizes.items() if NAME.fullmatch(name)), default=self.whole)
        self.whole = max(self.whole, whole)
        parts = names - self.before
        self.before = names
        parts = {name for name in parts if ".db.part-" in name}
        if parts:
            return "verifying" if any(sizes[name] >= self.whole > 0 for name in parts) else "streaming"
        if any(not is_recorded(self.hub.backups / name) for name in names if NAME.fullmatch(name)):
            return "unrecorded"
        return "recorded" if names else "nothing"


def is_recorded(file: Path) -> bool:
    return Path(f"{file}.json").exists()


def a_whole_run(victims: list[Victim]) -> float:
    """Seconds until the last of them is done."""
    began = time.monotonic()
    for victim in victims:
        victim.start()
    for victim in victims:
        wait_for(victim.done, "a whole backup", 60, None)
    took = time.monotonic() - began
    for victim in victims:
        victim.kill()
    return took


def kill_all(victims: list[Victim], rng: random.Random, longest: float) -> list[str]:
    """Starts all, kills each at a moment of its own."""
    moments = sorted(((rng.uniform(0, 1.05 * longest), victim) for victim in victims), key=lambda pair: pair[0])
    began = time.monotonic()
    for victim in victims:
        victim.start()
    caught = []
    for moment, victim in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        caught.append(victim.kill())
    return caught


def kill_when_it_came(victim: Victim) -> str:
    """As soon as all has come: what is left of its run, reading it again, is too short for chance to meet it often."""
    def came() -> bool:
        parts = (path for path in victim.hub.backups.iterdir() if ".db.part-" in path.name and path.name not in victim.before)
        return any(path.stat().st_size >= victim.whole for path in parts) or victim.done()

    victim.start()
    wait_for(came, "all of it", 60, None, every=0.001)
    return victim.kill()


def line(victim: Victim, *words: str) -> list[str]:
    return [str(victim.hub.binary), *words, "-o", "json", "--config", str(victim.hub.config_file)]


def look(victims: list[Victim], seen: set[tuple]) -> Counter:
    """Lists every destination: what is listed good is whole, and verified again unless it was before."""
    told = Counter()
    fresh: list[tuple[Path, tuple]] = []
    for victim, (code, out, said) in zip(victims, together([line(victim, "backup", "list") for victim in victims], AT_ONCE)):
        assert code == 0, said.decode()
        names = set()
        for record in json.loads(out):
            assert_shape(record, LISTED)
            path = Path(record["path"])
            names.add(path.name)
            told[record["verdict"]] += 1
            if record["verdict"] == "unknown":  # killed between the file and its record
                assert not is_recorded(path), record
                continue
            assert_whole(record)
            mark = (str(path), path.stat().st_ino, path.stat().st_mtime_ns)
            if mark not in seen:
                fresh.append((path, mark))
        recorded = {path.name for path in victim.hub.snapshots() if is_recorded(path)}
        assert recorded <= names, f"recorded, and not listed: {recorded - names}"
    lines = [verify_line(victims[0].hub.binary, path) for path, _ in fresh]
    for (path, mark), outcome in zip(fresh, together(lines, 4)):
        assert_good(verdict_of(*outcome))
        seen.add(mark)
    told["verified"] = len(fresh)
    return told


def tidy(victims: list[Victim]) -> None:
    """The next whole `backup now` leaves snapshots with their records, and nothing else."""
    for victim, (code, out, said) in zip(victims, together([line(victim, "backup", "now") for victim in victims], AT_ONCE)):
        assert code == 0, said.decode()
        assert [record["verdict"] for record in json.loads(out)] == ["good"], out
        names = {path.name for path in victim.hub.backups.iterdir()}
        files = {name for name in names if NAME.fullmatch(name)}
        assert names - files == {f"{name}.json" for name in files}, sorted(names)
        assert Path(json.loads(out)[0]["path"]).name in files


def test_killed_at_a_hundred_moments(etcd, make_hub, capsys):
    seed = int(os.environ.get("HOLDFAST_SEED", random.SystemRandom().randrange(1 << 31)))
    rng = random.Random(seed)
    began = time.monotonic()
    victims = [Victim(make_hub(endpoints=[etcd.back_door], client=None), number % 2 == 1) for number in range(AT_ONCE)]
    longest = a_whole_run(victims)
    caught, told, seen = Counter(), Counter(), set()
    rounds = (KILLS + AT_ONCE - 1) // AT_ONCE
    try:
        caught.update(kill_when_it_came(victim) for victim in victims)
        told.update(look(victims, seen))
        for number in range(rounds):
            caught.update(kill_all(victims, rng, longest))
            told.update(look(victims, seen))
            if number % TIDY_EVERY == TIDY_EVERY - 1 or number == rounds - 1:
                tidy(victims)
                told.update(look(victims, seen))
                longest = a_whole_run(victims)  # the machine may be faster or slower by now
    finally:
        size = max((path.stat().st_size for victim in victims for path in victim.hub.snapshots()), default=0)
        with capsys.disabled():
            print(f"\nkilled {sum(caught.values())} times within {longest:.2f} s of a backup of {size / MIB:.0f} MiB, "
                  f"{AT_ONCE} at once (seed {seed}): caught at {dict(caught)}; listed {dict(told)}; "
                  f"{time.monotonic() - began:.0f} s in all")
    assert sum(caught.values()) >= KILLS
    for phase in ("streaming", "verifying"):
        assert caught[phase] >= KILLS // 50, f"the moments were not within the backups: {caught}"


def whole_one(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.back_door], client=None)
    done = now(hub, "-o", "json")
    assert done.code == 0, done.said
    return hub, Path(done.record["path"])


def test_a_file_without_its_record_gets_one(etcd, make_hub):
    """Killed between the two: with `backup now`, and with the hub's start."""
    hub, file = whole_one(etcd, make_hub)
    told = json.loads(Path(f"{file}.json").read_text())
    for how in ("backup now", "run"):
        Path(f"{file}.json").unlink()
        if how == "run":
            hub.config["backup"]["every"] = "1d"  # the newest file is not that old
            hub.start()
            wait_for(lambda: is_recorded(file), "its record", 30, hub.proc)
            hub.stop()
        else:
            assert now(hub).code == 0
        record = json.loads(Path(f"{file}.json").read_text())
        for name in ("verdict", "level", "sha256", "hash", "revision", "keys", "pairs", "bytes", "db_bytes"):
            assert record[name] == told[name], (how, name)
        assert record["level"] == 4


def test_a_damaged_file_without_its_record_is_not_listed_good(etcd, make_hub):
    hub, file = whole_one(etcd, make_hub)
    whole = file.read_bytes()
    Path(f"{file}.json").unlink()
    file.write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
    assert now(hub).code == 0
    assert [Path(record["path"]).name for record in listed(hub) if record["verdict"] == "good"] == [hub.snapshots()[-1].name]
    assert verify(hub.binary, hub.snapshots()[-1]).code == 0


def test_leftovers_go_at_the_hubs_start(etcd, make_hub):
    hub, file = whole_one(etcd, make_hub)
    left = hub.backups / f"{file.name}.part-0123abcd"
    left.write_bytes(b"half")
    os.utime(left, (1_600_000_000, 1_600_000_000))
    hub.config["backup"]["every"] = "1d"
    hub.start()
    wait_for(lambda: not left.exists(), "the leftover's end", 30, hub.proc)
    hub.stop()
    assert hub.snapshots() == [file]
