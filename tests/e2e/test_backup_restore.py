"""Every snapshot restores with the stock tool and serves all keys; `verify` says what the stock tool says; a flipped bit is found.

The real etcd of each version holds one kind of content after the other: what its snapshot may look like.
"""
from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from peers.backup import now
from peers.boltfile import BoltFile, flip_bit
from peers.catalogue import assert_agrees, assert_good, assert_whole, listed, together, verdict_of, verify, verify_line
from peers.etcd import Etcd, restore, snapshot_status
from peers.gateway import _b64

FLIPS = 60


# --- what may lie in an etcd

def nothing(etcd: Etcd) -> None:
    pass


def mixed(etcd: Etcd) -> None:
    etcd.fill(1500, big=2)


def not_compacted(etcd: Etcd) -> None:
    etcd.fill(800, big=0, compact=False)


def only_tombstones(etcd: Etcd) -> None:
    keys = [b"/gone/%04d" % number for number in range(300)]
    etcd.gateway().put_many((key, b"x") for key in keys)
    etcd.gateway().delete_many(keys)


def one_key_often(etcd: Etcd) -> None:
    for number in range(400):
        etcd.gateway().put_many([(b"/the/key", b"%d" % number)])


def made_and_gone_and_made(etcd: Etcd) -> None:
    keys = [b"/flap/%03d" % number for number in range(50)]
    for number in range(6):
        etcd.gateway().put_many((key, b"%d" % number) for key in keys)
        if number % 2 == 0:
            etcd.gateway().delete_many(keys)
    etcd.gateway().compact()


def odd_bytes(etcd: Etcd) -> None:
    """Keys and values of any bytes, empty values, a long key."""
    rng = random.Random(7)
    keys = {bytes([first]) + rng.randbytes(rng.randrange(0, 60)) for first in range(256)} | {b"k" * 6000}
    etcd.gateway().put_many((key, rng.randbytes(rng.randrange(0, 40))) for key in sorted(keys))


def users_and_leases(etcd: Etcd) -> None:
    """Buckets beside "key" that are not empty."""
    gateway = etcd.gateway()
    gateway.call("/v3/auth/role/add", {"name": "reader"})
    gateway.call("/v3/auth/user/add", {"name": "alice", "password": "throwaway"})
    for number in range(40):
        lease = gateway.call("/v3/lease/grant", {"TTL": 3600})["ID"]
        gateway.call("/v3/kv/put", {"key": _b64(b"/leased/%d" % number), "value": _b64(b"v"), "lease": lease})


def defragmented(etcd: Etcd) -> None:
    """Many pages were freed, then the file was written anew."""
    etcd.fill(1000, big=1)
    etcd.gateway().delete_many(b"/registry/things/space-%02d/thing-%06d" % (i % 37, i) for i in range(0, 900, 2))
    etcd.gateway().compact()
    etcd.gateway().call("/v3/maintenance/defragment", {})


CONTENTS = [nothing, mixed, not_compacted, only_tombstones, one_key_often, made_and_gone_and_made, odd_bytes, users_and_leases,
            defragmented]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.__name__)
def test_it_restores_and_verify_says_what_etcd_says(content, start_etcd, etcd_version, make_hub, tmp_path):
    etcd = start_etcd(etcd_version, tls=None)
    content(etcd)
    count, digest = etcd.count(), etcd.gateway().digest()
    hub = make_hub(endpoints=[etcd.url], client=None)
    done = now(hub, "-o", "json")
    assert done.code == 0, done.said
    record, file = done.record, Path(done.record["path"])
    assert_whole(record)
    told = verify(hub.binary, file)
    assert_good(told)
    status = snapshot_status(file, etcd_version)
    for each in (record, told.record, listed(hub)[-1]):
        assert_agrees(each, status, etcd.version)
        assert each["keys"] == count
    with restore(file, tmp_path / "again", etcd_version) as again:
        again.start()
        assert (again.count(), again.gateway().digest()) == (count, digest)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """A snapshot of some hundred pages, by the stock tool."""
    folder = tmp_path_factory.mktemp("snapshot")
    with Etcd(folder / "etcd") as etcd:
        etcd.start().fill(600, big=1)
        return etcd.snapshot_save(folder / "etcd-snapshot-20260101-000000.db")


def test_any_flipped_bit_is_found(holdfast, snapshot, tmp_path, capsys):
    """With the trailer left; in the trailer too."""
    seed = int(os.environ.get("HOLDFAST_SEED", random.SystemRandom().randrange(1 << 31)))
    rng = random.Random(seed)
    size = snapshot.stat().st_size
    bits = [0, 8 * size - 1, 8 * (size - 33), *(rng.randrange(8 * size) for _ in range(FLIPS))]
    files = [flip_bit(snapshot, tmp_path / f"{bit}.db", bit) for bit in bits]
    for bit, outcome in zip(bits, together([verify_line(holdfast, file) for file in files], 4)):
        told = verdict_of(*outcome)
        assert (told.code, told.record["verdict"], told.record["reason"]) == (1, "bad", "sha256"), (seed, bit, told)
        assert told.record["level"] == 1 and told.record["errors"][0]["code"] == "sha256", (seed, bit, told)
    with capsys.disabled():
        print(f"\n{len(bits)} flipped bits in {size} bytes, each found (seed {seed})")
    assert_good(verify(holdfast, snapshot))


@pytest.mark.parametrize("cut", [1, 31, 32, 33, 512, 4096, 100_000], ids=lambda cut: f"less-{cut}")
def test_any_cut_is_found(cut, holdfast, snapshot, tmp_path):
    file = tmp_path / "cut.db"
    file.write_bytes(snapshot.read_bytes()[:-cut])
    told = verify(holdfast, file)
    assert told.code == 1 and told.record["verdict"] == "bad" and told.record["reason"] in ("length", "sha256"), told


def test_the_database_without_its_trailer_is_no_good_snapshot(holdfast, snapshot, tmp_path):
    """A copy of member/snap/db: etcd refuses it without --skip-hash-check."""
    database = BoltFile(snapshot)
    database.has_trailer = False
    told = verify(holdfast, database.save(tmp_path / "db"))
    assert told.code == 1 and told.record["reason"] == "length", told


def test_levels_that_are_not_asked_for_are_not_told(start_etcd, make_hub):
    """`backup now --level 2` stops after the stream; `backup verify` goes on from there."""
    etcd = start_etcd(tls=None)
    etcd.fill(100, big=0)
    hub = make_hub(endpoints=[etcd.url], client=None)
    done = now(hub, "--level", "2", "-o", "json")
    assert done.code == 0, done.said
    assert done.record["level"] == 2 and done.record["verdict"] != "bad" and done.record["hash"] is None, done.record
    assert_good(verify(hub.binary, Path(done.record["path"])))


@pytest.mark.parametrize("what", ["nothing", "folder", "empty"])
def test_what_is_no_file(what, holdfast, tmp_path):
    path = tmp_path / "x.db"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    told = verify(holdfast, path)
    assert told.code == {"nothing": 3, "folder": 3, "empty": 1}[what], told
    assert told.record["verdict"] == ("bad" if what == "empty" else "unknown"), told
