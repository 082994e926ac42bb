"""Our client of Talos' machine API against one that others' gRPC plays, in front of a real etcd.

The program is tests/e2e/talos.c: e2e/talos beside the binary under test.
"""
from __future__ import annotations

import json
import os
import time

import pytest

from peers.ca import Ca
from peers.etcd import restore, snapshot_status
from peers.proc import run, wait_for
from peers.talos import Talos, talosconfig

ODD = [1, 1024, 333, 4097, 32768, 7, 65000]


@pytest.fixture(scope="session")
def program(holdfast):
    path = holdfast.parent / "e2e" / "talos"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"

    def call(*words: object, **env: object):
        return run([path, *map(str, words)], check=False, env={k: str(v) for k, v in env.items()})
    return call


@pytest.fixture
def member(start_etcd):
    return start_etcd("system")


@pytest.fixture
def talos(tmp_path, member):
    with Talos(tmp_path / "talos", member).start() as peer:
        yield peer


def good(done) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout.decode()


def bad(done) -> str:
    assert done.returncode == 1 and done.stdout == b"", (done.stdout, done.stderr)
    return done.stderr.decode()


def fields(line: str) -> dict[str, str]:
    words = line.split(" ")
    return dict(zip(words[::2], words[1::2]))


def test_status_members_version(program, talos, member):
    told = fields(good(program("status", "socket", talos.socket)).strip("\n"))
    status = member.gateway().status()
    assert told["member"] == told["leader"] == f"{int(status['header']['member_id']):x}"
    assert told["bytes"] == status["dbSize"] and told["in_use"] == status["dbSizeInUse"]
    assert told["version"] == member.version and told["learner"] == "0" and told["errors"] == "0"
    assert good(program("members", "socket", talos.socket)) == f"{told['member']} default {member.url} 0\n"
    assert good(program("version", "socket", talos.socket)) == "v1.13.9\n"
    assert good(program("alarms", "socket", talos.socket)) == ""


def test_every_call_asks_for_the_least_role(program, talos):
    for call in ("alarms", "members", "version", "defragment", "disarm"):
        assert program(call, "socket", talos.socket).returncode == 0
    assert {(c["method"], *c["asked"]) for c in talos.calls()} == {
        ("EtcdStatus", "os:etcd:backup"), ("EtcdAlarmList", "os:etcd:backup"), ("EtcdMemberList", "os:etcd:backup"),
        ("Version", "os:reader"), ("EtcdDefragment", "os:operator"), ("EtcdAlarmDisarm", "os:operator")}


def test_alarms_and_disarm(program, talos, member):
    number = int(member.gateway().status()["header"]["member_id"])
    member.gateway().call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": str(number), "alarm": "NOSPACE"})
    assert good(program("alarms", "socket", talos.socket)) == f"1 {number:x}\n"
    assert good(program("disarm", "socket", talos.socket)) == ""
    assert good(program("alarms", "socket", talos.socket)) == ""


@pytest.mark.parametrize("chunks", [[1024], ODD], ids=["as Talos", "odd"])
def test_snapshot_is_restored_by_the_stock_tool(program, talos, member, tmp_path, chunks):
    filled = member.fill(2000)
    talos.set(chunks=chunks)
    file = tmp_path / "snapshot.db"
    assert good(program("snapshot", file, "socket", talos.socket)) == f"{file.stat().st_size}\n"
    assert file.stat().st_size % 512 == 32
    assert snapshot_status(file)["totalKey"] >= 2000
    with restore(file, tmp_path / "again").start() as again:
        assert again.count() == member.count() and filled


FAULTS = [
    # settings, what the program says
    ({"deny": ["EtcdSnapshot"]}, ["E_DENIED", "gRPC PERMISSION_DENIED: not authorized", "os:etcd:backup", "ext-*"]),
    ({"fault": "breaks"}, ["E_REMOTE", "gRPC INTERNAL: failed reading snapshot", "EtcdSnapshot"]),
    ({"fault": "tells-in-band"}, ["E_REMOTE", "etcd went away"]),
    ({"fault": "huge-chunk"}, ["E_RANGE", "a message of"]),
]


