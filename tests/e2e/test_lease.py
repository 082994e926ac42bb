"""Two replicas and one Lease, with a real API server: whoever leads is stopped, killed or ended, the other takes over with a fresh snapshot, and
nothing of the old one comes to the platform after the new one's first word. The double tells them apart by their agent_version."""
from __future__ import annotations

import itertools
import time

import pytest

from peers.hub import Hub
from peers.kube import ControlPlane
from peers.kubefill import bump, fill, remove
from peers.proc import wait_for

pytestmark = pytest.mark.cluster
LEASE, SPACE = "obsyk-operator.obsyk.io", "default"  # of a kubeconfig that names none
LEASE_S, RETRY_S = 15, 2.4  # net/api/kube/lease.h


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=1) as made:
        yield made


@pytest.fixture(scope="module")
def filled(plane):
    return fill(plane, 50, running=False)


_versions = itertools.count(2)


def change(plane, filled):
    """Every pod, to a version that none had before: the double knows a state that is older than another."""
    bump(plane, "Pod", filled.named["Pod"], next(_versions))


@pytest.fixture
def pair(request, stream, plane, filled, tmp_path):
    """The one that leads, and the one that waits; by name. With a parameter "shared": both in one spool's folder."""
    spool = {"spool": {"path": str(tmp_path / "spool")}} if getattr(request, "param", "") == "shared" else {}
    s = stream(source="crd", agent_version="one", **spool)
    s.agent()
    two = Hub(s.hub.binary, tmp_path / "two", profile="hub32", limited=True)
    two.config = {**s.hub.config, "data": str(tmp_path / "two" / "data"), "listen": two.config["listen"],
                  "ingest": {**s.settings, "agent_version": "two"}}
    s.hub.start()
    s.law.holds()
    two.start()
    two.wait_log("waits for the Lease")
    yield s, s.hub, two
    two.close()


def said(s, status=range(200, 300)):
    """Who was heard, in the order in which it took effect."""
    return [one["by"] for one in s.platform.journal() if one["path"] != "token" and one["status"] in status]


def holder(plane):
    return plane.kubectl_json("get", "lease", LEASE, "-n", SPACE)["spec"].get("holderIdentity", "")


def taken_over(s, name, seconds=120):
    """Until that one told its snapshot."""
    return wait_for(lambda: name in said(s), f"a snapshot of {name}", seconds, every=0.05)


def once(s, *order):
    """Each spoke in its turn and never again after the next one."""
    heard = said(s)
    turns = [who for at, who in enumerate(heard) if at == 0 or heard[at - 1] != who]
    assert turns == list(order), f"they spoke in the order {turns}"


def test_one_that_is_stopped_says_nothing_more(plane, filled, pair):
    s, one, two = pair
    one.pause()
    began = time.monotonic()
    change(plane, filled)  # the first thing that it will read
    taken_over(s, "two")
    took = time.monotonic() - began
    change(plane, filled)
    s.law.holds()
    leader = holder(plane)
    one.resume()
    one.wait_log("nothing is streamed")
    one.wait_log(f"held by {leader}")
    change(plane, filled)
    s.law.holds()
    assert holder(plane) == leader
    once(s, "one", "two")
    assert one.metric("holdfast_ingest_leading") == 0
    print(f"ingest: SIGSTOP of the leader: the other one's snapshot after {took:.1f} s (the Lease lasts {LEASE_S}, looked at each {RETRY_S})")
    two.stop()  # gives it back: the first one leads again, and begins anew
    wait_for(lambda: said(s)[-1] == "one", "the first one's snapshot", 120)
    change(plane, filled)
    s.law.holds()
    once(s, "one", "two", "one")


