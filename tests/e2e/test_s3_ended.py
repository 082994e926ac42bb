"""SIGTERM while a hub sends a backup into S3: whatever the server had done by then, nothing half-made stays, and nothing nameless."""
from __future__ import annotations

import re
import threading
import time

import pytest

from peers import s3http
from peers.etcd import Etcd
from peers.proc import wait_for
from test_s3_backup import PREFIX, site  # noqa: F401: a fixture

STOP_S_MAX = 40  # of the minute for which the server would hold it
REQUESTS = {"look": r"HEAD ", "open": r"POST .*\?uploads", "part": r"PUT .*partNumber=2", "complete": r"POST .*uploadId",
            "record": r"PUT .*\.json"}


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("ended"), tls=server_cert) as member:
        member.start().fill(4000, big=8)
        yield member


class Gate:
    """The first request of one kind waits until the gate is opened: before it is carried out, or carried out and before it is answered.
    A connection that has been answered is never held: what the hub sends next may go over it."""
    def __init__(self):
        self.wanted, self.met, self.opened, self.passed = "", threading.Event(), threading.Event(), threading.Event()

    def before(self, act):
        def gated(handler, *args, **more):
            if not self.wanted or not re.match(self.wanted, f"{handler.command} {handler.path}") or self.met.is_set():
                return act(handler, *args, **more)
            self.met.set()
            self.opened.wait(60)
            try:
                return act(handler, *args, **more)
            finally:
                self.passed.set()
        return gated


@pytest.fixture
def gate(monkeypatch, request):
    made = Gate()
    step = "answer" if request.getfixturevalue("done") else "_perform"
    monkeypatch.setattr(s3http.Handler, step, made.before(getattr(s3http.Handler, step)))
    yield made
    made.opened.set()


@pytest.fixture
def sender(site, make_hub, etcd):  # noqa: F811
    hub = make_hub(endpoints=[etcd.url])
    site.destination["compress"] = "none"
    hub.config["backup"]["destinations"] = [site.destination]
    return hub


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_ended_in_a_request(site, sender, gate, request_, done):  # noqa: F811
    gate.wanted = REQUESTS[request_]
    sender.start()
    assert gate.met.wait(120), sender.log_text()
    began = time.monotonic()
    log = sender.stop(seconds=60).log
    assert time.monotonic() - began < STOP_S_MAX and "backup done" not in log, log
    gate.opened.set()
    assert gate.passed.wait(120), "the server carries out what reached it, whoever has gone"
    keys = sorted(key.removeprefix(PREFIX) for key in site.client.keys_of(PREFIX))
    assert keys == [] or keys == [keys[0], keys[0] + ".json"], log
    assert site.client.uploads() == [] or request_ == "open", "what was never heard of"
    sender.start()
    sender.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    wait_for(lambda: site.client.uploads() == [], "no upload", 120, sender.proc)