@pytest.mark.parametrize("settings,words", FAULTS, ids=[json.dumps(settings) for settings, _ in FAULTS])
def test_snapshot_faults(program, talos, tmp_path, settings, words):
    talos.set(**settings)
    said = bad(program("snapshot", tmp_path / "file", "socket", talos.socket))
    for word in [*words, str(talos.socket)]:
        assert word in said, said


def test_a_stalled_stream_ends_and_is_canceled(program, talos, tmp_path):
    talos.set(fault="stalls")
    start = time.monotonic()
    said = bad(program("snapshot", tmp_path / "file", "socket", talos.socket, IDLE_MS=700, ASK_MS=20000))
    assert said.startswith("E_TIMEOUT ") and "no answer to EtcdSnapshot" in said and time.monotonic() - start < 19
    wait_for(lambda: "EtcdSnapshot" in [c["method"] for c in talos.calls()], "it has noticed that nobody listens", 60, talos.proc)


@pytest.mark.parametrize("fault", ["wrong-trailer", "ends-early"])
def test_what_arrives_wrong_ends_well_here(program, talos, tmp_path, fault):
    """The stream itself is fine: only the digest at its end can tell, and that is looked at by whoever takes it."""
    talos.set(fault=fault)
    file = tmp_path / "file"
    good(program("snapshot", file, "socket", talos.socket))
    with pytest.raises(Exception, match="etcdutl|etcdctl"):
        restore(file, tmp_path / "again")


def test_worker(program, talos):
    talos.set(worker=True)
    said = bad(program("status", "socket", talos.socket))
    assert said.startswith("E_UNSUPPORTED ") and "etcd status is only available on control plane nodes" in said
    assert "run EtcdStatus on a control plane node" in said


def test_etcd_is_away(program, talos):
    talos.set(unavailable=True)
    said = bad(program("status", "socket", talos.socket))
    assert said.startswith("E_UNREACHABLE ") and "error building etcd client" in said


def test_error_in_the_metadata(program, talos):
    talos.set(metadata_error="rpc error: proxying failed")
    said = bad(program("members", "socket", talos.socket))
    assert said.startswith("E_REMOTE ") and "proxying failed" in said


def test_no_socket(program, tmp_path):
    said = bad(program("status", "socket", tmp_path / "machine.sock"))
    assert said.startswith("E_ABSENT ") and "/system/run/machined/machine.sock" in said
    (tmp_path / "plain").touch()
    assert bad(program("status", "socket", tmp_path / "plain")).startswith("E_REFUSED ")
    assert bad(program("status", "socket", "relative")).startswith("E_CONFIG ")
    assert bad(program("status", "socket", "/" + "x" * 120)).startswith("E_CONFIG ")


def test_stuck_server(program, talos):
    talos.proc.pause()
    start = time.monotonic()
    assert bad(program("status", "socket", talos.socket, ASK_MS=1500)).startswith("E_TIMEOUT ")
    assert time.monotonic() - start < 30


# --- over TCP, with certificates ---
@pytest.fixture
def talos_tls(tmp_path, member, ca, server_cert):
    with Talos(tmp_path / "talos-tls", member, tls=server_cert).start() as peer:
        yield peer


def config_of(tmp_path, peer, ca, client, **how):
    return talosconfig(tmp_path / "talosconfig", [peer.endpoint], ca, client, **how)


