"""What was compressed, encrypted and sent away comes back: from a folder, from a pretended S3 and from real ones; by name, in a
rehearsal with and without its key, and not when it was damaged there."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from peers.agebox import AgeKey, opened
from peers.backup import now
from peers.catalogue import listed
from peers.etcd import restore
from peers.s3 import S3sFs, Versitygw
from peers.s3fake import INTERNAL, S3Fake

KEYS = 200


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> AgeKey:
    return AgeKey(tmp_path_factory.mktemp("keys") / "key.txt")


SERVERS = {"fake": S3Fake, "versitygw": Versitygw, "s3s-fs": S3sFs}


@pytest.fixture(params=["fake"])
def s3(request, tmp_path):
    with SERVERS[request.param](tmp_path / "s3") as server:
        server.client().make_bucket()
        yield server


@pytest.fixture
def hub(make_hub, start_etcd, s3, key, tmp_path):
    """One etcd, a sealed folder and a sealed bucket."""
    etcd = start_etcd("3.5")
    etcd.fill(KEYS, big=0)
    made = make_hub(endpoints=[etcd.url])
    (tmp_path / "access").write_text(s3.keys.access)
    (tmp_path / "secret").write_text(s3.keys.secret)
    sealed = {"compress": "zstd", "encrypt": {"recipients": [key.recipient]}}
    made.config["backup"]["destinations"] = [
        {"name": "sealed", "type": "directory", "path": str(tmp_path / "sealed"), **sealed},
        {"name": "bucket", "type": "s3", "endpoint": s3.url, "bucket": "backups", "prefix": "a/", "region": s3.region,
         "access_key_file": str(tmp_path / "access"), "secret_key_file": str(tmp_path / "secret"), **sealed}]
    made.etcd, made.s3 = etcd, s3
    return made


def taken(hub) -> dict[str, dict]:
    done = now(hub, "-o", "json")
    assert done.code == 0, done.said
    return {record["destination"]: record for record in json.loads(done.out)}


def rehearsed(hub, destination: str, code: int = 0) -> dict:
    done = hub.command("backup", "rehearse", destination, "-o", "json")
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)[0]


def verdict(record: dict) -> tuple:
    found = record["rehearsal"]
    return found["verdict"], found["level"], found["reason"]


def content(hub, record: dict) -> Path:
    """The file that holds what is stored."""
    if record["destination"] == "sealed":
        return Path(record["path"])
    found = [path for path in hub.s3.store.folder.rglob("*")
             if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == record["stored_sha256"]]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("destination", ["sealed", "bucket"])
def test_it_comes_back(hub, key, tmp_path, destination):
    record = taken(hub)[destination]
    out = tmp_path / "out.db"
    args = ["--to", out, "--identity", key.file, "-o", "json"]
    done = hub.command("backup", "restore", f"{destination}/latest", *args)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["restored"] and told["backup"]["stored_sha256"] == record["stored_sha256"]
    assert told["backup"]["sha256"] == record["sha256"] and told["backup"]["keys"] == KEYS
    with restore(out, tmp_path / "again", "3.5").start() as etcd:
        assert etcd.gateway().count() == KEYS
    if destination == "sealed":
        assert opened(Path(record["path"]), tmp_path, key).read_bytes() == out.read_bytes()


@pytest.mark.parametrize("destination", ["sealed", "bucket"])
def test_rehearsals_with_and_without_the_key(hub, key, tmp_path, destination):
    record = taken(hub)[destination]
    assert (record["verdict"], record["level"], record["reason"]) == ("good", 2, "no-scratch")
    assert verdict(rehearsed(hub, destination)) == ("good", 0, "stored")
    done = hub.command("backup", "restore", f"{destination}/{record['name']}", "--to", tmp_path / "out.db")
    assert done.returncode == 1 and b"--identity FILE" in done.stderr and not (tmp_path / "out.db").exists()
    hub.config["backup"]["rehearse"] = {"identity_file": str(key.file)}
    assert verdict(rehearsed(hub, destination)) == ("good", 2, "no-scratch")
    hub.config["backup"]["verify"] = {"scratch": str(tmp_path / "scratch")}
    again = rehearsed(hub, destination)
    assert verdict(again) == ("good", 4, None)
    assert again["level"] == 4 and again["keys"] == KEYS  # what was not known is now
    kept = [one for one in listed(hub) if one["destination"] == destination]
    assert kept[-1]["rehearsal"] == again["rehearsal"] and kept[-1]["verdict"] == "good"
    assert list((tmp_path / "scratch").iterdir()) == []
    other = AgeKey(tmp_path / "other.txt")
    hub.config["backup"]["rehearse"] = {"identity_file": str(other.file)}
    assert verdict(rehearsed(hub, destination, code=3)) == ("unknown", 0, "wrong-identity")


@pytest.mark.parametrize("with_key", [True, False], ids=["key", "no-key"])
@pytest.mark.parametrize("destination", ["sealed", "bucket"])
def test_damage_is_found(hub, key, tmp_path, destination, with_key):
    older, record = taken(hub)[destination], taken(hub)[destination]
    path = content(hub, record)
    bytes_there = bytearray(path.read_bytes())
    bytes_there[len(bytes_there) // 2] ^= 4
    path.write_bytes(bytes_there)
    if with_key:
        hub.config["backup"]["rehearse"] = {"identity_file": str(key.file)}
    done = hub.command("backup", "restore", f"{destination}/{record['name']}", "--to", tmp_path / "out.db", "--identity", key.file)
    assert done.returncode == 1 and not (tmp_path / "out.db").exists()
    told = rehearsed(hub, destination, code=1)
    assert told["name"] == record["name"] and verdict(told) == ("bad", 0, "stored-sha256") and told["verdict"] == "bad"
    by_name = {one["name"]: one for one in listed(hub) if one["destination"] == destination}
    assert by_name[record["name"]]["verdict"] == "bad" and by_name[older["name"]]["verdict"] == "good"
    assert rehearsed(hub, destination)["name"] == older["name"]
    done = hub.command("backup", "restore", f"{destination}/latest", "--to", tmp_path / "out.db", "--identity", key.file)
    assert done.returncode == 0, done.stderr


@pytest.mark.cluster
@pytest.mark.parametrize("s3", ["versitygw", "s3s-fs"], indirect=True)
def test_from_a_real_server(hub, key, tmp_path):
    """And its damage is found."""
    record = taken(hub)["bucket"]
    out = tmp_path / "out.db"
    assert hub.command("backup", "restore", "bucket/latest", "--to", out, "--identity", key.file).returncode == 0
    with restore(out, tmp_path / "again", "3.5").start() as etcd:
        assert etcd.gateway().count() == KEYS
    assert verdict(rehearsed(hub, "bucket")) == ("good", 0, "stored")
    name = f"a/{record['name']}"
    body = bytearray(hub.s3.client().read(name))
    body[len(body) // 2] ^= 4
    hub.s3.client().put(name, bytes(body))
    assert verdict(rehearsed(hub, "bucket", code=1)) == ("bad", 0, "stored-sha256")


def test_a_server_that_fails_says_nothing_of_the_backup(hub, key, tmp_path):
    record = taken(hub)["bucket"]
    hub.s3.fault("GetObject", 0, INTERNAL)
    done = hub.command("backup", "rehearse", "bucket", "-o", "json", seconds=200)
    assert done.returncode in (1, 3), done.stdout
    done = hub.command("backup", "restore", "bucket/latest", "--to", tmp_path / "out.db", "--identity", key.file, seconds=200)
    assert done.returncode == 1 and not (tmp_path / "out.db").exists()
    hub.s3.clear()
    there = [one for one in listed(hub) if one["destination"] == "bucket"]
    assert [(one["name"], one["verdict"]) for one in there] == [(record["name"], "good")]


def test_a_reset_in_the_middle_is_no_end(hub, key, tmp_path):
    """The rest is asked for."""
    record = taken(hub)["bucket"]
    fault = hub.s3.fault("GetObject", 0, reset_after=2000)
    done = hub.command("backup", "restore", "bucket/latest", "--to", tmp_path / "out.db", "--identity", key.file, seconds=200)
    hub.s3.clear()
    assert done.returncode == 0 and fault.met > 1, done.stderr
    assert (tmp_path / "out.db").stat().st_size == record["bytes"]


def test_the_first_that_has_it(hub, key, tmp_path):
    """A name without its destination: the folder is gone, the bucket has it."""
    record = taken(hub)["bucket"]
    for path in (tmp_path / "sealed").iterdir():
        path.unlink()
    plain_name = record["name"].removesuffix(".zst.age")
    done = hub.command("backup", "restore", plain_name, "--to", tmp_path / "out.db", "--identity", key.file, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["record"]["destination"] == "bucket"


def test_a_hub_that_gave_up_its_privileges_rehearses_all(hub, key, tmp_path):
    """By the schedule, from what it may still read, through a scratch folder it may write."""
    hub.config["backup"]["rehearse"] = {"schedule": "0 3 1 1 *", "identity_file": str(key.file)}
    hub.config["backup"]["verify"] = {"scratch": str(tmp_path / "scratch")}
    hub.start()
    for destination in ("sealed", "bucket"):
        hub.wait_metric("holdfast_backup_rehearsal_level", lambda level: level == 4, destination=destination)
        hub.wait_metric("holdfast_backup_rehearsal_verdict", lambda verdict: verdict == 1, destination=destination)
    done = hub.command("backup", "restore", "latest", "--to", tmp_path / "out.db")  # its identity_file is used
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "rehearsal failed" not in hub.log_text() and hub.stop().code == 0
