"""What is stored comes back: every form is read, opened, verified and written as a plain file that the stock tools restore and a real
etcd serves; what is damaged, sealed, in the way or too large leaves nothing. Rehearsals find out before it matters."""
from __future__ import annotations

import calendar
import json
import random
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from peers.agebox import AgeKey, compress, encrypt
from peers.backup import now
from peers.catalogue import listed, verify
from peers.etcd import restore
from peers.hub import record_of
from peers.proc import run, wait_for
from peers.receiver import Receiver

FORMS = ["", ".zst", ".age", ".zst.age"]
KEYS = 300


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> AgeKey:
    return AgeKey(tmp_path_factory.mktemp("keys") / "key.txt")


@pytest.fixture(scope="module")
def other_key(tmp_path_factory) -> AgeKey:
    return AgeKey(tmp_path_factory.mktemp("keys") / "other.txt")


def packed(plain: Path, form: str, key: AgeKey) -> Path:
    """By the stock tools, beside the plain one."""
    out = plain.with_name(plain.name + form)
    if form == ".zst":
        return compress(plain, out)
    if form == ".age":
        return encrypt(plain, out, [key.recipient])
    return encrypt(packed(plain, ".zst", key), out, [key.recipient]) if form else plain


@pytest.fixture(scope="module")
def saved(tmp_path_factory, server_cert):
    """A snapshot that etcdctl saved, and how many keys it has."""
    from peers.etcd import Etcd
    folder = tmp_path_factory.mktemp("saved")
    with Etcd(folder, "3.5", server_cert).start() as etcd:
        etcd.fill(KEYS, big=1)
        count = etcd.gateway().count()
        yield etcd.snapshot_save(folder / "saved.db"), count


@pytest.fixture
def snapshot(saved, tmp_path) -> Path:
    return Path(shutil.copy(saved[0], tmp_path / "saved.db"))


def restored(binary: Path, source: object, to: Path, *args: object, **how):
    return run([binary, "backup", "restore", source, "--to", to, *args], check=False, env={"PATH": "/usr/bin:/bin"}, **how)


def lies_in(folder: Path, name: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(name)]


# --- it comes back

@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_served_again(holdfast, saved, snapshot, key, tmp_path, form):
    out = tmp_path / "out.db"
    done = restored(holdfast, packed(snapshot, form, key), out, *(["--identity", key.file] if "age" in form else []))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == snapshot.read_bytes() and out.stat().st_mode & 0o7777 == 0o600
    said = done.stdout.decode()
    assert f"talosctl -n IP bootstrap --recover-from={out}" in said and "--system-labels-to-wipe=EPHEMERAL" in said
    assert f"etcdutl snapshot restore {out}" in said and "Preparing" in said
    with restore(out, tmp_path / "again", "3.5").start() as etcd:
        assert etcd.gateway().count() == saved[1]