def test_tcp_shows_the_certificate_and_asks_for_no_role(program, talos_tls, tmp_path, ca):
    file = config_of(tmp_path, talos_tls, ca.cert, ca.client("os:etcd:backup"))
    assert "learner 0" in good(program("status", "config", file))
    assert good(program("snapshot", tmp_path / "s.db", "config", file, "lab")).strip().isdigit()
    assert {(c["method"], tuple(c["asked"]), tuple(c["shown"])) for c in talos_tls.calls()} == {
        ("EtcdStatus", (), ("os:etcd:backup",)), ("EtcdSnapshot", (), ("os:etcd:backup",))}
    said = bad(program("defragment", "config", file))
    assert said.startswith("E_DENIED ") and "os:operator or os:admin" in said and talos_tls.endpoint in said


def test_tcp_strangers(program, talos_tls, tmp_path, ca, other_ca):
    assert bad(program("status", "config", config_of(tmp_path, talos_tls, other_ca.cert, ca.client("os:admin")))
               ).startswith("E_CERT_UNTRUSTED ")
    said = bad(program("status", "config", config_of(tmp_path, talos_tls, ca.cert, other_ca.client("os:admin"))))
    assert said.split()[0] in ("E_CERT_WANTED", "E_TLS", "E_CLOSED", "E_RESET")


def test_ed25519_is_refused_with_the_reason(program, tmp_path, ca):
    theirs = Ca(tmp_path / "ed", "talos", kind="ed25519")
    for authority, client in ((theirs.cert, ca.client("os:admin")), (ca.cert, theirs.client("os:admin", kind="ed25519")),
                              (ca.cert, theirs.client("signed"))):
        said = bad(program("status", "config", talosconfig(tmp_path / "config", ["127.0.0.1:1"], authority, client)))
        assert said.startswith("E_UNSUPPORTED ") and "Ed25519" in said
        assert "/system/run/machined/machine.sock or give Talos an ECDSA/RSA CA" in said


def test_a_talosconfig_that_is_not(program, tmp_path, ca, client_cert):
    file = talosconfig(tmp_path / "config", ["127.0.0.1:1"], ca.cert, client_cert)
    assert bad(program("status", "config", file)).startswith("E_REFUSED ")
    assert 'no context "prod"' in bad(program("status", "config", file, "prod"))
    assert 'context "other" has no endpoints' in bad(program("status", "config", file, "other"))


def test_check_refuses_an_ed25519_talosconfig(holdfast, tmp_path, ca, client_cert):
    """By the reason, and as an error of the configuration; one that can work is good."""
    theirs = Ca(tmp_path / "ed", "talos", kind="ed25519")
    config, yaml = tmp_path / "talosconfig", tmp_path / "holdfast.yaml"
    yaml.write_text(f"version: 1\nbackup: {{source: talos, talos: {{config: {config}}}, "
                    "destinations: [{name: a, type: directory, path: /b}]}\n")
    talosconfig(config, ["10.0.0.2"], theirs.cert, theirs.client("os:admin", kind="ed25519"))
    done = run([holdfast, "check", "--config", yaml], check=False)
    said = done.stderr.decode()
    assert done.returncode == 2 and done.stdout == b"" and said.startswith(f"{yaml}: backup.talos.config: Talos' API CA is Ed25519")
    assert "use the socket /system/run/machined/machine.sock or give Talos an ECDSA/RSA CA" in said
    told = json.loads(run([holdfast, "check", "--config", yaml, "-o", "json"], check=False).stdout)
    assert told["verdict"] == "bad" and "Ed25519" in told["errors"][0]
    talosconfig(config, ["10.0.0.2"], ca.cert, client_cert)
    assert run([holdfast, "check", "--config", yaml], check=False).returncode == 0
    config.chmod(0o644)
    assert b"backup.talos.config" in run([holdfast, "check", "--config", yaml], check=False).stderr
    config.unlink()
    assert b"there is no" in run([holdfast, "check", "--config", yaml], check=False).stderr


