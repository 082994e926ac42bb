"""The harness itself: peers that start, refuse, restore and misbehave as they say. No holdfast takes part."""
from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peers import limits, prom
from peers.apt import _deb822, _one_line
from peers.config import hub_config, to_yaml
from peers.curl import curl
from peers.etcd import Cluster, Etcd, restore, snapshot_status
from peers.faulty import Canned, Faults, Proxy, stuck
from peers.nginx import Nginx
from peers.openssl import SServer, s_client
from peers.proc import PeerError, Proc, free_port, run, wait_for
from peers.versions import programs

LAB = Path(__file__).resolve().parents[1] / "peers" / "lab"


def connect(port: int, seconds: float = 60) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), seconds)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


# --- certificates

def test_certificates_are_what_they_say(ca, other_ca):
    def verdict(cert):
        return run(["openssl", "verify", "-x509_strict", "-CAfile", ca.cert, cert.cert], check=False)

    assert verdict(ca.server("good")).returncode == 0
    assert verdict(ca.client("good-client")).returncode == 0
    assert verdict(ca.server("good-rsa", kind="rsa")).returncode == 0
    assert b"certificate has expired" in verdict(ca.server("old", expired=True)).stderr
    assert b"not yet valid" in verdict(ca.server("early", future=True)).stderr
    assert verdict(other_ca.server("stranger")).returncode != 0


def test_a_server_is_refused_for_its_name(ca, tmp_path):
    with SServer(tmp_path, ca.server("elsewhere", ["other.example"])) as server:
        context = ssl.create_default_context(cafile=str(ca.cert))
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            context.wrap_socket(connect(server.port), server_hostname="127.0.0.1")
        context.wrap_socket(connect(server.port), server_hostname="other.example").close()


# --- etcd

def test_etcd_refuses_a_client_without_certificate(etcd, etcd_version, ca, other_ca, client_cert):
    assert etcd.version.startswith(etcd_version + ".")
    assert curl(etcd.url + "/version", cacert=ca.cert, client=client_cert).status == 200
    bare = curl(etcd.url + "/version", cacert=ca.cert)
    assert bare.status == 0 and bare.code != 0
    stranger = curl(etcd.url + "/version", cacert=ca.cert, client=other_ca.client("stranger"))
    assert stranger.status == 0 and stranger.code != 0


def test_etcd_filled_saved_restored_is_the_same(etcd, etcd_version, client_cert, tmp_path):
    filled = etcd.fill(600, big=2)
    assert filled.live == etcd.count() == 600
    assert filled.overwritten >= 80 and filled.deleted == 60
    digest = etcd.gateway().digest()
    file = etcd.snapshot_save(tmp_path / "saved.db", client_cert)
    assert file.stat().st_size % 512 == 32  # pages, and the SHA-256 after them
    assert snapshot_status(file, etcd_version)["totalKey"] >= 600
    with restore(file, tmp_path / "again", etcd_version) as again:
        again.start()
        assert again.count() == 600
        assert again.gateway().digest() == digest
        assert any(len(value) > 1 << 20 for _, value, _ in again.gateway().items())


def test_the_stock_tool_refuses_a_changed_snapshot(start_etcd, tmp_path):
    etcd = start_etcd(tls=None)
    etcd.fill(20, big=0)
    file = etcd.snapshot_save(tmp_path / "saved.db")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(PeerError, match="sha256"):
        restore(file, tmp_path / "again")


def test_etcd_with_one_tls_version(start_etcd, etcd_version, ca, client_cert):
    if not programs(etcd_version).has_tls_range:
        with pytest.raises(PeerError, match="has no --tls-m"):
            start_etcd(etcd_version, tls_min="1.3")
        return
    args = ["-CAfile", ca.cert, "-cert", client_cert.cert, "-key", client_cert.key]
    new = start_etcd(etcd_version, tls_min="1.3", tls_max="1.3")
    assert s_client(new.port, *args).protocol == "TLSv1.3"
    assert not s_client(new.port, *args, "-tls1_2").ok
    old = start_etcd(etcd_version, tls_min="1.2", tls_max="1.2")
    assert s_client(old.port, *args).protocol == "TLSv1.2"
    assert not s_client(old.port, *args, "-tls1_3").ok


