"""Backups that are packed on their way, met by the stock age, zstd and etcdutl: what lies there is what was taken, verified as far
as can be, copied from a plain folder where there is one, and whole or not there at all."""
from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from peers.backup import check_file, now
from peers.catalogue import listed
from peers.etcd import Etcd, restore, snapshot_status
from peers.hub import record_of
from peers.proc import Proc
from peers.talos import Talos

KILLS = 40
FORMS = {"zstd": (True, False), "age": (False, True), "zstd.age": (True, True)}


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> list[tuple[Path, str]]:
    """Two of age-keygen's: identity file and recipient."""
    made = []
    for name in ("ours", "escrow"):
        file = tmp_path_factory.mktemp("age") / name
        subprocess.run(["age-keygen", "-o", file], check=True, capture_output=True)
        made.append((file, subprocess.run(["age-keygen", "-y", file], check=True, capture_output=True, text=True).stdout.strip()))
    return made


def packed(hub, name: str, zstd: bool, keys: list) -> dict:
    """A destination of that form, in a folder that is not there yet."""
    destination = {"name": name, "type": "directory", "path": str(hub.folder / name), "compress": "zstd" if zstd else "none"}
    if keys:
        destination["encrypt"] = {"recipients": [recipient for _, recipient in keys]}
    return destination


def only(hub, *destinations: dict) -> None:
    hub.config["backup"]["destinations"] = list(destinations)
    hub.write_config()


def opened(file: Path, folder: Path, identity: Path | None) -> Path:
    """The plain file, by the stock tools, as the suffixes say."""
    plain = folder / "plain.db"
    steps = []
    if file.suffix == ".age":
        steps.append(f"age -d -i {identity}")
    if ".zst" in file.suffixes:
        steps.append("zstd -d -q -c")
    line = " | ".join([f"cat {file}", *steps]) + f" > {plain}"
    subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, timeout=300)
    return plain


def assert_stored(record: dict, file: Path) -> None:
    content = file.read_bytes()
    assert str(file) == record["path"] and file.name == record["name"]
    assert record["stored_bytes"] == len(content) and record["stored_sha256"] == hashlib.sha256(content).hexdigest()
    assert file.stat().st_mode & 0o7777 == 0o600
    assert json.loads(record_of(file).read_text()) == record


def assert_plain(record: dict, plain: Path, folder: Path) -> None:
    named = folder / "etcd-snapshot-20260101-000000.db"
    os.rename(plain, named)
    os.chmod(named, 0o600)
    assert check_file(named).hex() == record["sha256"]
    assert record["bytes"] == named.stat().st_size == record["db_bytes"] + 32
    os.rename(named, plain)


@pytest.mark.parametrize("scratch", [False, True], ids=["no-scratch", "scratch"])
@pytest.mark.parametrize("form", FORMS)
def test_stock_tools_open_what_was_packed(etcd, etcd_version, make_hub, tmp_path, keys, form, scratch):
    zstd, sealed = FORMS[form]
    etcd.fill(600, big=2)
    digest = etcd.gateway().digest()
    hub = make_hub(endpoints=[etcd.url])
    if scratch:
        hub.config["backup"]["verify"] = {"scratch": str(hub.folder / "scratch")}
    only(hub, packed(hub, "away", zstd, keys if sealed else []))
    done = now(hub, "-o", "json")
    assert (done.code, done.said) == (0, "")
    record = done.record
    file = Path(record["path"])
    assert sorted(path.name for path in (hub.folder / "away").iterdir()) == sorted([file.name, record_of(file).name])
    assert file.name.endswith({"zstd": ".db.zst", "age": ".db.age", "zstd.age": ".db.zst.age"}[form])
    assert_stored(record, file)
    assert (record["verdict"], record["compressed"], record["encrypted"]) == ("good", zstd, sealed)
    assert (record["source"], record["copied_from"]) == ("etcd", None)
    assert (record["level"], record["reason"]) == ((4, None) if scratch else (2, "no-scratch"))
    assert (record["keys"] is not None and record["keys"] >= 600) if scratch else record["keys"] is None
    assert not scratch or list((hub.folder / "scratch").iterdir()) == []
    for identity, _ in keys if sealed else [(None, None)]:
        plain = opened(file, tmp_path, identity)
        assert_plain(record, plain, tmp_path)
    assert snapshot_status(plain, etcd_version)["totalKey"] >= 600
    with restore(plain, tmp_path / "again", etcd_version) as again:
        again.start()
        assert again.gateway().digest() == digest