# --- a backup through it ---
@pytest.fixture
def backup_now(holdfast, tmp_path):
    """backup_now(talos): exit code, the items, what lies in the destination."""
    folder = tmp_path / "backups"
    folder.mkdir()

    def run_it(talos, idle: str = "60s"):
        yaml = tmp_path / "holdfast.yaml"
        yaml.write_text(f"version: 1\ndata: {tmp_path}/data\nbackup:\n  source: talos\n  talos: {{socket: {talos.socket}}}\n  idle_timeout: {idle}\n"
                        f"  destinations: [{{name: local, type: directory, path: {folder}}}]\n")
        done = run([holdfast, "backup", "now", "--config", yaml, "-o", "json"], check=False, seconds=120)
        return done.returncode, json.loads(done.stdout), sorted(path.name for path in folder.iterdir()), done.stderr.decode(), folder
    return run_it


def test_a_backup_through_talos_is_restored(backup_now, talos, member, tmp_path):
    member.fill(1000)
    talos.set(chunks=ODD)
    code, items, names, said, folder = backup_now(talos)
    assert code == 0, said
    assert items[0]["verdict"] == "good" and items[0]["source"] == "talos" and items[0]["level"] == 4
    assert names == [items[0]["name"], items[0]["name"] + ".json"]
    assert {tuple(call["asked"]) for call in talos.calls()} == {("os:etcd:backup",)}
    with restore(folder / names[0], tmp_path / "again").start() as again:
        assert again.count() == member.count()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_backup_over_tcp_is_restored(holdfast, tmp_path, member, kind):
    """By a talosconfig whose authority and certificates are ECDSA, or RSA."""
    member.fill(1000)
    theirs = Ca(tmp_path / "talos-ca", "talos", kind=kind)
    with Talos(tmp_path / "talos-tcp", member, tls=theirs.server("node", kind=kind)).start() as peer:
        file = talosconfig(tmp_path / "talosconfig", [peer.endpoint], theirs.cert, theirs.client("os:etcd:backup", kind=kind))
        yaml = tmp_path / "holdfast.yaml"
        yaml.write_text(f"version: 1\ndata: {tmp_path}/data\nbackup:\n  source: talos\n  talos: {{config: {file}}}\n"
                        f"  destinations: [{{name: local, type: directory, path: {tmp_path}/backups, compress: zstd}}]\n")
        done = run([holdfast, "backup", "now", "--config", yaml, "-o", "json"], check=False, seconds=120)
        assert done.returncode == 0, done.stderr
        (record,) = json.loads(done.stdout)
        assert (record["verdict"], record["source"], record["etcd_version"]) == ("good", "talos", member.version)
        assert {(tuple(call["asked"]), tuple(call["shown"])) for call in peer.calls()} == {((), ("os:etcd:backup",))}
    out = tmp_path / "out.db"
    done = run([holdfast, "backup", "restore", "local/latest", "--to", out, "--config", yaml], check=False)
    assert done.returncode == 0, done.stderr
    with restore(out, tmp_path / "again").start() as again:
        assert again.count() == member.count()


@pytest.mark.parametrize("settings,words", [
    ({"fault": "wrong-trailer"}, ""), ({"fault": "ends-early"}, ""), ({"fault": "breaks"}, "failed reading snapshot"),
    ({"fault": "tells-in-band"}, "etcd went away"), ({"fault": "stalls"}, "idle_timeout"),
    ({"deny": ["EtcdSnapshot"]}, "os:etcd:backup"), ({"worker": True}, "control plane"), ({"unavailable": True}, "error building etcd client"),
], ids=lambda value: json.dumps(value) if isinstance(value, dict) else "")
def test_a_faulty_talos_leaves_no_good_backup(backup_now, talos, settings, words):
    talos.set(**settings)
    code, items, names, said, _ = backup_now(talos, "2s" if settings.get("fault") == "stalls" else "60s")
    assert code == 1 and words in said and items[0]["verdict"] != "good", (items, said)
    assert not [name for name in names if name.endswith(".db")]
