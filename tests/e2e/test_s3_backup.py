"""Backups in S3: what lies under the prefix is listed, pruned and tidied, nothing else is touched; parts, conditions, credentials.
The place itself by tests/e2e/place.c (e2e/place beside the binary under test), the commands and a hub by the binary."""
from __future__ import annotations

import datetime
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from peers import s3
from peers.config import to_yaml
from peers.etcd import Etcd
from peers.proc import free_port, wait_for, write_whole
from peers.s3fake import INTERNAL, NOT_PUT, SLOW_DOWN, S3Fake

MIB = 1 << 20
PREFIX = "cluster/a/"
BIG = random.Random(7).randbytes(12 * MIB + 77)
HUB_ID = "0a1b2c3d"
SLOW = 80 << 10  # bytes a second: a part of 5 MiB takes a minute


def name_of(at: datetime.datetime, form: str = ".db.zst", hub: str = "") -> str:
    return f"etcd-snapshot-{at:%Y%m%d-%H%M%S}{hub and '-' + hub}{form}"


NAME = name_of(datetime.datetime(2026, 3, 4, 5, 6, 7))
HUBS_NAME = name_of(datetime.datetime(2026, 3, 4, 5, 6, 7), hub=HUB_ID)


@dataclass
class Done:
    code: int
    out: bytes
    said: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def peak(self) -> int:
        return int(self.said.rsplit("peak ", 1)[1].split()[0])


