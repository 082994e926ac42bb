"""holdfast doctor: each fault once, against the real peers; and nothing is left behind by looking."""
from __future__ import annotations

import json
import os
import re
import subprocess
import time

import pytest

from peers.agebox import AgeKey
from peers.ca import Ca
from peers.config import to_yaml
from peers.nfs import Ganesha
from peers.proc import run
from peers.receiver import Receiver
from peers.s3fake import NOT_PUT, S3Fake
from peers.talos import Talos, talosconfig


@pytest.fixture
def doctor(holdfast, tmp_path):
    """doctor(config): exit code, verdict, {subject: [(state, words)]}."""
    def look(config: dict, **env: str):
        file = tmp_path / "holdfast.yaml"
        file.write_text(to_yaml(config))
        start = time.monotonic()
        done = subprocess.run([holdfast, "doctor", "--config", file, "-o", "json"], capture_output=True, timeout=300, env=env, check=False)
        assert all(b"level=warn" in line for line in done.stderr.splitlines()), done.stderr
        told, found = json.loads(done.stdout), {}
        for line in told["lines"]:
            found.setdefault(line["subject"], []).append((line["state"], line["words"]))
        assert time.monotonic() - start < 60 and told["left_out"] == 0
        return done.returncode, told["verdict"], found
    return look


def states(lines) -> list[str]:
    return [state for state, _ in lines]


def etcd_config(etcd, client, folder, **more) -> dict:
    folder.mkdir(exist_ok=True)
    destinations = [{"name": "local", "type": "directory", "path": str(folder)}]
    return {"version": 1, "backup": {"etcd": {"endpoints": [etcd.url], "ca": str(etcd.tls.ca), "cert": str(client.cert), "key": str(client.key)},
                                     "destinations": destinations, **more}}


def test_all_is_well(doctor, start_etcd, client_cert, tmp_path):
    etcd = start_etcd()
    with Receiver() as receiver:
        config = etcd_config(etcd, client_cert, tmp_path / "b")
        config["notify"] = {"webhook": receiver.webhook, "ping_url": receiver.ping}
        code, verdict, found = doctor(config)
        assert (code, verdict) == (0, "good"), found
        assert states(found["backup.etcd.ca"]) == states(found["backup.etcd.cert"]) == ["ok"] == states(found["clock"])
        assert states(found[etcd.url]) == ["ok", "ok"] and f"etcd {etcd.version}, leader" in found[etcd.url][0][1]
        assert "snapshots" in found["destination local"][1][1] and "127.0.0.1" in found["clock"][0][1]
        assert found["notify.webhook"] == [("ok", "127.0.0.1 answers")]
        assert not receiver.events and not receiver.pings  # nobody was told anything
    assert list((tmp_path / "b").iterdir()) == []


def test_as_text(holdfast, tmp_path):
    file = tmp_path / "h.yaml"
    file.write_text("version: 1\nbackup: {etcd: {endpoints: [\"http://127.0.0.1:1\"]}, destinations: [{name: a, type: directory, path: /none}]}\n")
    done = run([holdfast, "doctor", "--config", file], check=False)
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1 and lines[0] == "ok       configuration: no doubts about it"
    assert any(line.startswith("bad      http://127.0.0.1:1: ") and "connection refused; is it running" in line for line in lines)
    assert "warn     destination a: /none is not there; the hub makes it when it starts" in lines
    file.write_text("version: 2\n")
    assert run([holdfast, "doctor", "--config", file], check=False).returncode == 2


def test_certificates(doctor, start_etcd, ca, other_ca, client_cert, tmp_path):
    etcd = start_etcd()
    config = etcd_config(etcd, client_cert, tmp_path / "b")
    section = config["backup"]["etcd"]
    cases = [
        ({"cert": ca.client("old", expired=True)}, "backup.etcd.cert", "ended on"),
        ({"cert": other_ca.client("stranger")}, etcd.url, ""),
        ({"ca": other_ca.cert}, etcd.url, "give the CA that has signed its certificate"),
        ({"key": ca.client("another").key}, "backup.etcd.cert", "does not belong to the certificate"),
        ({"ca": tmp_path / "none.pem"}, "backup.etcd.ca", "none.pem"),
    ]
    for change, subject, words in cases:
        for name, value in change.items():
            section[name] = str(getattr(value, "cert", value))
            if hasattr(value, "key"):
                section["key"] = str(value.key)
        code, _, found = doctor(config)
        bad = [said for state, said in found[subject] if state == "bad"]
        assert code == 1 and bad and words in bad[0], (change, found)
        section.update(ca=str(etcd.tls.ca), cert=str(client_cert.cert), key=str(client_cert.key))


