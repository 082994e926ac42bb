"""A running hub tells a webhook and a ping URL of its backups. The stories with time in them are in tests/sim/test_notify.c."""
from __future__ import annotations

import http.server
import json
import re
import signal
import socket
import ssl
import threading

import pytest

from peers.proc import wait_for

SECRET = "T0TOPSECRET9"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.command, self.path, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET = answer

    def log_message(self, *_):
        pass


class Receiver:
    """Both URLs at one server; .seen has (method, path, document)."""

    def __init__(self, cert=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.seen, self.server.status = [], 200
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert.cert, cert.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.base = f"{'https' if cert else 'http'}://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def seen(self):
        return self.server.seen

    def events(self) -> list[str]:
        return ["ping" if method == "GET" else body["event"] for method, _, body in self.seen]

    def config(self, **more) -> dict:
        return {"webhook": f"{self.base}/hook/{SECRET}", "ping_url": f"{self.base}/ping/{SECRET}?n=1", **more}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=["http", "https"])
def receiver(request, ca):
    made = Receiver(ca.server("hooks") if request.param == "https" else None)
    yield made
    made.close()


def quick(hub, receiver, ca):
    """Tried again after 10 s."""
    hub.config["backup"]["every"] = "10s"
    hub.config["notify"] = receiver.config(ca=str(ca.cert))
    return hub


def test_a_failure_and_its_end(make_hub, start_etcd, receiver, ca):
    etcd = start_etcd()
    etcd.stop()
    hub = quick(make_hub(endpoints=[etcd.url]), receiver, ca).start()
    wait_for(lambda: receiver.seen, "the failure", 120, hub.proc)
    etcd.start()
    wait_for(lambda: len(receiver.seen) >= 3, "the recovery", 120, hub.proc)
    assert receiver.events()[:3] == ["backup-failed", "backup-recovered", "ping"]
    assert [path for _, path, _ in receiver.seen[:3]] == [f"/hook/{SECRET}"] * 2 + [f"/ping/{SECRET}?n=1"]
    failed, recovered = receiver.seen[0][2], receiver.seen[1][2]
    assert set(failed) == {"event", "destination", "reason", "text", "content", "host", "at", "cluster_id", "last_success", "version"}
    assert failed["destination"] == "local" and failed["reason"] == "refused" and "connection refused" in failed["text"]
    assert failed["text"] == failed["content"] and failed["cluster_id"] is None and failed["last_success"] is None
    assert recovered["reason"] is None and re.fullmatch(r"[0-9a-f]{16}", recovered["cluster_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", recovered["last_success"]) and "works again" in recovered["text"]
    for kind in ("failed", "recovered", "ping"):
        assert hub.wait_metric("holdfast_notify_sent_total", lambda number: number >= 1, kind=kind) == 1 or kind == "ping"
    assert b"[+] notify\n" in hub.get("/readyz?verbose")[1]
    assert SECRET not in hub.stop().log


def test_a_stale_one_and_one_recovery_for_both(make_hub, start_etcd, ca):
    receiver = Receiver()
    etcd = start_etcd()
    hub = quick(make_hub(endpoints=[etcd.url]), receiver, ca)
    hub.config["backup"]["max_age"] = "30s"  # two runs that are late do not make it so
    hub.start()
    hub.wait_snapshot()
    etcd.stop()
    wait_for(lambda: {"backup-failed", "backup-stale"} <= set(receiver.events()), "both", 120, hub.proc)
    stale = next(body for _, _, body in receiver.seen if body and body["event"] == "backup-stale")
    assert stale["last_success"] and "is stale" in stale["text"] and stale["reason"] is None
    assert hub.metric("holdfast_backup_stale", destination="local") == 1
    etcd.start()
    wait_for(lambda: receiver.events()[-1] == "ping", "the end", 120, hub.proc)
    assert receiver.events().count("backup-recovered") == receiver.events().count("backup-stale") == 1
    receiver.close()


def test_a_receiver_that_is_out_of_order(make_hub, start_etcd, receiver, ca):
    receiver.server.status = 503
    hub = quick(make_hub(endpoints=[start_etcd().url]), receiver, ca).start()
    wait_for(lambda: receiver.seen, "the ping", 120, hub.proc)
    hub.wait_log("kind=ping")
    assert all("destination=" not in line for line in hub.log_lines() if "kind=ping" in line)
    wait_for(lambda: b"[-] notify: " in hub.get("/readyz?verbose")[1], "the line", 120, hub.proc)
    receiver.server.status = 200
    wait_for(lambda: len(receiver.seen) >= 2, "the next attempt", 120, hub.proc)
    wait_for(lambda: b"[+] notify\n" in hub.get("/readyz?verbose")[1], "the line", 120, hub.proc)
    log = hub.stop().log
    assert SECRET not in log and "answered 503" in log


@pytest.mark.parametrize("trusts", ["another", "the system's"])
def test_a_receiver_that_is_not_trusted(make_hub, start_etcd, ca, other_ca, trusts):
    """The system's bundle is read and parsed on the smallest board."""
    receiver = Receiver(ca.server("hooks"))
    hub = make_hub(endpoints=[start_etcd().url], profile="edge16", limited=True)
    hub.config["notify"] = receiver.config(**({"ca": str(other_ca.cert)} if trusts == "another" else {}))
    hub.start()
    wait_for(lambda: "notification not delivered" in hub.log_text(), "an attempt", 120, hub.proc)
    log = hub.stop().log
    assert "E_CERT_UNTRUSTED" in log and "E_BUDGET" not in log and SECRET not in log and receiver.seen == []
    receiver.close()


def test_after_a_reload(make_hub, start_etcd, receiver, ca):
    """A reload opens it anew, within what is left of the privileges."""
    etcd = start_etcd()
    etcd.stop()
    hub = quick(make_hub(endpoints=[etcd.url]), receiver, ca).start()
    hub.wait_metric("holdfast_notify_sent_total", lambda number: number == 1, kind="failed")  # its answer has come, too
    hub.config["backup"]["idle_timeout"] = "20s"
    hub.write_config()
    hub.proc.send(signal.SIGHUP)
    wait_for(lambda: len(receiver.seen) >= 2, "the failure once more", 120, hub.proc)
    assert receiver.events() == ["backup-failed"] * 2
    assert receiver.seen[0][2]["host"] == receiver.seen[1][2]["host"] == socket.gethostname()
    assert hub.stop().code == 0


def test_nothing_is_told_where_nobody_is_named(make_hub, start_etcd):
    hub = make_hub(endpoints=[start_etcd().url]).start()
    hub.wait_snapshot()
    assert "holdfast_notify_sent_total" not in hub.metrics() and b"notify" not in hub.get("/readyz?verbose")[1]
    assert hub.stop().code == 0
