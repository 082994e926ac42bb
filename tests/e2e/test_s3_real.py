"""The whole life of a backup off-site, on S3 servers by others, over TLS: there and back, on schedule, pruned, rehearsed; and what
happens when the hub or the server is killed or stopped in the middle, or two hubs meet at one name."""
from __future__ import annotations

import json
import threading
import time

import pytest

from peers.agebox import AgeKey
from peers.backup import Outcome, now
from peers.catalogue import listed
from peers.etcd import Etcd, restore
from peers.faulty import Faults, Proxy
from peers.offsite import NAME, assert_whole, bytes_in, destination, stored
from peers.proc import wait_for
from peers.s3 import VIRTUAL_NAMES, S3sFs, Versitygw

pytestmark = pytest.mark.cluster
MIB = 1 << 20
SERVERS = {"versitygw": Versitygw, "s3s-fs": S3sFs}
MORE_THAN_A_PART = Faults(stuck_after=20 * MIB)  # of etcd's stream: two thirds


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> AgeKey:
    return AgeKey(tmp_path_factory.mktemp("keys") / "key.txt")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("etcd"), "3.7", server_cert) as member:
        member.start().fill(4000, big=16)  # some 30 MiB, most of which cannot be packed
        yield member


@pytest.fixture(params=[*SERVERS])
def s3(request, tmp_path, ca):
    with SERVERS[request.param](tmp_path / "s3", tls=ca.server("s3", VIRTUAL_NAMES)) as server:
        server.client().make_bucket()
        yield server


@pytest.fixture
def site(make_hub, s3, etcd, key):
    """site(endpoint, folder=True, **of the destination): a hub that goes to that server, sealed and compressed."""
    def make(endpoint: str | None = None, *, folder: bool = False, every: str = "6h", **more):
        hub = make_hub(endpoints=[endpoint or etcd.url], every=every, **({} if endpoint is None else {"client": None}))
        local = hub.config["backup"]["destinations"][:1] if folder else []
        hub.config["backup"]["destinations"] = [*local, destination(s3, hub.folder, key, **{"retention": {"last": 9}, **more})]
        return hub
    return make


def of(records: list[dict]) -> dict:
    (found,) = [record for record in records if record["destination"] == NAME]
    return found


def taken(hub) -> dict:
    done = now(hub, "-o", "json")
    assert (done.code, done.said) == (0, "")
    return of(json.loads(done.out))


def told(hub, *words: object, code: int = 0):
    done = hub.command(*words, "-o", "json")
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


LIVES = {  # scratch, a folder first, how the bucket is named: level, why no more
    "stream": (False, False, "path", 2, "no-scratch"),
    "scratch": (True, False, "path", 4, None),
    "copied": (False, True, "path", 4, None),
    "copied, scratch": (True, True, "path", 4, None),
    "virtual": (False, False, "virtual", 2, "no-scratch"),
}


@pytest.mark.parametrize("scratch, folder, addressing, level, reason", LIVES.values(), ids=LIVES)
def test_the_whole_life(s3, site, etcd, key, tmp_path, scratch, folder, addressing, level, reason):
    hub = site(folder=folder, addressing=addressing)
    if scratch:
        hub.config["backup"]["verify"] = {"scratch": str(tmp_path / "scratch")}
    looked = told(hub, "doctor")
    assert looked["verdict"] == "good", looked
    records = [taken(hub) for _ in range(3)]
    record = records[-1]
    assert (record["verdict"], record["level"], record["reason"]) == ("good", level, reason)
    assert record["copied_from"] == ("local" if folder else None) and record["etcd_version"] == etcd.version
    assert stored(s3) == [one["name"] for one in records]
    assert_whole(s3, record, key, tmp_path)
    assert [one["name"] for one in listed(hub, "--destination", NAME)] == stored(s3)
    verified = told(hub, "backup", "verify", f"{NAME}/latest", "--identity", key.file)
    assert (verified["verdict"], verified["level"], verified["sha256"]) == ("good", 4 if scratch else 2, record["sha256"])
    comes_back(hub, etcd, key, tmp_path)
    rehearsed(hub, key, scratch)
    hub.config["backup"]["destinations"][-1]["retention"] = {"last": 2}
    gone = told(hub, "backup", "prune", "--destination", NAME)
    assert [(one["name"], one["removed"]) for one in gone] == [(records[0]["name"], True)]
    assert stored(s3) == [one["name"] for one in records[1:]]
    assert not scratch or list((tmp_path / "scratch").iterdir()) == []


def comes_back(hub, etcd, key, tmp_path) -> None:
    out = tmp_path / "out.db"
    back = told(hub, "backup", "restore", f"{NAME}/latest", "--to", out, "--identity", key.file)
    assert back["restored"] and back["backup"]["keys"] == etcd.count()
    with restore(out, tmp_path / "again", "3.7").start() as again:
        assert again.count() == etcd.count()


def rehearsed(hub, key, scratch: bool) -> None:
    """Without the key the stored bytes only."""
    for identity, expected in ((None, ("good", 0, "stored")), (key.file, ("good", 4, None) if scratch else ("good", 2, "no-scratch"))):
        hub.config["backup"]["rehearse"] = {"identity_file": str(identity)} if identity else {}
        found = of(told(hub, "backup", "rehearse", NAME))["rehearsal"]
        assert (found["verdict"], found["level"], found["reason"]) == expected, found
        assert listed(hub, "--destination", NAME)[-1]["rehearsal"] == found