@pytest.mark.parametrize("pair", ["shared"], indirect=True)
def test_one_that_is_stopped_keeps_the_spool_they_share(plane, filled, pair, tmp_path):
    """The other one has the Lease and not the lock: it says whose it is and what to do, and streams when the stopped one goes on or leads."""
    s, one, two = pair
    one.pause()
    holds = f"process {one.proc.pid} holds {tmp_path}/spool/ingest.lock"
    two.wait_log("let it go on if it is stopped or frozen, or end it: " + holds)
    wait_for(lambda: holds in two.get("/readyz?verbose")[1].decode(), "that it is told where one looks", 60)  # between two tries
    assert two.metric("holdfast_ingest_leading") == 0
    change(plane, filled)
    one.resume()
    s.law.holds()
    one.stop()
    change(plane, filled)
    s.law.holds()
    assert said(s)[-1] == "two"


def steps_down(s, one, two, plane, filled):
    """One goes on after two has taken over: it learns that, and has told nothing since."""
    taken_over(s, "two")
    change(plane, filled)
    s.law.holds()
    leader = holder(plane)
    one.resume()
    one.wait_log(f"held by {leader}")
    change(plane, filled)
    s.law.holds()
    once(s, "one", "two")


def stopped_with_events_waiting(s, one, plane, filled):
    """While the platform fails, so that they wait for their next try, which is long due when it goes on."""
    s.platform.fault({"path": "events", "status": 503})
    change(plane, filled)
    wait_for(lambda: said(s, [503]).count("one") >= 10, "tries that failed", 90)
    one.pause()
    s.platform.fault()


def test_what_it_would_try_again_is_not_told(plane, filled, pair):
    s, one, two = pair
    stopped_with_events_waiting(s, one, plane, filled)
    steps_down(s, one, two, plane, filled)


def test_half_a_snapshot_is_not_ended(plane, filled, pair):
    """Stopped in the middle of a snapshot that the platform is slow to read: more than its window holds, so the end was not sent."""
    s, one, two = pair
    long = [("default", f"long-{at}") for at in range(30)]
    for space, name in long:
        plane.client.create("ConfigMap", {"metadata": {"name": name, "namespace": space, "annotations": {"a": "x" * 60000}}})
    s.law.holds()
    before = s.platform.count("snapshots")
    s.platform.fault({"path": "snapshot", "hold": 100_000})
    s.agent(clusterName="bergen")
    s.platform.wait_count("held", 1, 120)
    one.pause()
    s.platform.fault()
    steps_down(s, one, two, plane, filled)
    assert s.platform.count("snapshots") == before + 1, "the second one's, and not the first one's"
    remove(plane, "ConfigMap", long)


def test_one_that_is_killed(plane, filled, pair):
    s, one, two = pair
    one.kill()
    began = time.monotonic()
    change(plane, filled)
    taken_over(s, "two")
    print(f"ingest: SIGKILL of the leader: the other one's snapshot after {time.monotonic() - began:.1f} s")
    s.law.holds()
    once(s, "one", "two")


def test_one_that_ends_gives_it_back(plane, filled, pair):
    s, one, two = pair
    leader = holder(plane)
    one.stop()
    began = time.monotonic()
    assert holder(plane) != leader
    taken_over(s, "two")
    print(f"ingest: SIGTERM of the leader: the other one's snapshot after {time.monotonic() - began:.1f} s")
    s.law.holds()
    once(s, "one", "two")


def test_one_that_missed_that_another_led_begins_anew(plane, filled, pair):
    """It wins the Lease again in the moment in which it goes on: its first word is a snapshot, not what it did not get told before."""
    s, one, two = pair
    stopped_with_events_waiting(s, one, plane, filled)
    taken_over(s, "two")
    change(plane, filled)
    s.law.holds()
    two.stop()
    one.resume()
    wait_for(lambda: said(s)[-1] == "one", "the first one's word", 120)
    change(plane, filled)
    s.law.holds()
    once(s, "one", "two", "one")
    heard = [word for word in s.platform.journal() if word["path"] != "token" and word["status"] in range(200, 300)]
    first = heard[1 + max(at for at, word in enumerate(heard) if word["by"] == "two")]
    assert first["path"] == "snapshot", first