def test_etcd_paused_killed_and_started_again(start_etcd):
    etcd = start_etcd(tls=None)
    etcd.gateway().put_many([(b"a", b"1")])
    etcd.pause()
    assert curl(etcd.url + "/version", seconds=0.5).code == 28  # curl's "timed out": connected, no answer
    etcd.resume()
    assert curl(etcd.url + "/version").status == 200
    assert etcd.kill() == -signal.SIGKILL
    assert curl(etcd.url + "/version").code == 7  # curl's "could not connect"
    assert etcd.start().gateway().get(b"a") == b"1"


def test_a_cluster_survives_its_leader(tmp_path, server_cert, client_cert):
    with Cluster(tmp_path, 3, tls=server_cert).start() as cluster:
        leader = cluster.leader()
        leader.gateway().put_many([(b"key", b"value")])
        leader.kill()
        other = cluster.leader()
        assert other is not leader
        assert other.gateway().get(b"key") == b"value"
        listed = other.etcdctl("member", "list", client=client_cert).stdout.decode()
        assert all(url in listed for url in cluster.urls)


def test_lab_is_ready_and_ends_with_its_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", "import subprocess,sys,time\n"
                               "subprocess.Popen(sys.argv[1:])\ntime.sleep(600)", str(LAB), "--state", str(tmp_path),
                               "--keys", "200"], stdout=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "etcd.json").exists, "etcd.json", 120)
        told = prom.json.loads((tmp_path / "etcd.json").read_text())
        assert told["keys"] == 200 and told["endpoint"] in (tmp_path / "holdfast.yaml").read_text()
        version = ["curl", "-sf", "--cacert", told["ca"], "--cert", told["cert"], "--key", told["key"],
                   told["endpoint"] + "/version"]
        assert b"etcdserver" in run(version).stdout
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not Path(f"/proc/{told['pid']}").exists(), "etcd gone", 120)


def test_lab_ends_well_when_asked(tmp_path):
    lab = Proc([LAB, "--state", tmp_path, "--keys", "50"], log=tmp_path / "lab.log")
    wait_for(lambda: "50 keys" in lab.log_text(), "it says that it is ready", 120, lab)  # before, an interrupt ends it another way
    assert lab.stop(60, signal.SIGINT) == 0


# --- children

def test_children_end_with_a_killed_parent(tmp_path):
    code = ("import sys,time; from pathlib import Path; sys.path.insert(0,sys.argv[1])\n"
            "from peers.proc import Proc; print(Proc(['sleep','600'], log=Path(sys.argv[2])).pid, flush=True)\n"
            "time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", code, str(LAB.parents[1]), str(tmp_path / "log")],
                              stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text(),
             "the child gone", 120)


def test_a_missing_program_fails_and_says_so(tmp_path):
    with pytest.raises(PeerError, match="cannot be had"):
        Proc(["no-such-program"], log=tmp_path / "log")


# --- nginx, openssl, curl