def test_etcd_faults(doctor, start_etcd, client_cert, tmp_path):
    etcd = start_etcd()
    config = etcd_config(etcd, client_cert, tmp_path / "b")
    member = etcd.gateway().status()["header"]["member_id"]
    etcd.gateway().call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": member, "alarm": "NOSPACE"})
    code, _, found = doctor(config)
    assert code == 1 and "alarm NOSPACE of member" in found[etcd.url][1][1] and "compact, defragment, disarm" in found[etcd.url][1][1]
    etcd.gateway().call("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": member, "alarm": "NOSPACE"})
    etcd.pause()
    code, _, found = doctor(config)
    assert code == 1 and states(found[etcd.url]) == ["bad"] and "does it hang" in found[etcd.url][0][1]
    etcd.resume()


def test_folders(doctor, start_etcd, client_cert, tmp_path):
    etcd = start_etcd()
    config = etcd_config(etcd, client_cert, tmp_path / "b")
    config["backup"]["destinations"] = [
        {"name": "full", "type": "directory", "path": "/dev/shm/none"}, {"name": "file", "type": "directory", "path": "/dev/null"},
        {"name": "readonly", "type": "directory", "path": "/sys"},
        {"name": "nas", "type": "nfs", "server": "127.0.0.1", "export": "/x", "path": str(tmp_path / "mnt"), "mount": False}]
    code, _, found = doctor(config)
    assert code == 1 and states(found["destination full"]) == ["warn"]
    assert "is not a folder" in found["destination file"][0][1] and states(found["destination readonly"]) == ["bad"]
    assert states(found["destination nas"]) == ["bad"] and "nothing is mounted on" in found["destination nas"][0][1]


@pytest.mark.skipif(os.geteuid() != 0, reason="ganesha opens files by handle: only root can")
def test_nfs_server(doctor, tmp_path):
    with Ganesha(tmp_path / "nfs") as server, Receiver() as stranger:
        to = {"name": "nas", "type": "nfs", "server": "127.0.0.1", "port": server.port, "export": server.export, "path": str(tmp_path / "mnt")}
        config = {"version": 1, "backup": {"destinations": [to]}}
        code, _, found = doctor(config)
        assert code == 0 and "127.0.0.1 answers; the hub mounts /backups" in found["destination nas"][0][1], found
        server.pause()
        code, _, found = doctor(config)
        assert code == 1 and "waiting for its answer" in found["destination nas"][0][1], found
        server.resume()
        server.kill()
        code, _, found = doctor(config)
        assert code == 1 and "connection refused" in found["destination nas"][0][1], found
        to["port"] = stranger.port
        code, _, found = doctor(config)
        assert code == 1 and found["destination nas"][0][0] == "bad", found
    assert not (tmp_path / "mnt").exists()  # nothing is mounted or made for a look


def s3_config(s3, tmp_path, **more) -> dict:
    access, secret = tmp_path / "access", tmp_path / "secret"
    access.write_text(s3.keys.access + "\n")
    secret.write_text(s3.keys.secret + "\n")
    for file in (access, secret):
        file.chmod(0o600)
    return {"version": 1, "backup": {"destinations": [
        {"name": "off", "type": "s3", "endpoint": s3.url, "bucket": "backups", "prefix": "lab/", "access_key_file": str(access),
         "secret_key_file": str(secret), **more}]}}


