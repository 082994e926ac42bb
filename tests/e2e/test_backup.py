"""`holdfast backup now` against real etcd: the file, what is told of it, and that the stock tools restore it whole."""
from __future__ import annotations

import calendar
import hashlib
import json
import os
import re
import time
from pathlib import Path

import pytest

from peers.backup import NAME, check_file, now
from peers.etcd import Cluster, restore, snapshot_status
from peers.hub import record_of


# Compared and the same, or why it could not be: fill() compacts at its last revision.
HASH_KV = [(True, None), (None, "the member was compacted at this very revision"),
           (None, "the member has compacted this revision away"), (None, "the database has no revision")]


def back_up(hub, warned: str = "") -> tuple[Path, dict]:
    """One snapshot, all of whose properties hold; file and record. `warned`: what stderr must tell, else it is empty."""
    before = int(time.time())
    done = now(hub, "-o", "json")
    assert done.code == 0, done.said
    assert (warned in done.said) if warned else (done.said == "")
    record = done.record
    file = Path(record["path"])
    assert hub.snapshots()[-1] == file and hub.leftovers() == []
    trailer = check_file(file)
    assert record["sha256"] == trailer.hex()
    assert record["name"] == file.name and record["destination"] == "local"
    assert record["bytes"] == file.stat().st_size == record["db_bytes"] + 32
    assert (record["verdict"], record["reason"], record["level"]) == ("good", None, 4)
    assert (record["hash_kv"], record["hash_kv_why"]) in HASH_KV
    listed = hub.command("backup", "list", "-o", "json")
    assert listed.returncode == 0 and json.loads(listed.stdout)[-1] == record
    assert json.loads(record_of(file).read_text()) == record
    verified = hub.verify(file)
    stored = verified.pop("stored_sha256")
    assert verified == {key: record[key] for key in verified} and len(verified) == 15
    assert stored == hashlib.sha256(file.read_bytes()).hexdigest()
    assert 0 <= record["took_ms"] <= done.took * 1000 + 50
    taken = time.strptime(record["taken_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert "".join(NAME.fullmatch(file.name).groups()) == time.strftime("%Y%m%d%H%M%S", taken)
    assert before <= calendar.timegm(taken) <= time.time() + 1  # it steps aside for a name that is taken
    return file, record


def assert_restores(file, folder, version, count, digest):
    assert snapshot_status(file, version)["totalKey"] >= count
    with restore(file, folder, version) as again:
        again.start()
        assert again.count() == count
        assert again.gateway().digest() == digest


def test_every_etcd_is_backed_up_and_restored(etcd, etcd_version, make_hub, tmp_path):
    filled = etcd.fill(600, big=2)
    digest = etcd.gateway().digest()
    hub = make_hub(endpoints=[etcd.url])
    file, record = back_up(hub)
    status = etcd.gateway().status()
    assert record["etcd_version"] == etcd.version == status["version"]
    assert int(record["cluster_id"], 16) == int(status["header"]["cluster_id"])
    assert int(record["member_id"], 16) == int(status["header"]["member_id"])
    assert record["endpoint"] == etcd.url
    stock = snapshot_status(file, etcd_version)
    assert {key: stock[key] for key in ("hash", "revision")} == {key: record[key] for key in ("hash", "revision")}
    assert stock["totalSize"] == record["db_bytes"] and stock["totalKey"] in (record["keys"], record["pairs"])
    assert_restores(file, tmp_path / "again", etcd_version, filled.live, digest)


def test_the_member_is_asked_for_its_hash(etcd, make_hub):
    etcd.fill(300, big=1)
    etcd.gateway().put_many([(b"one more", b"after the compaction")])
    file, record = back_up(make_hub(endpoints=[etcd.url]))
    assert record["hash_kv"] is True, record
    done = now(make_hub(endpoints=[etcd.url]), "--level", "2", "-o", "json")
    assert done.code == 0 and done.record["hash_kv"] is None
    assert (done.record["verdict"], done.record["level"], done.record["reason"]) == ("unknown", 2, "level")


def test_it_is_told_in_words(start_etcd, make_hub):
    etcd = start_etcd()
    etcd.fill(50, big=0)
    done = now(make_hub(endpoints=[etcd.url]))
    assert (done.code, done.said) == (0, "")
    found = re.fullmatch(r"(\S+): (\d+) bytes in (\d+) ms from (\S+) \(etcd (\S+)\), good: 50 keys at revision "
                         r"\d+, SHA-256 good: ([0-9a-f]{64})\n", done.out)
    assert found, done.out
    file = Path(found[1])
    assert check_file(file).hex() == found[6]
    assert (int(found[2]), found[4], found[5]) == (file.stat().st_size, etcd.url, etcd.version)


def test_an_empty_etcd_is_backed_up_too(start_etcd, make_hub, tmp_path):
    etcd = start_etcd()
    file, _ = back_up(make_hub(endpoints=[etcd.url]))
    assert_restores(file, tmp_path / "again", "system", 0, etcd.gateway().digest())


def test_two_in_one_second_are_two_files(start_etcd, make_hub):
    etcd = start_etcd(tls=None)
    hub = make_hub(endpoints=[etcd.url])
    outcomes = [now(hub, "-o", "json") for _ in range(3)]
    assert [done.code for done in outcomes] == [0, 0, 0]
    assert len({done.record["name"] for done in outcomes}) == len(hub.snapshots()) == 3
    for file in hub.snapshots():
        check_file(file)


def test_two_destinations_of_which_one_fails(start_etcd, make_hub, tmp_path):
    etcd = start_etcd(tls=None)
    hub = make_hub(endpoints=[etcd.url])
    (tmp_path / "file").write_text("in the way")
    hub.config["backup"]["destinations"].insert(
        0, {"name": "blocked", "type": "directory", "path": str(tmp_path / "file")})
    done = now(hub, "-o", "json")
    assert done.code == 4, done.said
    assert "blocked" in done.said and str(tmp_path / "file") in done.said
    assert done.record["destination"] == "local"
    (failure,) = done.failures
    assert (failure["destination"], failure["verdict"], failure["reason"]) == ("blocked", "unknown", "exists")
    check_file(hub.snapshots()[0])
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_destination_is_made(start_etcd, make_hub):
    etcd = start_etcd(tls=None)
    hub = make_hub(endpoints=[etcd.url])
    made = hub.folder / "deep" / "deeper"
    hub.config["backup"]["destinations"][0]["path"] = str(made)
    done = now(hub)
    assert done.code == 0, done.said
    assert made.stat().st_mode & 0o7777 == 0o700
    check_file(next(made.glob("*.db")))


@pytest.mark.parametrize("profile", ["edge16", "hub32", "hub64"])
def test_on_every_profile(start_etcd, make_hub, profile):
    etcd = start_etcd()
    etcd.fill(200, big=1)
    etcd.gateway().put_many([(b"one more", b"after the compaction")])
    hub = make_hub(endpoints=[etcd.url])
    done = now(hub, "--profile", profile, "-o", "json")
    assert done.code == 0, done.said
    assert done.record["hash_kv"] is True, done.record
    check_file(Path(done.record["path"]))


# --- what lies there

def test_verify_list_and_prune(start_etcd, make_hub):
    etcd = start_etcd(tls=None)
    etcd.fill(300, big=1)
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    for _ in range(2):
        assert now(hub).code == 0
    old, new = hub.snapshots()
    whole = old.read_bytes()

    old.write_bytes(whole[:9000] + bytes([whole[9000] ^ 4]) + whole[9001:])
    found = hub.verify(old, code=1)
    assert (found["verdict"], found["level"], found["reason"]) == ("bad", 1, "sha256")
    assert found["errors"][0]["code"] == "sha256"
    old.write_bytes(whole)
    assert hub.verify(old)["verdict"] == "good"
    for level, code in (("1", 3), ("2", 3), ("3", 3), ("4", 0)):
        found = hub.verify(old, "--level", level, code=code)
        assert found["level"] == int(level) and found["reason"] == (None if level == "4" else "level")
    found = hub.verify(old.with_name("none.db"), code=3)
    assert (found["verdict"], found["reason"]) == ("unknown", "unreadable")

    listed = hub.command("backup", "list")
    assert listed.returncode == 0 and [line.split()[1] for line in listed.stdout.decode().splitlines()[1:]] == ["good", "good"]
    listed = hub.command("backup", "list", "--destination", "nowhere")
    assert listed.returncode == 2 and b'"nowhere"' in listed.stderr and b"local" in listed.stderr

    tried = hub.command("backup", "prune", "--dry-run", "-o", "json")
    assert json.loads(tried.stdout) == [{"name": old.name, "destination": "local", "why": "no rule keeps it", "removed": False}]
    assert hub.snapshots() == [old, new]
    pruned = hub.command("backup", "prune")
    assert (pruned.returncode, pruned.stdout.decode()) == (0, f"removed local {old.name}: no rule keeps it\n")
    assert hub.snapshots() == [new] and hub.leftovers() == []


def test_a_damaged_newest_one_replaces_nothing(start_etcd, make_hub):
    etcd = start_etcd(tls=None)
    etcd.fill(20)
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    for _ in range(3):
        assert now(hub).code == 0
    oldest, old, new = hub.snapshots()
    whole = new.read_bytes()
    new.write_bytes(whole[:9000] + bytes([whole[9000] ^ 4]) + whole[9001:])
    tried = hub.command("backup", "prune", "--dry-run", "-o", "json")
    assert tried.returncode == 1 and json.loads(tried.stdout)[0]["name"] == oldest.name
    assert hub.snapshots() == [oldest, old, new]
    assert hub.command("backup", "prune").returncode == 1
    assert hub.snapshots() == [old] and new.with_name(new.name + ".bad").exists()
    assert hub.command("backup", "prune").returncode == 0
    assert hub.snapshots() == [old]


def test_only_files_are_snapshots(start_etcd, make_hub):
    hub = make_hub(endpoints=[start_etcd(tls=None).url])
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    assert now(hub).code == 0
    one, = hub.snapshots()
    pipe, folder, link = (one.with_name(f"etcd-snapshot-2020010{day}-000000.db") for day in (1, 2, 3))
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(one)
    for path in (pipe, folder):
        found = hub.verify(path, code=3)
        assert found["reason"] == "unreadable" and "not a regular file" in found["errors"][0]["text"] and found["bytes"] == 0
    assert hub.verify(link)["verdict"] == "good"
    listed = hub.command("backup", "list", "-o", "json")
    assert [r["name"] for r in json.loads(listed.stdout)] == [one.name] and listed.returncode == 0
    assert hub.command("backup", "prune").returncode == 0
    assert pipe.is_fifo() and folder.is_dir() and link.is_symlink() and one.exists()


def test_nothing_to_back_up(make_hub):
    hub = make_hub()
    del hub.config["backup"]
    done = now(hub)
    assert done.code == 2 and "backup.etcd.endpoints" in done.said
    assert done.out == ""


@pytest.mark.cluster
def test_a_cluster_of_three_whichever_member(tmp_path, server_cert, make_hub):
    with Cluster(tmp_path / "cluster", 3, "3.7", tls=server_cert).start() as cluster:
        filled = cluster.leader().fill(400, big=1)
        digest = cluster.leader().gateway().digest()
        for at, member in enumerate(cluster.members):
            hub = make_hub(endpoints=[member.url])
            file, record = back_up(hub)
            assert int(record["member_id"], 16) == int(member.gateway().status()["header"]["member_id"])
            assert_restores(file, tmp_path / f"again{at}", "3.7", filled.live, digest)
        cluster.members[0].kill()
        (follower,) = [member for member in cluster.members[1:] if member is not cluster.leader()]
        file, record = back_up(make_hub(endpoints=cluster.urls), f"endpoint={cluster.urls[0]} ")
        assert record["endpoint"] == follower.url