@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_nginx_serves_over_tls(protocol, ca, server_cert, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/file").write_bytes(os.urandom(100_000))
    with Nginx(tmp_path / "nginx", tls=server_cert, protocols=protocol, serve=tmp_path / "www") as nginx:
        answer = curl(nginx.url + "/file", cacert=ca.cert)
        assert (answer.status, answer.body) == (200, (tmp_path / "www/file").read_bytes())
        assert curl(nginx.url + "/file").code == 60  # curl's "certificate not verified"
        assert s_client(nginx.port, "-CAfile", ca.cert).protocol == protocol
        other = {"TLSv1.2": "-tls1_3", "TLSv1.3": "-tls1_2"}[protocol]
        assert not s_client(nginx.port, other).ok


def test_nginx_wants_a_client_certificate(ca, server_cert, client_cert, tmp_path):
    with Nginx(tmp_path, tls=server_cert, client_ca=ca.cert) as nginx:
        assert curl(nginx.url + "/x", cacert=ca.cert).status == 400
        answer = curl(nginx.url + "/x", cacert=ca.cert, client=client_cert)
        assert answer.status == 200 and answer.body.startswith(b"GET /x HTTP/1.1")


def test_nginx_as_front_of_http_and_of_bytes(ca, server_cert, start_etcd, tmp_path):
    etcd = start_etcd(tls=None)
    with Nginx(tmp_path / "http", proxy=etcd.url, workers=2) as front:
        assert b"etcdserver" in curl(front.url + "/version").body
    with Nginx(tmp_path / "bytes", tls=server_cert, protocols="TLSv1.3", tls_lines="ssl_alpn h2;",
               stream=f"127.0.0.1:{etcd.port}") as front:
        run([etcd.programs.etcdctl, "--endpoints", front.url, "--cacert", ca.cert, "endpoint", "health"],
            env={"ETCDCTL_API": "3"})
        session = s_client(front.port, "-CAfile", ca.cert, "-alpn", "h2")
        assert session.ok and "ALPN protocol: h2" in session.text


def test_openssl_both_ends(ca, server_cert, tmp_path):
    with SServer(tmp_path, server_cert, "-tls1_3") as server:
        assert s_client(server.port, "-CAfile", ca.cert, "-verify_return_error").ok
        context = ssl.create_default_context(cafile=str(ca.cert))
        with context.wrap_socket(connect(server.port), server_hostname="127.0.0.1") as tls:
            tls.sendall(b"desrever\n")
            assert tls.recv(100) == b"reversed\n"


# --- prometheus

GOOD = """\
# HELP holdfast_things Things there are.
# TYPE holdfast_things gauge
holdfast_things{kind="a",path="x\\"y"} 3
holdfast_things{kind="b",path=""} 1.5e3
"""


def test_promtool_and_the_parser():
    prom.check_metrics(GOOD)
    assert prom.parse(GOOD)["holdfast_things"][(("kind", "b"), ("path", ""))] == 1500
    with pytest.raises(PeerError, match="no help text"):
        prom.check_metrics("# TYPE x gauge\nx 1\n")
    with pytest.raises(PeerError):
        prom.check_metrics("x{ 1\n")


def test_prometheus_scrapes(tmp_path):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
    with Canned(head + GOOD.encode()) as target, prom.Prometheus(tmp_path, target.port) as server:
        server.wait_up()
        assert server.wait_query('holdfast_things{kind="a"}')[0]["value"][1] == "3"


# --- faults

@pytest.fixture
def big_answer():
    """A server of 100,000 known bytes."""
    body = bytes(range(250)) * 400
    with Canned(body, wait_for=b"!") as server:
        yield server, body


def fetch(port: int) -> bytes:
    with connect(port) as sock:
        sock.sendall(b"!")
        return read_all(sock)


def test_proxy_without_faults_changes_nothing(big_answer):
    server, body = big_answer
    with Proxy(server.port) as proxy:
        assert fetch(proxy.port) == body
        wait_for(lambda: (proxy.bytes_down, proxy.bytes_up, proxy.connections) == (len(body), 1, 1), "each byte is counted", 60)


def test_proxy_truncates(big_answer):
    server, body = big_answer
    with Proxy(server.port, down=Faults(truncate_after=77_777)) as proxy:
        assert fetch(proxy.port) == body[:77_777]


def test_proxy_resets(big_answer):
    server, _ = big_answer
    with Proxy(server.port, down=Faults(reset_after=10)) as proxy:
        with pytest.raises(ConnectionResetError):
            fetch(proxy.port)
    with Proxy(server.port, up=Faults(reset_after=0)) as proxy:
        with pytest.raises(ConnectionResetError):
            fetch(proxy.port)


def test_proxy_flips_one_bit(big_answer):
    server, body = big_answer
    with Proxy(server.port, down=Faults(flip_at=66_000)) as proxy:
        got = fetch(proxy.port)
    assert [at for at in range(len(body)) if got[at] != body[at]] == [66_000]
    assert got[66_000] ^ body[66_000] == 1


def test_proxy_is_slow():
    with Canned(b"0123456789", wait_for=b"!") as server, Proxy(server.port, down=Faults(slow_ms=20)) as proxy:
        began = time.monotonic()
        assert fetch(proxy.port) == b"0123456789"
        assert 0.2 <= time.monotonic() - began


def test_proxy_is_stuck_until_told_otherwise(big_answer):
    server, body = big_answer
    with Proxy(server.port, down=Faults(stuck_after=5)) as proxy, connect(proxy.port) as sock:
        sock.sendall(b"!")
        assert sock.recv(100) == body[:5]
        sock.settimeout(0.4)
        with pytest.raises(TimeoutError):
            sock.recv(100)
        proxy.set(down=Faults())
        sock.settimeout(60)
        assert read_all(sock) == body[5:]


def test_proxy_faults_only_one_connection(big_answer):
    server, body = big_answer
    with Proxy(server.port, down=Faults(truncate_after=1), only=2) as proxy:
        assert [len(fetch(proxy.port)) for _ in range(3)] == [len(body), 1, len(body)]


def test_a_snapshot_through_a_faulty_proxy_fails(start_etcd, tmp_path):
    etcd = start_etcd(tls=None)
    etcd.fill(300, big=1)
    with Proxy(etcd.port, down=Faults(reset_after=500_000)) as proxy:
        save = [etcd.programs.etcdctl, "--endpoints", f"http://127.0.0.1:{proxy.port}", "snapshot", "save",
                tmp_path / "x.db"]
        assert run(save, env={"ETCDCTL_API": "3"}, check=False).returncode != 0
        proxy.set(down=Faults())
        run(save, env={"ETCDCTL_API": "3"})


def test_silent_and_canned_peers():
    with stuck() as peer, connect(peer.port) as sock:
        sock.settimeout(0.3)
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            sock.recv(1)
    with Canned(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", then="reset") as peer:
        assert curl(f"http://127.0.0.1:{peer.port}/").code == 56  # curl's "receiving failed"
        assert peer.received[0].startswith(b"GET / HTTP/1.1")


# --- limits, configuration

def test_watch_sees_private_memory(tmp_path):
    code = "x = bytearray(50 << 20); import time; time.sleep(600)"
    proc = Proc([sys.executable, "-c", code], log=tmp_path / "log")
    watch = limits.Watch(proc.pid)
    wait_for(lambda: watch.usage.anon_peak >= 50 << 20, "the peak", 120, proc)
    proc.kill()
    assert 50 << 20 <= watch.stop().anon_peak < 90 << 20


def test_memory_group_is_hard(tmp_path):
    group = limits.memory_group(32 << 20)
    if group is None:  # where cgroups cannot be had, the reason is told; RLIMIT_DATA remains
        assert limits.memory_group.why
        return
    code = "import sys; x = bytearray(int(sys.argv[1]) << 20)"
    assert Proc([sys.executable, "-c", code, "4"], log=tmp_path / "log", setup=group.enter).wait(120) == 0
    assert Proc([sys.executable, "-c", code, "80"], log=tmp_path / "log", setup=group.enter).wait(120) < 0
    assert group.oom_kills() == 1
    group.remove()
    assert not group.folder.exists()


def test_configuration_as_yaml(client_cert, tmp_path):
    config = hub_config(data=tmp_path, listen="127.0.0.1:1", endpoints=["https://127.0.0.1:2"], client=client_cert,
                        destination=tmp_path / "b")
    text = to_yaml(config)
    assert f'  destinations:\n    - name: "local"\n      type: "directory"\n      path: "{tmp_path}/b"\n' in text
    assert '  etcd:\n    endpoints:\n      - "https://127.0.0.1:2"\n' in text
    assert text.startswith("version: 1\n")


def test_apt_sources_of_both_kinds_are_read():
    modern = ("Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n"
              "Components: main\nSigned-By: /k.gpg\n\nEnabled: no\nTypes: deb\nURIs: http://x.example\nSuites: a\n")
    found = list(_deb822(modern))
    assert [(one.uri, one.suites, one.keyring) for one in found] == [
        ("http://mirror.example/debian", ("trixie", "trixie-updates"), "/k.gpg")]
    old = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main # note\n#deb http://y z w\n"
    assert [(one.uri, one.suites, one.keyring) for one in _one_line(old)] == [
        ("http://mirror.example/debian", ("bookworm",), "/k.gpg")]


def test_ports_are_free_and_differ():
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50


def test_no_peer_is_left_running(tmp_path):
    etcd = Etcd(tmp_path).start()
    pid = etcd.pid
    etcd.stop()
    assert not Path(f"/proc/{pid}").exists()
    shutil.rmtree(tmp_path)


@pytest.mark.cluster
def test_the_big_database_is_big(start_big):
    etcd, big = start_big()
    assert etcd.count() == big.live >= 1_000_000
    assert big.bytes >= 2 << 30
    assert big.facts["overwritten"] + big.facts["deleted"] >= 200_000 and big.facts["big"] > 0
    assert etcd.gateway().revision() >= big.revision >= big.facts["compacted"] > 0