def test_bucket(doctor, tmp_path, ca):
    with S3Fake(tmp_path / "s3", tls=ca.server("s3")) as s3:
        s3.client().make_bucket()
        config = s3_config(s3, tmp_path, ca=str(ca.cert))
        code, _, found = doctor(config)
        assert code == 0 and states(found["destination off"]) == ["ok"] * 4, found
        assert not [key for key in s3.client().list() if "doctor" in str(key)]
        s3.denied = NOT_PUT
        code, _, found = doctor(config)
        assert code == 0 and "without listing nothing is pruned" in found["destination off"][0][1], found
        assert states(found["destination off"]).count("warn") >= 2
        s3.denied = frozenset({"PutObject"})
        code, _, found = doctor(config)
        assert code == 1 and "s3:PutObject" in found["destination off"][-1][1]
        s3.denied = frozenset()
        s3.conditional = "refused"
        code, _, found = doctor(config)
        assert code == 0 and any("names get the hub's id" in words for _, words in found["destination off"]), found
        config["backup"]["destinations"][0]["bucket"] = "nothere"
        assert doctor(config)[0] == 1
        (tmp_path / "secret").write_text("wrong\n")
        assert doctor(config)[0] == 1
        (tmp_path / "secret").unlink()
        assert doctor(config)[0] == 1
    code, _, found = doctor(config)
    assert code == 1


@pytest.mark.parametrize("clock_s", [1200, 600])  # refused, and not
def test_clock(doctor, tmp_path, clock_s):
    with S3Fake(tmp_path / "s3") as s3:
        s3.client().make_bucket()
        s3.clock_s = clock_s
        code, _, found = doctor(s3_config(s3, tmp_path))
        assert states(found["destination off"]) == ["ok"] * 4  # requests are signed by the server's
        assert code == 1 and states(found["clock"]) == ["bad"], found
        behind = re.match(r"(\d+) s behind that of .*; let NTP set it$", found["clock"][0][1])
        assert behind and clock_s - 100 <= int(behind[1]) <= clock_s + 1, found["clock"]


def test_clock_that_is_right(doctor, tmp_path):
    with S3Fake(tmp_path / "s3") as s3:
        s3.client().make_bucket()
        code, _, found = doctor(s3_config(s3, tmp_path))
        assert code == 0 and states(found["clock"]) == ["ok"] and s3.url in found["clock"][0][1], found


def test_recipients(doctor, tmp_path):
    ours, theirs = AgeKey(tmp_path / "ours"), AgeKey(tmp_path / "theirs")
    identity = tmp_path / "identity"
    identity.touch(0o600)
    (tmp_path / "b").mkdir()
    config = {"version": 1, "backup": {"rehearse": {"identity_file": str(identity)}, "destinations": [
        {"name": "a", "type": "directory", "path": str(tmp_path / "b"), "encrypt": {"recipients": [theirs.recipient, ours.recipient]}}]}}
    cases = [(ours.secret, 0, "the identity file opens what 2 recipients seal"),
             (AgeKey(tmp_path / "stranger").secret, 1, "has none of the recipients' keys"), ("no key", 1, "identity")]
    for text, wanted, words in cases:
        identity.write_text(text + "\n")
        code, _, found = doctor(config)
        assert code == wanted and any(words in said for _, said in found["destination a"]), (words, found)
        assert text == "no key" or not any(text in said for _, said in found["destination a"])
    del config["backup"]["rehearse"]
    assert any("2 recipients; without an identity file" in said for _, said in doctor(config)[2]["destination a"])


# --- Talos ---
def test_talos(doctor, start_etcd, tmp_path, ca, client_cert):
    (tmp_path / "b").mkdir()
    with Talos(tmp_path / "talos", start_etcd()).start() as talos:
        config = {"version": 1, "backup": {"source": "talos", "talos": {"socket": str(talos.socket)},
                                           "destinations": [{"name": "a", "type": "directory", "path": str(tmp_path / "b")}]}}
        code, _, found = doctor(config)
        assert code == 0 and states(found[str(talos.socket)]) == ["ok", "ok"], found
        talos.set(deny=["EtcdSnapshot"])
        code, _, found = doctor(config)
        assert code == 1 and "os:etcd:backup" in found[str(talos.socket)][1][1], found
        talos.set(worker=True)
        code, _, found = doctor(config)
        assert code == 1 and "control plane" in found[str(talos.socket)][0][1], found
    theirs = Ca(tmp_path / "ed", "talos", kind="ed25519")
    config["backup"]["talos"] = {"config": str(talosconfig(tmp_path / "tc", ["127.0.0.1"], theirs.cert, client_cert))}
    code, _, found = doctor(config)
    assert code == 1 and "Ed25519" in found["backup.talos.config"][0][1], found