@dataclass
class Site:
    """A server, a configuration for it, and who uses it."""
    s3: S3Fake
    folder: Path
    binary: Path
    config: dict = field(default_factory=dict)

    def __post_init__(self):
        self.client = self.s3.client()
        self.client.make_bucket()
        self.part = self.s3.fault("UploadPart", 1 << 60)  # none: it counts what comes
        (self.folder / "access").write_text(self.s3.keys.access + "\n")
        (self.folder / "secret").write_text(self.s3.keys.secret + "\n")
        self.destination = {"name": "off-site", "type": "s3", "endpoint": self.s3.url, "bucket": "backups", "prefix": PREFIX,
                            "region": self.s3.region, "access_key_file": str(self.folder / "access"),
                            "secret_key_file": str(self.folder / "secret")}
        self.config = {"version": 1, "data": str(self.folder / "data"), "listen": f"127.0.0.1:{free_port()}", "backup": {
            "etcd": {"endpoints": ["http://127.0.0.1:1"]}, "every": "6h", "destinations": [self.destination]}}

    def written(self) -> Path:
        return write_whole(self.folder / "holdfast.yaml", to_yaml(self.config))

    def argv(self, *words) -> list[str]:
        return [str(self.binary.parent / "e2e" / "place"), str(self.written()), *map(str, words)]

    def place(self, *words, **env) -> Done:
        done = subprocess.run(self.argv(*words), capture_output=True, timeout=600,
                              env={"PATH": "/usr/bin:/bin", "PLACE_HUB_ID": HUB_ID, **env})
        said = done.stderr.decode()
        assert self.s3.keys.secret not in said and "Signature=" not in said
        return Done(done.returncode, done.stdout, said)

    def good(self, *words, **env) -> Done:
        done = self.place(*words, **env)
        assert done.code == 0, done.said
        return done

    def command(self, *words, code: int = 0) -> list[dict]:
        done = subprocess.run([self.binary, *words, "-o", "json", "--config", self.written()], capture_output=True, timeout=600,
                              env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == code, done.stderr.decode() + done.stdout.decode()
        return json.loads(done.stdout)

    def file(self, content: bytes) -> Path:
        path = self.folder / f"content-{len(content)}"
        path.write_bytes(content)
        return path

    def keep(self, name: str, content: bytes = b"packed", verdict: str = "good", etag: str | None = None, **more) -> None:
        """An object and its record, as holdfast writes them."""
        found = self.client.put(PREFIX + name, content)
        self.client.put(PREFIX + name + ".json", record(name, content, verdict, found if etag is None else etag, **more))


def record(name: str, content: bytes, verdict: str, etag: str, **more) -> bytes:
    at = datetime.datetime.strptime(name[14:29], "%Y%m%d-%H%M%S")
    return json.dumps({"name": name, "destination": "off-site", "path": "elsewhere/" + name, "verdict": verdict, "level": 2,
                       "reason": "no-scratch" if verdict == "good" else "sha256", "bytes": 20512, "db_bytes": 20480,
                       "sha256": "00" * 32, "hash": None, "revision": None, "keys": None, "pairs": None, "errors": [],
                       "taken_at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "took_ms": 5, "stored_bytes": len(content),
                       "stored_sha256": hashlib.sha256(content).hexdigest(), "etag": etag, "compressed": ".zst" in name,
                       "encrypted": ".age" in name, "source": "etcd", **more}).encode()


@pytest.fixture
def site(tmp_path, holdfast):
    assert os.access(holdfast.parent / "e2e" / "place", os.X_OK), "build/x86_64/e2e/place is not there: run `make probes`"
    with S3Fake(tmp_path / "s3") as s3:
        yield Site(s3, tmp_path, holdfast)


# --- one object comes into being ---

@pytest.mark.parametrize("profile", ["edge16", "hub32"])
@pytest.mark.parametrize("size, parts", [(0, 0), (1000, 0), (5 * MIB - 1, 0), (5 * MIB, 1), (5 * MIB + 1, 2), (len(BIG), 3)])
def test_a_put_is_whole(site, profile, size, parts):
    done = site.good("put", NAME, site.file(BIG[:size]), PLACE_PROFILE=profile)
    assert site.client.read(PREFIX + NAME) == BIG[:size]
    assert site.s3.ops().count("UploadPart") == parts and site.client.uploads() == []
    assert done.lines[0].split()[:2] == [NAME, str(size)]
    assert done.peak < (6 if profile == "edge16" else 11) * MIB
    assert site.good("get", NAME, PLACE_PROFILE=profile).out == BIG[:size]


def test_no_name_is_taken_twice(site):
    site.client.put(PREFIX + NAME, b"another hub's")
    done = site.place("put", NAME, site.file(BIG))
    assert done.code == 1 and "E_EXISTS " in done.said and "UploadPart" not in site.s3.ops()
    assert site.client.read(PREFIX + NAME) == b"another hub's"


@pytest.mark.parametrize("size", [1000, len(BIG)])
def test_a_server_without_conditions_gets_names_with_the_hub(site, size):
    site.s3.conditional = "refused"
    done = site.good("put", NAME, site.file(BIG[:size]), HUBS_NAME)
    assert "names get the hub's id" in done.said
    assert site.client.keys_of() == [PREFIX + HUBS_NAME] and site.client.read(PREFIX + HUBS_NAME) == BIG[:size]
    assert site.client.uploads() == []


@pytest.mark.parametrize("op", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_what_fails_leaves_nothing(site, op):
    site.s3.fault(op, 0, INTERNAL)
    done = site.place("put", NAME, site.file(BIG), PLACE_STORE=str(site.folder))
    assert done.code == 1 and NAME in done.said
    site.s3.clear()
    assert site.client.keys_of() == [] and site.client.uploads() == []
    assert "aborted" not in site.good("tidy", PLACE_STORE=str(site.folder)).said


@pytest.mark.parametrize("op", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject"])
def test_a_slow_server_is_asked_again(site, op):
    site.s3.fault(op, 1, SLOW_DOWN)
    site.good("put", NAME, site.file(BIG))
    assert site.client.read(PREFIX + NAME) == BIG


@pytest.mark.parametrize("size", [1000, len(BIG)])
def test_what_does_not_answer_when_it_is_asked_back_is_given_time(site, size):
    site.s3.fault("HeadObject", 2, INTERNAL, times=5)  # the first looks whether the name is free
    site.good("put", NAME, site.file(BIG[:size]))
    assert site.client.read(PREFIX + NAME) == BIG[:size] and site.s3.ops().count("HeadObject") == 7


@pytest.mark.parametrize("size", [1000, len(BIG)])
def test_what_can_never_be_asked_back_is_told_and_listed_and_never_pruned(site, size):
    older, newer = days(2)
    for name in (older, newer):
        site.keep(name)
    site.s3.fault("HeadObject", 2, INTERNAL, times=1000)
    done = site.place("put", NAME, site.file(BIG[:size]))
    assert done.code == 1 and NAME in done.said and "which was written" in done.said and "may lie there" in done.said
    site.s3.clear()
    site.good("tidy")
    assert site.client.read(PREFIX + NAME) == BIG[:size]
    site.destination["retention"] = {"last": 1}
    assert [r["name"] for r in site.command("backup", "prune")] == [older]
    listed = {r["name"]: (r["verdict"], r["reason"], r["stored_bytes"]) for r in site.command("backup", "list")}
    assert listed[NAME] == ("unknown", "no-record", size) and set(listed) == {newer, NAME}


# --- what killed runs left ---

def in_a_part(site, proc=None) -> None:
    """Until one is on its way. So slowly (site.s3.uplink_bytes_s = SLOW) that it stays so for a minute."""
    wait_for(lambda: site.part.met, "a part", 120, proc)


def killed_in_a_part(site, **env) -> None:
    site.s3.uplink_bytes_s = SLOW
    with subprocess.Popen(site.argv("put", NAME, site.file(BIG)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", **env}) as put:
        in_a_part(site)
        put.send_signal(signal.SIGKILL)
    site.s3.uplink_bytes_s = 0


def test_leftovers_of_our_own_are_aborted(site):
    theirs = site.client.begin(PREFIX + name_of(datetime.datetime(2026, 1, 1)))
    store = str(site.folder)
    with_theirs = [(PREFIX + name_of(datetime.datetime(2026, 1, 1)), theirs)]
    killed_in_a_part(site, PLACE_STORE=store)
    assert len(site.client.uploads()) == 2 and site.client.keys_of() == []
    done = site.good("tidy", PLACE_STORE=store)
    assert "aborted an upload" in done.said and site.client.uploads() == with_theirs
    assert "aborted an upload" not in site.good("tidy", PLACE_STORE=store).said


def test_without_a_store_only_old_ones_are_aborted(site):
    killed_in_a_part(site)
    assert len(site.client.uploads()) == 1 and site.client.keys_of() == []
    site.good("tidy")
    assert len(site.client.uploads()) == 1, "a run of another hub may be at it"
    strange = site.client.begin(PREFIX + "etcd-snapshot-of-mine"), site.client.begin("elsewhere/" + NAME)
    for upload in site.s3.store.buckets["backups"].uploads.values():
        upload.began -= 7 * 24 * 3600
    site.good("tidy")
    assert sorted(id for _, id in site.client.uploads()) == sorted(strange)


# --- an object that did not get its record: the store knows of it ---

REMOVED = "removed an object that an interrupted backup left"


@pytest.fixture(params=[1000, len(BIG)], ids=["one-put", "parts"])
def left(site, request) -> dict[str, str]:
    """As if it was killed before its record was written; what the next one's environment is."""
    with_store = {"PLACE_STORE": str(site.folder)}
    site.good("put", NAME, site.file(BIG[:request.param]), PLACE_ENDS="1", **with_store)
    assert site.client.exists(PREFIX + NAME)
    return with_store


def test_what_has_no_record_goes(site, left):
    said = site.good("tidy", **left).said
    assert REMOVED in said and "aborted" not in said and site.client.keys_of() == []
    assert REMOVED not in site.good("tidy", **left).said


def test_what_has_its_record_stays(site, left):
    site.client.put(PREFIX + NAME + ".json", b"{}")
    assert REMOVED not in site.good("tidy", **left).said
    site.client.delete(PREFIX + NAME + ".json")
    assert REMOVED not in site.good("tidy", **left).said, "it is forgotten"
    assert site.client.exists(PREFIX + NAME)


def test_what_is_recorded_is_forgotten_at_once(site):
    site.good("put", NAME, site.file(BIG), PLACE_STORE=str(site.folder))
    site.s3.requests.clear()
    assert REMOVED not in site.good("tidy", PLACE_STORE=str(site.folder)).said and site.client.exists(PREFIX + NAME)
    assert "DeleteObject" not in site.s3.ops()


def test_what_another_hub_wrote_meanwhile_stays(site, left):
    site.client.put(PREFIX + NAME, b"another hub's")
    assert REMOVED not in site.good("tidy", **left).said
    assert site.client.read(PREFIX + NAME) == b"another hub's"


@pytest.mark.parametrize("op", ["HeadObject", "DeleteObject"])
def test_what_cannot_be_judged_now_is_judged_later(site, left, op):
    site.s3.fault(op, 0, INTERNAL)
    said = site.good("tidy", **left).said
    assert REMOVED not in said and ("cannot look for what an interrupted backup left" in said or "cannot abort" in said)
    site.s3.clear()
    assert site.client.exists(PREFIX + NAME)
    assert REMOVED in site.good("tidy", **left).said and site.client.keys_of() == []


def test_refused_credentials_do_not_make_it_forgotten(site, left):
    site.s3.denied = frozenset({"HeadObject"})
    assert REMOVED not in site.good("tidy", **left).said
    site.s3.denied = frozenset()
    assert REMOVED in site.good("tidy", **left).said and site.client.keys_of() == []


@pytest.mark.parametrize("size", [1000, len(BIG)])
def test_what_could_not_be_asked_back_goes_at_the_next_start(site, size):
    site.s3.fault("HeadObject", 2, INTERNAL, times=1000)
    assert site.place("put", NAME, site.file(BIG[:size]), PLACE_STORE=str(site.folder)).code == 1
    site.s3.clear()
    assert site.client.exists(PREFIX + NAME)
    assert REMOVED in site.good("tidy", PLACE_STORE=str(site.folder)).said and site.client.keys_of() == []


# --- the catalogue ---

def days(count: int, begin=datetime.datetime(2026, 3, 1, 2, 0, 0)) -> list[str]:
    return [name_of(begin + datetime.timedelta(days=day)) for day in range(count)]


def test_what_was_never_written_is_empty(site):
    assert site.command("backup", "list") == [] and site.command("backup", "prune") == []


def test_only_ours_under_the_prefix_is_listed_and_pruned(site):
    foreign = [NAME, "cluster/" + NAME, "cluster/ab/" + NAME, PREFIX + "notes.txt", PREFIX + "etcd-snapshot-mine.db",
               PREFIX + "old/" + NAME, PREFIX + NAME + ".gz", PREFIX + "etcd-snapshot-20260304-050607.db/" + NAME]
    for key in foreign:
        site.client.put(key, b"not ours")
    names = days(5)
    for name in names:
        site.keep(name)
    site.destination["retention"] = {"last": 2}
    listed = site.command("backup", "list")
    assert [r["name"] for r in listed] == names
    assert {(r["verdict"], r["level"], r["reason"], r["stored_bytes"], r["bytes"]) for r in listed} == {("good", 2, "no-scratch", 6, 20512)}
    assert {r["path"] for r in listed} == {f"{site.s3.url}/backups/{PREFIX}{name}" for name in names}
    assert [r["name"] for r in site.command("backup", "prune", "--dry-run")] == names[:3]
    assert [(r["name"], r["removed"]) for r in site.command("backup", "prune")] == [(name, True) for name in names[:3]]
    kept = [PREFIX + name + end for name in names[3:] for end in ("", ".json")]
    assert sorted(site.client.keys_of()) == sorted(foreign + kept)


def test_another_hubs_are_listed_and_left(site):
    names = days(3)
    theirs = [name.replace(".db", "-0badcafe.db") for name in names]
    for name in [*names, *theirs]:
        site.keep(name)
    site.destination["retention"] = {"last": 1}
    assert sorted(r["name"] for r in site.command("backup", "list")) == sorted(names + theirs)
    assert [(r["name"], r["removed"]) for r in site.command("backup", "prune")] == [(name, True) for name in names[:2]]
    assert sorted(site.client.keys_of(PREFIX)) == sorted(PREFIX + name + end for name in [names[2], *theirs] for end in ("", ".json"))


def test_what_is_said_of_odd_ones(site):
    small, lost, strange, bad, good = names = days(5)
    site.keep(small, b"cut", stored_bytes=4000)
    site.client.put(PREFIX + lost, b"nobody speaks for it")
    site.client.put(PREFIX + strange, b"packed")
    site.client.put(PREFIX + strange + ".json", b"{")
    site.keep(bad, verdict="bad")
    site.keep(good)
    listed = site.command("backup", "list")
    assert [(r["name"], r["verdict"], r["reason"], r["stored_bytes"]) for r in listed] == [
        (small, "unknown", "changed", 3), (lost, "unknown", "no-record", 20), (strange, "unknown", "record", 6),
        (bad, "bad", "sha256", 6), (good, "good", "no-scratch", 6)]
    site.destination["retention"] = {"last": 1}
    assert [r["name"] for r in site.command("backup", "prune")] == [bad], "unverified ones are nobody's to remove"
    assert [name for name in names if site.client.exists(PREFIX + name)] == [small, lost, strange, good]


def test_nothing_goes_where_the_newest_is_not_what_it_was(site):
    first, second, third = days(3)
    site.keep(first)
    site.keep(second)
    site.keep(third, etag='"0123456789abcdef0123456789abcdef"')
    site.destination["retention"] = {"last": 1}
    site.command("backup", "prune")
    assert [r["name"] for r in site.command("backup", "list")] == [second, third], "the newest that is proven stays"


def test_ten_thousand_objects_in_fixed_memory(site, record_property):
    names = days(5000, datetime.datetime(2012, 1, 1))
    for name in names:
        site.keep(name)
    done = site.good("records", PLACE_PROFILE="edge16", PLACE_STORE=str(site.folder))
    assert len(done.lines) == 4096 and done.lines[-1].split()[:2] == [names[-1], "good"]
    assert "more snapshots than are looked at" in done.said
    print(f"10000 objects, 4096 records: heap peak {done.peak} bytes, {len(site.s3.requests)} requests")
    record_property("heap_peak_bytes", done.peak)
    assert done.peak < 2 * MIB


# --- credentials ---

def test_credentials_are_read_again_when_they_change(site):
    (site.folder / "secret").write_text("wrong\n")
    done = site.place("list")
    assert done.code == 1 and "E_DENIED " in done.said
    (site.folder / "secret").write_text(site.s3.keys.secret + "\n")
    site.good("list")


@pytest.mark.parametrize("content, words", [("", "is empty"), ("a b\n", "blank"), ("x" * 3000, "only the key"), (None, "secret")])
def test_what_is_no_key_is_told_by_its_file(site, content, words):
    (site.folder / "secret").unlink() if content is None else (site.folder / "secret").write_text(content)
    done = site.place("list")
    assert done.code == 1 and words in done.said and str(site.folder / "secret") in done.said


def test_credentials_from_the_environment(site):
    del site.destination["access_key_file"], site.destination["secret_key_file"]
    done = site.place("list")
    assert done.code == 1 and "AWS_ACCESS_KEY_ID" in done.said
    site.good("list", AWS_ACCESS_KEY_ID=site.s3.keys.access, AWS_SECRET_ACCESS_KEY=site.s3.keys.secret)


def test_credentials_that_may_only_write(site):
    site.s3.denied = NOT_PUT
    for size in (1000, len(BIG)):
        name = name_of(datetime.datetime(2026, 3, 4, 5, 6, size % 60))
        site.good("put", name, site.file(BIG[:size]))
    assert "E_DENIED " in site.place("list").said
    site.s3.denied = frozenset()
    assert len(site.client.keys_of()) == 2 and site.client.uploads() == []


# --- a hub ---

@pytest.fixture
def hub(site, make_hub):
    hub = make_hub(endpoints=["http://127.0.0.1:1"], client=None)
    hub.config["backup"]["destinations"] = [site.destination]
    for name in days(20):
        site.keep(name)
    return hub


def looked(hub) -> None:
    hub.start()
    hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")


def listed_by(hub) -> list[tuple]:
    return [(r["name"], r["verdict"], r["reason"]) for r in json.loads(hub.get("/backups")[1]) if "name" in r]


def all_remembered(site, hub, good: list[tuple]) -> None:
    """Until a list is told without a record being fetched."""
    def fetched_none() -> bool:
        before = site.s3.ops().count("GetObject")
        return listed_by(hub) == good and site.s3.ops().count("GetObject") == before
    wait_for(fetched_none, "what is remembered is not fetched again", 60, hub.proc)


def test_a_hub_reads_each_record_once(site, hub):
    looked(hub)
    good = [(name, "good", "no-scratch") for name in days(20)]
    all_remembered(site, hub, good)
    site.keep(days(20)[3], b"packed", verdict="bad")
    assert listed_by(hub)[3] == (days(20)[3], "bad", "sha256"), "another record is another tag"
    assert hub.stop().code == 0


def test_a_hub_remembers_what_it_cannot_reach(site, hub):
    looked(hub)
    all_remembered(site, hub, [(name, "good", "no-scratch") for name in days(20)])
    assert hub.stop().code == 0
    own = (hub.folder / "data" / "hub.id").read_text()
    assert re.fullmatch("[0-9a-f]{8}\n", own)
    site.s3.denied = frozenset({"ListObjectsV2"})
    looked(hub)
    assert listed_by(hub) == [(name, "unknown", "unreachable") for name in days(20)]
    log = hub.stop().log
    assert (hub.folder / "data" / "hub.id").read_text() == own
    assert log.count("cannot list the destination") == 1 and site.s3.keys.secret not in log


# --- a hub, and a real etcd ---

@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("off-site"), tls=server_cert) as member:
        member.start().fill(2000)
        yield member


@pytest.fixture
def off_site(site, make_hub, etcd):
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["destinations"] = [site.destination]
    return hub


def opened(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-d", "-q", "-c"], input=content, check=True, capture_output=True).stdout


def assert_whole(site, name: str) -> dict:
    """What lies there is the snapshot its record speaks of."""
    content, told = site.client.read(PREFIX + name), json.loads(site.client.read(PREFIX + name + ".json"))
    plain = opened(content)
    assert told["stored_sha256"] == hashlib.sha256(content).hexdigest() and told["stored_bytes"] == len(content)
    assert hashlib.sha256(plain[:-32]).digest() == plain[-32:] == bytes.fromhex(told["sha256"])
    return told


def ours(site) -> list[str]:
    return [key.removeprefix(PREFIX) for key in sorted(site.client.keys_of(PREFIX)) if not key.endswith(".json")]


def test_a_backup_goes_off_site_and_is_listed(site, off_site):
    off_site.start()
    off_site.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    (name,) = ours(site)
    told = assert_whole(site, name)
    assert (told["verdict"], told["level"], told["reason"], told["source"]) == ("good", 2, "no-scratch", "etcd")
    assert told["etag"] == site.s3.store.buckets["backups"].objects[PREFIX + name].etag
    assert listed_by(off_site) == [(name, "good", "no-scratch")]
    log = off_site.stop().log
    assert "level=warn" not in log and "level=error" not in log, log


def test_with_rights_to_write_only_all_but_pruning_works(site, off_site):
    site.s3.denied = NOT_PUT
    off_site.start()
    off_site.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    wait_for(lambda: len(listed_by(off_site)) == 1, "what the store remembers", 120, off_site.proc)
    off_site.wait_idle()
    assert [(v, r) for _, v, r in listed_by(off_site)] == [("good", "no-scratch")]
    done = off_site.command("backup", "now")
    assert done.returncode == 0, done.stderr
    assert len(listed_by(off_site)) == 2
    log = off_site.stop().log
    assert log.count("may only write") == 1 and "backup failed" not in log and "old backups were not removed" not in log
    site.s3.denied = frozenset()
    assert len(ours(site)) == 2 and [assert_whole(site, name)["verdict"] for name in ours(site)] == ["good", "good"]


def refusals(site) -> int:
    return sum(seen.status == 501 for seen in site.s3.requests)


def test_where_the_server_cannot_refuse_the_hubs_id_is_in_the_name(site, off_site):
    site.s3.conditional = "refused"
    off_site.start()
    off_site.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    (name,) = ours(site)
    own = (off_site.folder / "data" / "hub.id").read_text().strip()
    assert re.fullmatch(rf"etcd-snapshot-\d{{8}}-\d{{6}}-{own}\.db\.zst", name) and assert_whole(site, name)
    assert listed_by(off_site) == [(name, "good", "no-scratch")]
    assert off_site.stop().log.count("names get the hub's id") == 1
    tries = refusals(site)
    assert tries == 1
    off_site.start()
    off_site.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    off_site.wait_idle()
    done = off_site.command("backup", "now")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(ours(site)) == 2 and all(own in name for name in ours(site))
    assert refusals(site) == tries, "it is known at the next start"
    assert off_site.stop().log.count("names get the hub's id") == 1, "of both starts"


def test_what_a_killed_hub_left_is_aborted_at_the_next_start(site, make_hub, start_etcd):
    etcd = start_etcd()
    etcd.fill(8000, big=8)
    hub = make_hub(endpoints=[etcd.url])
    site.destination["compress"] = "none"
    hub.config["backup"]["destinations"] = [site.destination]
    site.s3.uplink_bytes_s = SLOW
    hub.start()
    in_a_part(site, hub.proc)
    hub.kill()
    assert len(site.client.uploads()) == 1 and site.client.keys_of() == []
    site.s3.uplink_bytes_s = 0
    hub.start()
    hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    assert site.client.uploads() == [] and len(ours(site)) == 1 and "UploadPart" in site.s3.ops()
    told = json.loads(site.client.read(PREFIX + ours(site)[0] + ".json"))
    assert hashlib.sha256(site.client.read(PREFIX + ours(site)[0])).hexdigest() == told["stored_sha256"] and told["bytes"] > 10 * MIB
    assert "aborted an upload" in hub.stop().log


# --- packed files of a folder: the same rules, and their bytes are read again ---

def test_a_packed_file_that_changed_keeps_its_name_and_is_told_bad(site):
    backups = site.folder / "backups"
    backups.mkdir()
    site.config["backup"]["destinations"] = [{"name": "off-site", "type": "directory", "path": str(backups), "compress": "zstd",
                                              "retention": {"last": 1}}]
    first, second, third = names = days(3)
    for name in names:
        (backups / name).write_bytes(b"packed")
        (backups / (name + ".json")).write_bytes(record(name, b"packed", "good", ""))
    assert [(r["verdict"], r["reason"], r["stored_bytes"]) for r in site.command("backup", "list")] == [("good", "no-scratch", 6)] * 3
    (backups / third).write_bytes(b"packet")
    removed = site.command("backup", "prune", code=1)
    assert [r["name"] for r in removed if "name" in r] == [first], "the newest that is proven stays, and what was damaged later"
    assert sorted(p.name for p in backups.iterdir()) == sorted(name + end for name in (second, third) for end in ("", ".json"))
    assert [(r["name"], r["verdict"]) for r in site.command("backup", "list")] == [(second, "good"), (third, "bad")]
    assert json.loads((backups / (third + ".json")).read_text())["errors"][-1]["code"] == "damaged-later"


@pytest.mark.parametrize("profile", ["edge16", "hub32"])
def test_parts_fit_into_the_profile(tmp_path, holdfast, ca, make_hub, start_etcd, profile):
    etcd = start_etcd()
    etcd.fill(6000, big=6)
    cert = ca.server("s3", names=s3.VIRTUAL_NAMES)
    with S3Fake(tmp_path / "s3", tls=cert) as fake:
        site = Site(fake, tmp_path, holdfast)
        site.destination["ca"] = str(cert.ca)
        hub = make_hub(endpoints=[etcd.url], profile=profile, limited=True)
        hub.config["backup"]["destinations"] = [site.destination]
        hub.start()
        hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
        assert_whole(site, ours(site)[0])
        assert "UploadPart" in fake.ops() and hub.metric("holdfast_task_refusals_total", task="backup") == 0
        print(f"{profile}, TLS: heap peak {hub.metric('holdfast_task_heap_peak_bytes', task='backup'):.0f} bytes")
        assert hub.stop().code == 0