@pytest.mark.parametrize("name", ["latest", "local/latest", "NAME", "local/NAME"])
def test_a_backup_by_its_name(make_hub, start_etcd, tmp_path, name):
    etcd = start_etcd("3.5")
    etcd.fill(50, big=0)
    hub = make_hub(endpoints=[etcd.url])
    assert now(hub).code == 0
    record = now(hub, "-o", "json").record if name.endswith("latest") else None
    first = hub.snapshots()[0]
    out = tmp_path / "out.db"
    done = hub.command("backup", "restore", name.replace("NAME", first.name), "--to", out, "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    expected = Path(record["path"]) if record else first
    assert out.read_bytes() == expected.read_bytes()
    assert told["restored"] and told["from"] == str(expected) and told["backup"]["level"] == 4
    assert told["record"]["name"] == expected.name
    assert told["next"]["talos"][-1].endswith(f"--recover-from={out}")
    assert "https://127.0.0.1:2380" in told["next"]["etcd"][0]


def test_latest_is_the_newest_good_one(make_hub, start_etcd, tmp_path):
    hub = make_hub(endpoints=[start_etcd("3.5").url])
    good = Path(now(hub, "-o", "json").record["path"])
    newer = good.with_name("etcd-snapshot-20300101-000000.db.bad")
    newer.write_bytes(good.read_bytes()[:-1])
    out = tmp_path / "out.db"
    assert hub.command("backup", "restore", "latest", "--to", out).returncode == 0
    assert out.read_bytes() == good.read_bytes()


# --- it does not

def test_a_file_that_is_there_stays(holdfast, snapshot, tmp_path):
    out = tmp_path / "out.db"
    out.write_text("precious")
    done = restored(holdfast, snapshot, out)
    assert done.returncode == 1 and b"is there already" in done.stderr and done.stdout == b""
    assert out.read_text() == "precious" and lies_in(tmp_path, "out.db") == ["out.db"]


@pytest.mark.parametrize("form", FORMS)
def test_damage_leaves_nothing(holdfast, snapshot, key, tmp_path, form):
    source = packed(snapshot, form, key)
    content = bytearray(source.read_bytes())
    for seed in range(6):
        at = random.Random(seed).randrange(len(content))
        content[at] ^= 0x20
        source.write_bytes(content)
        done = restored(holdfast, source, tmp_path / "out.db", "--identity", key.file, "-o", "json")
        content[at] ^= 0x20
        told = json.loads(done.stdout)
        assert done.returncode == 1 and not told["restored"] and told["next"] is None, (at, done.stdout)
        assert told["backup"]["verdict"] == "bad" or told["backup"]["reason"] in ("wrong-identity", "unsupported"), (at, told)
        assert lies_in(tmp_path, "out.db") == [], at


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_leaves_nothing(holdfast, snapshot, key, tmp_path, form):
    source = packed(snapshot, form, key)
    content = source.read_bytes()
    for left in (0, 1, 100, len(content) // 2, len(content) - 1):
        source.write_bytes(content[:left])
        done = restored(holdfast, source, tmp_path / "out.db", "--identity", key.file)
        assert done.returncode == 1 and lies_in(tmp_path, "out.db") == [], (left, done.stdout)


@pytest.mark.parametrize("identity, reason", [("none", "no-identity"), ("other", "wrong-identity")])
def test_without_the_key(holdfast, snapshot, key, other_key, tmp_path, identity, reason):
    source = packed(snapshot, ".zst.age", key)
    args = ["--identity", other_key.file] if identity == "other" else []
    done = restored(holdfast, source, tmp_path / "out.db", *args)
    assert done.returncode == 1 and reason.encode() in done.stderr and lies_in(tmp_path, "out.db") == []
    told = verify(holdfast, source, *map(str, args))
    assert told.code == 3 and told.record["verdict"] == "unknown" and told.record["reason"] == reason
    assert told.record["stored_bytes"] == source.stat().st_size


def test_no_room(holdfast, snapshot, tmp_path):
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run([holdfast, "backup", "restore", snapshot, "--to", tmp_path / "out.db"], preexec_fn=little,
                          capture_output=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1 and b"out.db" in done.stderr, (done.returncode, done.stderr)
    assert lies_in(tmp_path, "out.db") == []


@pytest.mark.parametrize("args, words", [
    (["nowhere/etcd-snapshot-20260101-000000.db"], b"no such destination"),
    (["local/etcd-snapshot-20260101-000000.db"], b'local: there is no backup "etcd-snapshot-20260101-000000.db"'),
    (["latest"], b"there is no good backup"),
    (["./nothing.db"], b"nothing.db"),
])
def test_what_is_not_there(make_hub, tmp_path, args, words):
    hub = make_hub(endpoints=["https://127.0.0.1:1"])
    done = hub.command("backup", "restore", *args, "--to", tmp_path / "out.db")
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_to_is_needed(holdfast):
    done = run([holdfast, "backup", "restore", "x"], check=False)
    assert done.returncode == 2 and b"--to FILE" in done.stderr


# --- verify

@pytest.mark.parametrize("form", [".zst", ".age", ".zst.age"])
def test_verify_through_scratch(make_hub, holdfast, snapshot, key, tmp_path, form):
    source = packed(snapshot, form, key)
    plain = verify(holdfast, snapshot).record
    streamed = run([holdfast, "backup", "verify", source, "--identity", key.file, "-o", "json"], check=False)
    told = json.loads(streamed.stdout)
    assert streamed.returncode == 0 and (told["verdict"], told["level"], told["reason"]) == ("good", 2, "no-scratch")
    hub = make_hub(endpoints=["https://127.0.0.1:1"])
    hub.config["backup"]["verify"] = {"scratch": str(tmp_path / "scratch")}
    hub.config["backup"]["rehearse"] = {"identity_file": str(key.file)}
    done = hub.command("backup", "verify", source, "-o", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    for name in ("verdict", "level", "reason", "bytes", "db_bytes", "sha256", "hash", "revision", "keys", "pairs", "errors"):
        assert told[name] == plain[name], name
    assert told["stored_bytes"] == source.stat().st_size
    assert told["stored_sha256"] == run(["sha256sum", source]).stdout.split()[0].decode()
    assert list((tmp_path / "scratch").iterdir()) == []


# --- rehearsals

def rehearsed(hub, *args, code: int = 0) -> dict:
    done = hub.command("backup", "rehearse", *args, "-o", "json")
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)[0]


@pytest.mark.parametrize("hub_runs", [False, True], ids=["alone", "asked"])
def test_a_rehearsal_is_recorded(make_hub, start_etcd, hub_runs):
    etcd = start_etcd("3.5")
    etcd.fill(50, big=0)
    hub = make_hub(endpoints=[etcd.url])
    if hub_runs:
        hub.start()
        hub.wait_snapshot()
        hub.wait_idle()
    else:
        assert now(hub).code == 0
    record = rehearsed(hub)
    assert record["rehearsal"]["verdict"] == "good" and record["rehearsal"]["level"] == 4 and record["rehearsal"]["warning"] is None
    assert listed(hub)[0]["rehearsal"] == record["rehearsal"]
    assert b"level 4" in hub.command("backup", "list").stdout
    if hub_runs:
        assert hub.metric("holdfast_backup_rehearsal_verdict", destination="local") == 1
        assert hub.metric("holdfast_backup_rehearsal_level", destination="local") == 4
        assert hub.stop().code == 0
    hub.start()  # it has no schedule, and knows what was done by hand
    at = calendar.timegm(time.strptime(record["rehearsal"]["at"], "%Y-%m-%dT%H:%M:%SZ"))
    hub.wait_metric("holdfast_backup_rehearsal_last_timestamp_seconds", lambda when: when == at, destination="local")
    assert hub.metric("holdfast_backup_rehearsal_verdict", destination="local") == 1
    assert hub.metric("holdfast_backup_rehearsal_level", destination="local") == 4


def test_the_schedule_rehearses_what_never_was(make_hub, start_etcd):
    hub = make_hub(endpoints=[start_etcd("3.5").url])
    hub.config["backup"]["rehearse"] = {"schedule": "0 3 1 1 *"}
    hub.start()
    hub.wait_metric("holdfast_backup_rehearsal_level", lambda level: level == 4, destination="local")
    at = hub.wait_metric("holdfast_backup_rehearsal_last_timestamp_seconds", lambda when: when > 0, destination="local")
    hub.wait_log("a backup was read back")
    assert hub.log_text().index("backup done") < hub.log_text().index("a backup was read back")
    hub.stop()
    hub.start()  # it is known, and not due
    assert hub.wait_metric("holdfast_backup_rehearsal_last_timestamp_seconds", lambda when: when > 0, destination="local") == at
    assert hub.log_text().count("a backup was read back") == 1


def test_a_damaged_one_is_told(make_hub, start_etcd):
    hub = make_hub(endpoints=[start_etcd("3.5").url])
    with Receiver() as receiver:
        hub.config["notify"] = {"webhook": receiver.webhook}
        hub.start()
        first = hub.wait_snapshot()
        hub.wait_idle()
        content = bytearray(first.read_bytes())
        content[len(content) // 2] ^= 1
        first.write_bytes(content)
        record = rehearsed(hub, "local", code=1)
        assert record["verdict"] == "bad" and record["rehearsal"]["verdict"] == "bad" and record["path"].endswith(".db.bad")
        assert [error["code"] for error in record["errors"]][-1] == "damaged-later"
        assert not first.exists() and Path(str(first) + ".bad").exists()
        wait_for(lambda: any(event.kind == "backup-failed" for event in receiver.events), "the webhook", 120)
        assert "damaged since it was taken" in hub.get("/readyz?verbose")[1].decode()
        assert hub.metric("holdfast_backup_rehearsal_verdict", destination="local") == 0
        assert hub.metric("holdfast_backup_rehearsal_failures_total", destination="local", reason="sha256") == 1
        assert record_of(first).exists()


def test_the_cluster_went_back(make_hub, start_etcd, tmp_path):
    """A restore does that: told, and no bad verdict."""
    etcd = start_etcd("3.5")
    etcd.fill(20, big=0)
    hub = make_hub(endpoints=[etcd.url])
    old = etcd.snapshot_save(tmp_path / "old.db")
    etcd.fill(40, big=0)
    assert now(hub).code == 0
    etcd.stop()
    again = restore(old, tmp_path / "again", "3.5", tls=etcd.tls)
    with again.start():
        hub.config["backup"]["etcd"]["endpoints"] = [again.url]
        record = rehearsed(hub)
        assert record["rehearsal"]["verdict"] == "good"
        assert record["rehearsal"]["warning"] in ("cluster-went-back", "another-cluster")


def test_the_same_cluster_went_back(make_hub, start_etcd):
    """Its id is made of the same addresses, as when each member is restored with its own."""
    etcd = start_etcd("3.5")
    etcd.fill(300, big=0)
    hub = make_hub(endpoints=[etcd.url])
    assert now(hub).code == 0
    etcd.stop()
    shutil.rmtree(etcd.data)
    etcd.start()
    record = rehearsed(hub)
    assert record["rehearsal"]["verdict"] == "good" and record["rehearsal"]["warning"] == "cluster-went-back"


def test_another_cluster(make_hub, start_etcd, tmp_path):
    hub = make_hub(endpoints=[start_etcd("3.5").url])
    assert now(hub).code == 0
    other = start_etcd("3.5", flags=["--initial-cluster-token", "another"])
    hub.config["backup"]["etcd"]["endpoints"] = [other.url]
    record = rehearsed(hub)
    assert record["rehearsal"]["verdict"] == "good" and record["rehearsal"]["warning"] == "another-cluster"