def test_the_others_copy_the_plain_folders_file(start_etcd, make_hub, tmp_path, keys):
    etcd = start_etcd()
    etcd.fill(300)
    hub = make_hub(endpoints=[etcd.url])
    plain = hub.config["backup"]["destinations"][0]
    only(hub, packed(hub, "sealed", True, keys), plain, packed(hub, "small", True, []))
    done = now(hub, "-o", "json")
    assert (done.code, done.said) == (0, "")
    records = {item["destination"]: item for item in json.loads(done.out)}
    assert list(records) == ["local", "sealed", "small"]
    theirs = records["local"]
    for name in ("sealed", "small"):
        record = records[name]
        assert record["copied_from"] == "local" and record["level"] == 4 and record["reason"] is None
        for key in ("sha256", "taken_at", "keys", "revision", "hash", "member_id", "endpoint", "hash_kv", "db_bytes"):
            assert record[key] == theirs[key], key
        assert record["name"].startswith(theirs["name"])
        assert_stored(record, Path(record["path"]))
        plain_file = opened(Path(record["path"]), tmp_path, keys[0][0])
        assert plain_file.read_bytes() == Path(theirs["path"]).read_bytes()
    again = now(hub, "--destination", "small", "-o", "json")
    assert again.code == 0 and again.record["copied_from"] is None  # asked for alone, a new one is taken
    quick = now(hub, "--level", "2", "--destination", "sealed", "-o", "json")
    assert (quick.record["verdict"], quick.record["level"], quick.record["reason"]) == ("unknown", 2, "level")


def test_a_failing_folder_does_not_stop_the_others(start_etcd, make_hub, keys):
    etcd = start_etcd()
    etcd.fill(50)
    hub = make_hub(endpoints=[etcd.url])
    broken = {"name": "broken", "type": "directory", "path": str(hub.folder / "file")}
    (hub.folder / "file").write_text("no folder")
    only(hub, broken, packed(hub, "sealed", True, keys))
    done = now(hub, "-o", "json")
    assert done.code == 4
    assert done.record["destination"] == "sealed" and done.record["copied_from"] is None and done.record["verdict"] == "good"
    assert [item["destination"] for item in done.failures] == ["broken"]


def test_a_hub_copies_what_its_folder_was_given(start_etcd, make_hub, keys):
    etcd = start_etcd()
    etcd.fill(50)
    hub = make_hub(endpoints=[etcd.url], every="10s")
    plain = hub.config["backup"]["destinations"][0]
    only(hub, packed(hub, "sealed", True, keys), plain)
    for destination in hub.config["backup"]["destinations"]:
        destination["retention"] = {"last": 20}
    hub.start()
    hub.wait_log("backup done", 4, 180)
    taken = {}
    for name in ("backups", "sealed"):
        taken[name] = [json.loads(path.read_text()) for path in sorted((hub.folder / name).glob("*.json"))]
    assert [r["taken_at"] for r in taken["backups"]][:2] == [r["taken_at"] for r in taken["sealed"]][:2]
    assert all(r["copied_from"] == "local" and r["level"] == 4 for r in taken["sealed"])
    assert hub.metric("holdfast_backup_verified_level", destination="sealed") == 4
    assert hub.metric("holdfast_backup_verify_level_wanted", destination="sealed") == 4
    assert hub.metric("holdfast_backup_through_stage", destination="sealed") == 0
    assert hub.metric("holdfast_backup_stream_bytes_per_second", destination="local") > 0


@pytest.mark.parametrize("scratch,level", [(False, 2), (True, 4)], ids=["no-scratch", "scratch"])
def test_a_hub_wants_what_its_configuration_lets_be_verified(start_etcd, make_hub, keys, scratch, level):
    hub = make_hub(endpoints=[start_etcd().url])
    if scratch:
        hub.config["backup"]["verify"] = {"scratch": str(hub.folder / "scratch")}
    only(hub, packed(hub, "sealed", True, keys))
    hub.start()
    hub.wait_log("backup done")
    for name in ("verified_level", "verify_level_wanted"):
        assert hub.metric(f"holdfast_backup_{name}", destination="sealed") == level