def test_on_schedule_until_stopped(s3, site, key, tmp_path):
    hub = site(every="20s", retention={"last": 2}).start()  # longer than a run takes on a busy machine: none is late, or begins meanwhile
    hub.wait_log("backup done", 3, 120)
    hub.wait_idle()
    ended = hub.stop()
    assert ended.code == 0 and "level=warn" not in ended.log and "level=error" not in ended.log, ended.log
    assert len(stored(s3)) == 2
    for record in listed(hub):
        assert_whole(s3, record, key, tmp_path)


# --- in the middle of an upload: a hub, whose store knows what is under way ---

@pytest.fixture
def slow_site(site, etcd):
    """slow_site(): a hub, and the proxy that it gets etcd's stream through: no more than two thirds, until it is told otherwise."""
    with Proxy(etcd.back_port, down=MORE_THAN_A_PART) as proxy:
        yield lambda: site(f"http://127.0.0.1:{proxy.port}"), proxy


def until_sent(hub, s3, mib: int = 6) -> None:
    """More than a part lies there."""
    empty = bytes_in(s3.data)
    hub.start()
    wait_for(lambda: bytes_in(s3.data) > empty + mib * MIB, "a part that was taken", 120, hub.proc)
    assert stored(s3) == [] and (isinstance(s3, S3sFs) or len(s3.client().uploads()) == 1)  # s3s-fs does not list them


def is_alone_there(s3, record: dict, key, tmp_path) -> None:
    assert stored(s3) == [record["name"]] and (isinstance(s3, S3sFs) or s3.client().uploads() == [])
    assert_whole(s3, record, key, tmp_path)
    assert bytes_in(s3.data) < record["stored_bytes"] + MIB, "parts lie about"


def test_what_a_killed_hub_left_is_aborted_at_the_next_start(s3, slow_site, key, tmp_path):
    make, proxy = slow_site
    hub = make()
    until_sent(hub, s3)
    hub.kill()
    proxy.set(down=Faults())
    hub.start()
    hub.wait_log("backup done", 1, 120)
    hub.wait_idle()
    assert "aborted an upload" in hub.stop().log
    (record,) = listed(hub)
    is_alone_there(s3, record, key, tmp_path)


def test_a_server_that_is_killed_is_told_and_the_next_run_is_good(s3, slow_site, key, tmp_path):
    make, proxy = slow_site
    hub = make()
    until_sent(hub, s3)
    s3.kill()
    proxy.set(down=Faults())
    hub.wait_log("backup failed", 1, 120)
    log = hub.log_text()
    assert "backup done" not in log and f"destination={NAME} " in next(line for line in log.splitlines() if "backup failed" in line)
    assert hub.metric("holdfast_backup_last_success_timestamp_seconds", destination=NAME) == 0
    s3.start()
    hub.wait_log("backup done", 1, 300)  # it tries again by itself
    hub.wait_idle()
    hub.stop()
    hub.start()
    hub.wait_log("backup", 1, 10)
    hub.wait_idle()
    hub.stop()
    (record,) = listed(hub)
    is_alone_there(s3, record, key, tmp_path)


def test_a_server_that_stands_still_ends_the_run_and_not_the_hub(s3, slow_site, key, tmp_path):
    """No part is answered any more; the listener takes connections, as the kernel does it."""
    make, proxy = slow_site
    hub = make()
    hub.config["backup"]["total_timeout"] = "30s"
    until_sent(hub, s3)
    s3.proc.pause()
    proxy.set(down=Faults())
    try:
        hub.wait_log("backup failed", 1, 90)  # of one part alone the tries would last longer
        assert hub.get("/healthz")[0] == 200 and hub.get("/readyz")[0] == 200
        assert hub.metric("holdfast_pool_written_off") == 0
    finally:
        s3.proc.resume()
    log = hub.stop().log
    assert "backup done" not in log and log.count("backup failed") == 1, log
    hub.start()
    hub.wait_log("backup done", 1, 120)
    hub.wait_idle()
    hub.stop()
    (record,) = listed(hub)
    is_alone_there(s3, record, key, tmp_path)


# --- two hubs ---

def both(hubs: list) -> list[Outcome]:
    done: list = [None] * len(hubs)

    def one(number: int) -> None:
        done[number] = now(hubs[number], "-o", "json", seconds=120)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(hubs))]
    time.sleep(1 - time.time() % 1)  # the same second
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


@pytest.mark.parametrize("s3", ["versitygw"], indirect=True)
def test_two_hubs_never_overwrite_each_other(s3, site, key, tmp_path):
    """versitygw decides under a lock. s3s-fs looks whether a name is taken, then writes for a while, and refuses neither of two that
    come at the same moment: see test_a_server_that_lets_two_write_one_name_gets_names_with_the_hub."""
    hubs, kept = [site(), site()], []
    for _ in range(4):
        done = both(hubs)
        assert [one.code for one in done] == [0, 0], done
        kept += [one.record for one in done]
    names = sorted(record["name"] for record in kept)
    assert len(set(names)) == 8 and stored(s3) == names
    for record in kept:
        assert_whole(s3, record, key, tmp_path)
