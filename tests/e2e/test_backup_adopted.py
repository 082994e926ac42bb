"""What lies in a destination and was not made by us just now: nothing of it goes before something better is there."""
from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from peers.backup import now
from peers.etcd import Etcd
from peers.hub import record_of


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("adopted"), tls=server_cert) as member:
        member.start().fill(50)
        yield member


@pytest.fixture
def hub(make_hub, etcd):
    return make_hub(endpoints=[etcd.url])


def listed(hub) -> list[dict]:
    return json.loads(hub.command("backup", "list", "-o", "json").stdout)


def names(hub) -> list[str]:
    return sorted(path.name for path in hub.backups.iterdir())


def raw_copies(hub, etcd, *stamps: str) -> list[Path]:
    """As copies of member/snap/db: no trailer, yet `etcdutl snapshot restore --skip-hash-check` takes them."""
    made = []
    for stamp in stamps:
        made.append(hub.backups / f"etcd-snapshot-{stamp}.db")
        made[-1].write_bytes(etcd.snapshot_save(hub.folder / "saved.db").read_bytes()[:-32])
    return made


def test_a_failed_run_deletes_nothing_it_found(hub, etcd):
    """No backup is good yet: each adopted one may be all there is of its day."""
    raw_copies(hub, etcd, "20260103-000000", "20260104-000000", "20260105-000000")
    hub.config["backup"]["etcd"]["endpoints"] = ["https://127.0.0.1:1"]
    assert now(hub).code == 1
    kept = [name for name in names(hub) if not name.endswith(".json")]
    assert kept == [f"etcd-snapshot-2026010{day}-000000.db.bad" for day in (3, 4, 5)]
    assert {record["verdict"] for record in listed(hub)} == {"bad"}


def test_a_newer_good_one_replaces_them_but_the_newest(hub, etcd):
    raw_copies(hub, etcd, "20260103-000000", "20260104-000000")
    assert now(hub).code == 0 and now(hub).code == 0
    bad = [name for name in names(hub) if name.endswith(".bad")]
    assert bad == ["etcd-snapshot-20260104-000000.db.bad"]


def test_a_packed_one_without_a_record_holds_nothing_up(hub):
    """A hub died between the file and its record; nobody can tell whether it is good, so the next backup is due."""
    hub.config["backup"]["destinations"][0]["compress"] = "zstd"
    left = hub.backups / time.strftime("etcd-snapshot-%Y%m%d-%H%M%S.db.zst", time.gmtime(time.time() - 60))
    left.write_bytes(b"nobody speaks for it")
    hub.start()
    hub.wait_log("backup done")
    hub.wait_idle()
    assert left.exists() and {r["verdict"] for r in listed(hub)} == {"unknown", "good"}
    assert "backup failed" not in hub.stop().log


def test_links_folders_and_pipes_are_left_alone(hub):
    (hub.backups / "etcd-snapshot-20260103-000000.db").symlink_to("/etc/passwd")
    (hub.backups / "etcd-snapshot-20260104-000000.db").mkdir()
    os.mkfifo(hub.backups / "etcd-snapshot-20260105-000000.db")
    before = names(hub)
    assert now(hub).code == 0
    assert set(before) < set(names(hub)) and len(listed(hub)) == 1
    assert (hub.backups / "etcd-snapshot-20260103-000000.db").is_symlink()


def test_prune_reads_what_stays_before_anything_goes(hub):
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    older, newer = now(hub, "-o", "json").record, now(hub, "-o", "json").record
    assert older["name"] != newer["name"]
    with open(newer["path"], "r+b") as file:
        file.seek(20000)
        byte = file.read(1)
        file.seek(20000)
        file.write(bytes([byte[0] ^ 1]))
    done = hub.command("backup", "prune", "-o", "json")
    assert done.returncode == 1, done
    verdicts = {record["name"]: record["verdict"] for record in listed(hub)}
    assert verdicts == {older["name"]: "good", newer["name"]: "bad"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount: not tested as another user")
def test_what_cannot_be_removed_is_told_so(hub, holdfast):
    """On a disk that turned read-only. In a mount namespace of its own."""
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    for _ in range(3):
        assert now(hub).code == 0
    hub.write_config()
    script = (f'mount --bind {hub.backups} {hub.backups} && mount -o remount,ro,bind {hub.backups} && '
              f'exec {holdfast} backup prune -o json --config {hub.config_file}')
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=hub.env, capture_output=True)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and [item["removed"] for item in told if "removed" in item] == [False, False], done
    assert len(hub.snapshots()) == 3 and all(record_of(path).exists() for path in hub.snapshots())
