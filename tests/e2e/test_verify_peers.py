"""What net/format/etcd_db says of real snapshots, against etcdctl, etcdutl, bbolt check and the live member. The probe is
tests/e2e/etcd_db.c."""
from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from peers import gobuild
from peers.boltdamage import DAMAGES
from peers.boltfile import BoltFile
from peers.etcd import snapshot_status
from peers.proc import run
from peers.versions import programs

KIB, MIB = 1 << 10, 1 << 20
# What bbolt check of 1.5 does not look at: it is no less a damage.
ENDLESS = "the metas' high water mark beyond the file"  # bbolt check asks for each of 2^40 pages
BBOLT_BLIND = {"a branch has no elements", "a value that reaches out of its page", "a bucket too short for its header",
               "an inline bucket that cannot be", "a free page beyond the file", "a free page that is a meta page"}


@pytest.fixture(scope="session")
def probe(holdfast) -> Path:
    path = holdfast.parent / "e2e/etcd_db"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make VARIANT=x86_64 probes`"
    return path


def ask(probe: Path, file: Path, *options: object) -> dict:
    """What it says; `code` is how it ended. 3 fails here: every file can be told."""
    done = run([probe, file, *map(str, options)], check=False, seconds=900)  # 2 GiB by the megabyte, on a busy machine
    assert done.returncode in (0, 1), done.stderr.decode()
    said = json.loads(done.stdout)
    assert (done.returncode == 0) == (said["structure"] and said["logic"]) == (said["findings_total"] == 0)
    return {**said, "code": done.returncode}


def snapshot(etcd, folder: Path, name: str) -> Path:
    return etcd.snapshot_save(folder / f"{name}.db")


def assert_agrees(probe: Path, file: Path, version: str, live: int) -> dict:
    """All that the stock tool of this version tells, and the real number of live keys; with much and little memory."""
    told = snapshot_status(file, version)
    said = ask(probe, file, "--trailer")
    assert said["code"] == 0, said["findings"]
    assert said["hash"] == told["hash"] and said["revision"] == told["revision"]
    assert said["db_bytes"] == told["totalSize"] == file.stat().st_size - 32
    assert said["keys"] == live
    assert said["version"] == told.get("version", "")
    assert told["totalKey"] == (live if version == "3.7" else said["pairs"])
    least = ask(probe, file, "--trailer", "--memory", 256 * KIB)
    assert {**least, "passes": 0} == {**said, "passes": 0}
    return said


def live_hash(etcd, revision: int) -> tuple[int, int]:
    """HashKV of the member: the hash, and the revision it is compacted at."""
    told = json.loads(etcd.etcdctl("endpoint", "hashkv", "--rev", revision, "-w", "json").stdout)
    return told[0]["HashKV"].get("hash", 0), told[0]["HashKV"].get("compact_revision", 0)


def assert_hash_kv(probe: Path, etcd, file: Path, said: dict) -> int:
    """As the member says of the snapshot's revision, now; and where it is compacted."""
    want, compacted = live_hash(etcd, said["revision"])
    assert ask(probe, file, "--trailer", "--kv", said["revision"], compacted)["hash_kv"] == want
    return compacted


def test_every_snapshot_is_told_as_the_stock_tools_tell_it(etcd, etcd_version, probe, tmp_path):
    """Empty, filled, deleted and overwritten, compacted, defragmented."""
    gateway = etcd.gateway()
    assert_agrees(probe, snapshot(etcd, tmp_path, "empty"), etcd_version, 0)
    etcd.fill(1500, big=2, compact=False)
    assert_agrees(probe, snapshot(etcd, tmp_path, "filled"), etcd_version, etcd.count())
    names = [b"/again/%03d" % i for i in range(300)]
    for _ in range(3):
        gateway.put_many((name, b"v" * 100) for name in names)
    gateway.delete_many(names[::3])
    assert_agrees(probe, snapshot(etcd, tmp_path, "deleted"), etcd_version, etcd.count())
    gateway.compact()
    gateway.put_many((name, b"w" * 3000) for name in names[::2])
    said = assert_agrees(probe, snapshot(etcd, tmp_path, "compacted"), etcd_version, etcd.count())
    assert 0 < said["compact_revision"] < said["revision"]
    etcd.etcdctl("defrag")
    assert_agrees(probe, snapshot(etcd, tmp_path, "defragmented"), etcd_version, etcd.count())


def test_hash_kv_is_the_live_members(start_etcd, etcd_version, probe, tmp_path):
    """At once, when the member went on, and when it was compacted since: below, at and after the snapshot's deletions."""
    etcd = start_etcd(etcd_version, tls=None)
    gateway = etcd.gateway()
    names = [b"/hash/%03d" % i for i in range(200)]
    gateway.put_many((name, b"first") for name in names)
    for i, name in enumerate(names[:40]):
        gateway.put_many([(name, b"again %d" % i)])
    middle = gateway.revision()
    for name in names[100:120]:
        gateway.delete_many([name])
    deleted = gateway.revision()
    gateway.put_many((name, b"last") for name in names[:60:2])
    file = snapshot(etcd, tmp_path, "s")
    said = ask(probe, file, "--trailer")
    assert said["code"] == 0 and said["keys"] == 180
    assert assert_hash_kv(probe, etcd, file, said) <= 0
    gateway.put_many((name, b"later") for name in names)
    for at in (middle, deleted):
        gateway.compact(at)
        assert assert_hash_kv(probe, etcd, file, said) == at
    gateway.compact(said["revision"])
    if not etcd.version.startswith("3.4."):  # which refuses the compacted revision itself; later ones remember its hash
        assert assert_hash_kv(probe, etcd, file, said) in (deleted, said["revision"])
    file = snapshot(etcd, tmp_path, "later")
    assert_hash_kv(probe, etcd, file, ask(probe, file, "--trailer"))


def test_the_database_itself_is_told_too(start_etcd, probe, tmp_path):
    """member/snap/db of a stopped member: no trailer, pages beyond the high water mark."""
    etcd = start_etcd(tls=None)
    etcd.fill(400)
    live = etcd.count()
    etcd.stop()
    said = ask(probe, etcd.data / "member/snap/db")
    assert (said["code"], said["keys"]) == (0, live)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A snapshot with branches, overflow and free pages, as BoltFile and as bytes."""
    from peers.etcd import Etcd
    folder = tmp_path_factory.mktemp("sound")
    with Etcd(folder / "etcd") as etcd:
        etcd.start()
        etcd.fill(800, big=2)
        etcd.gateway().put_many((b"/more/%d" % i, b"v" * i) for i in range(60))
        return BoltFile(etcd.snapshot_save(folder / "sound.db"))


def damaged(sound: BoltFile, name: str, folder: Path, seed: int = 1) -> Path:
    copy = sound.copy()
    DAMAGES[name].apply(copy, random.Random(seed))
    file = folder / "damaged.db"
    copy.seal(DAMAGES[name].metas).save(file)
    return file


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(sound, probe, tmp_path, name):
    codes = DAMAGES[name].codes
    for seed in range(1, 6):
        said = ask(probe, damaged(sound, name, tmp_path, seed), "--trailer")
        found = {finding["code"] for finding in said["findings"]}
        assert (found & codes) if codes else said["code"] == 0, (seed, said["findings"])
        assert not said["structure"] or DAMAGES[name].level >= 3


@pytest.mark.cluster
def test_bbolt_check_agrees(sound, probe, tmp_path):
    """Of every damage, in two places; where it panics or dies, that is a "bad" too."""
    bbolt = gobuild.etcd37() / "bbolt"
    differ = []
    for name in DAMAGES.keys() - {ENDLESS}:
        for seed in (1, 2):
            file = damaged(sound, name, tmp_path, seed)
            said = ask(probe, file, "--trailer")
            file.write_bytes(file.read_bytes()[:-32])
            good = run([bbolt, "check", file], check=False).returncode == 0
            if good != said["structure"] and not (good and name in BBOLT_BLIND):
                differ.append((name, seed, good, said["findings"]))
    assert differ == []


@pytest.mark.cluster
def test_the_big_database_is_told_as_etcdutl_tells_it(probe):
    """2 GiB and a million keys, with 1 MiB and with 8; the stock tool's own figures."""
    from peers import bigdb
    big = bigdb.get()
    file = big.folder / "data/member/snap/db"
    told = json.loads(run([programs("3.7").etcdutl, "snapshot", "status", file, "-w", "json"], seconds=900).stdout)
    for memory in (MIB, 8 * MIB):
        said = ask(probe, file, "--memory", memory)
        assert said["code"] == 0, said["findings"]
        assert (said["hash"], said["revision"], said["keys"]) == (told["hash"], told["revision"], told["totalKey"])
        assert said["db_bytes"] == told["totalSize"] and said["keys"] == big.live