# --- killed at any moment ---

def test_killed_at_any_moment_only_whole_ones_are_listed(start_etcd, make_hub, tmp_path, keys):
    etcd = start_etcd()
    etcd.fill(1500, big=8)
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["verify"] = {"scratch": str(hub.folder / "scratch")}
    only(hub, packed(hub, "away", True, keys))
    began = time.monotonic()
    assert now(hub).code == 0
    whole = time.monotonic() - began
    seed = int(os.environ.get("HOLDFAST_SEED") or random.randrange(1 << 32))
    print(f"HOLDFAST_SEED={seed}")
    dice, caught = random.Random(seed), 0
    for _ in range(KILLS):
        began = time.monotonic()
        proc = Proc([hub.binary, "backup", "now", "--config", hub.config_file], log=hub.log, env=hub.env)
        time.sleep(dice.uniform(0, whole * 1.1))
        alive = proc.alive()
        caught += alive
        proc.kill()
        whole = max(whole, time.monotonic() - began) if alive else whole * 0.9  # the machine is faster or slower than it was
    assert caught >= KILLS // 4
    assert now(hub).code == 0  # and what was left is tidied up
    away = hub.folder / "away"
    assert [path.name for path in away.iterdir() if ".part-" in path.name] == []
    assert list((hub.folder / "scratch").iterdir()) == []
    for record in listed(hub):
        file = Path(record["path"])
        assert record["verdict"] == "good" or (record["verdict"], record["reason"]) == ("unknown", "no-record")
        assert_plain_digest(opened(file, tmp_path, keys[0][0]))
        if record["verdict"] == "good":
            assert_stored(record, file)


def assert_plain_digest(plain: Path) -> None:
    content = plain.read_bytes()
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]


# --- Talos as the source ---

@pytest.fixture
def talos(start_etcd, tmp_path):
    etcd = start_etcd()
    etcd.fill(300, big=2)
    with Talos(tmp_path / "talos", etcd).start() as peer:
        peer.etcd = etcd
        yield peer


def through_talos(hub, talos) -> None:
    del hub.config["backup"]["etcd"]
    hub.config["backup"].update(source="talos", talos={"socket": str(talos.socket)})


def test_talos_is_a_source_of_plain_and_packed_ones(talos, make_hub, tmp_path, keys):
    hub = make_hub()
    through_talos(hub, talos)
    plain = hub.config["backup"]["destinations"][0]
    only(hub, plain, packed(hub, "sealed", True, keys))
    done = now(hub, "-o", "json")
    assert (done.code, done.said) == (0, "")
    first, second = json.loads(done.out)
    assert first["source"] == second["source"] == "talos" and second["copied_from"] == "local"
    assert first["endpoint"] == str(talos.socket) and first["cluster_id"] is None and first["etcd_version"] == talos.etcd.version
    assert (first["level"], first["hash_kv"], first["hash_kv_why"]) == (4, None, "Talos' API has no HashKV")
    alone = now(hub, "--destination", "sealed", "-o", "json")
    assert alone.code == 0 and (alone.record["level"], alone.record["reason"]) == (2, "no-scratch")
    opened_file = opened(Path(alone.record["path"]), tmp_path, keys[0][0])
    with restore(opened_file, tmp_path / "again") as again:
        again.start()
        assert again.count() == talos.etcd.count()


@pytest.mark.parametrize("fault,reason", [("wrong-trailer", "corrupt"), ("ends-early", None), ("breaks", None)])
def test_what_talos_spoils_never_appears(talos, make_hub, keys, fault, reason):
    hub = make_hub()
    through_talos(hub, talos)
    only(hub, packed(hub, "sealed", True, keys))
    talos.set(fault=fault)
    done = now(hub, "-o", "json")
    assert done.code == 1 and (reason is None or done.failures[0]["reason"] == reason), done.out
    assert not (hub.folder / "sealed").exists() or list((hub.folder / "sealed").iterdir()) == []
    talos.set(fault="")
    assert now(hub).code == 0
