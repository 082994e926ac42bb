"""SIGTERM and SIGKILL while a hub sends a backup into S3: whatever the server had done by then, nothing half-made stays, and nothing
without a record; what has its record stays."""
from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time

import pytest

from peers import s3http
from peers.etcd import Etcd
from peers.proc import wait_for
from peers.s3fake import NOT_PUT
from test_s3_backup import PREFIX, site  # noqa: F401: a fixture

STOP_S_MAX = 40  # of the minute for which the server would hold it
REQUESTS = {"look": r"HEAD ", "open": r"POST .*\?uploads", "part": r"PUT .*partNumber=2", "complete": r"POST .*uploadId",
            "record": r"PUT .*\.json"}
KILLED = {**REQUESTS, "put": r"PUT [^?]*\.zst "}  # all in one PUT


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("ended"), tls=server_cert) as member:
        member.start().fill(4000, big=8)
        yield member


@pytest.fixture(scope="module")
def small(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("small"), tls=server_cert) as member:
        member.start().fill(20, big=0)
        yield member


class Gate:
    """The first request of one kind waits until the gate is opened: before it is carried out, or carried out and before it is answered.
    A connection that has been answered is never held: what the hub sends next may go over it."""
    def __init__(self):
        self.wanted, self.met, self.opened, self.passed = "", threading.Event(), threading.Event(), threading.Event()
        self.seconds = 60

    def before(self, act):
        def gated(handler, *args, **more):
            if not self.wanted or not re.match(self.wanted, f"{handler.command} {handler.path} ") or self.met.is_set():
                return act(handler, *args, **more)
            self.met.set()
            self.opened.wait(self.seconds)
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


# --- killed: the next start does what could not be done ---

def names(site) -> tuple[list[str], list[str]]:  # noqa: F811
    """Of the objects that have a record, and of those that have none."""
    keys = {key.removeprefix(PREFIX) for key in site.client.keys_of(PREFIX)}
    objects = sorted(key for key in keys if not key.endswith(".json"))
    return [name for name in objects if name + ".json" in keys], [name for name in objects if name + ".json" not in keys]


def waits(hub) -> list[tuple[str, str]]:
    """What the store of a hub that has ended still waits for: the upload's id, and the object's."""
    with contextlib.closing(sqlite3.connect(f"file:{hub.folder}/data/holdfast.db?mode=ro", uri=True)) as store:
        return store.execute("SELECT upload_id, object_id FROM backup_uploads").fetchall()


def few(hub, etcd) -> None:
    """So little that one PUT is enough."""
    hub.config["backup"]["etcd"]["endpoints"] = [etcd.url]
    hub.config["backup"]["destinations"][0]["compress"] = "zstd"


def killed_in(hub, gate, request_: str) -> None:
    gate.wanted = KILLED[request_]
    hub.start()
    assert gate.met.wait(120), hub.log_text()
    hub.kill()
    second = int(time.time())
    wait_for(lambda: int(time.time()) > second, "another second, and so another name", 5)


def good_again(hub, known: bool = False) -> None:
    """Up to the next good backup; known: one that lies there is as good."""
    before = hub.log_text().count("backup done")
    hub.start()
    hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, 120, destination="off-site")
    if not known:
        hub.wait_log("backup done", before + 1, 120)
    hub.wait_idle(120)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("request_", KILLED)
def test_killed_in_a_request(site, sender, small, gate, request_, done):  # noqa: F811
    if request_ == "put":
        few(sender, small)
    killed_in(sender, gate, request_)
    gate.opened.set()
    assert gate.passed.wait(60), "the server carries out what reached it, whoever has gone"
    recorded, nameless = names(site)
    if done:
        assert bool(nameless) == (request_ in ("complete", "put")) and bool(recorded) == (request_ == "record")
    good_again(sender, known=bool(recorded))
    assert names(site)[1] == [] and site.client.uploads() == []
    assert names(site)[0] == recorded if recorded else len(names(site)[0]) == 1, "what has its record stays, and is good"
    log = sender.stop().log
    assert ("removed an object that an interrupted backup left" in log) == bool(nameless)
    assert recorded == [] or waits(sender) == []


@pytest.mark.parametrize("done", [False])
def test_what_comes_after_the_next_start_is_found_by_a_later_one(site, sender, small, gate, done):  # noqa: F811
    """A server that is slow, a hub that is quick."""
    few(sender, small)
    gate.seconds = 600
    killed_in(sender, gate, "put")
    good_again(sender)
    sender.stop()
    assert names(site)[1] == [] and len(waits(sender)) == 1, "nothing came so far"
    gate.opened.set()
    assert gate.passed.wait(60)
    nameless = names(site)[1]
    good_again(sender, known=True)
    assert names(site)[1] == []
    log = sender.stop().log
    assert ("removed an object that an interrupted backup left" in log) == bool(nameless)


@pytest.mark.parametrize("done", [True])
def test_what_another_wrote_under_that_name_stays_and_holds_nothing_up(site, sender, gate, done):  # noqa: F811
    killed_in(sender, gate, "complete")
    gate.opened.set()
    assert gate.passed.wait(60)
    key = PREFIX + names(site)[1][0]
    site.client.put(key, b"another hub's")
    good_again(sender)
    assert site.client.read(key) == b"another hub's" and key.removeprefix(PREFIX) in names(site)[1]
    assert "backup failed" not in sender.stop().log


@pytest.mark.parametrize("done", [True])
def test_credentials_that_only_write_leave_it_and_say_so(site, sender, gate, done):  # noqa: F811
    site.s3.denied = NOT_PUT
    killed_in(sender, gate, "complete")
    gate.opened.set()
    assert gate.passed.wait(60)
    objects = site.s3.store.buckets["backups"].objects
    (left,) = objects
    good_again(sender)
    log = sender.stop().log
    assert left in objects and left + ".json" not in objects and len(objects) == 3
    assert log.count("cannot tell whether an interrupted backup left an object") == 1
