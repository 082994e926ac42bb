"""ObsykAgents of a real control plane: conditions, status, credentials, settings that change, agents that come and go."""
from __future__ import annotations

import json
import re
import time

import pytest

from peers.kube import ControlPlane
from peers.kubefill import fill, remove
from peers.kubekinds import KINDS
from peers.platform import Keys, Platform
from peers.proc import wait_for
from peers.streaming import SECRET, SPACE

pytestmark = pytest.mark.cluster
PODS = 40


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane")) as made:
        fill(made, PODS)
        yield made


def test_conditions_and_status(stream, plane):
    s = stream(source="crd")
    s.hub.start()
    s.agent(syncInterval="2s")
    s.wait_reason("AgentHealthy")
    s.settle()
    resource = s.resource()
    status = resource["status"]
    assert {(one["type"], one["status"], one["reason"]) for one in status["conditions"]} == {
        ("Available", "True", "AgentRunning"), ("Syncing", "True", "SyncActive"), ("Degraded", "False", "AgentHealthy")}
    assert all(one["observedGeneration"] == resource["metadata"]["generation"] for one in status["conditions"])
    assert status["clusterUID"] == plane.cluster_uid() and status["observedGeneration"] == resource["metadata"]["generation"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", status["lastSnapshotTime"]) and status["lastSyncTime"] >= status["lastSnapshotTime"]
    names = {"Pod": "pods", "PersistentVolumeClaim": "pvcs", "NetworkPolicy": "networkPolicies", "ClusterRoleBinding": "clusterRoleBindings"}
    s.wait(lambda: all(s.resource()["status"]["resourceCounts"].get(name) == len(plane.objects(kind)) for kind, name in names.items()), "the counts")
    printed = plane.kubectl("get", "oa", "-n", SPACE).stdout.decode().splitlines()
    assert printed[0].split() == ["NAME", "CLUSTER", "PLATFORM", "LAST", "SYNC", "AGE"] and printed[1].split()[:3] == ["oslo", "oslo", s.platform.url]


def test_the_status_is_not_written_when_only_a_time_changed(stream, plane):
    """Its resourceVersion stays while heartbeats come; a write of it would also wake us again (X-22)."""
    s = stream(source="crd")
    s.hub.start()
    s.agent(syncInterval="1s")
    s.wait_reason("AgentHealthy")
    s.settle()
    beats = s.platform.count("heartbeats")

    def quiet() -> bool:
        """Counts of other tests' objects may still change: then it is written, once an interval."""
        nonlocal beats
        before = s.resource()
        beats = s.platform.count("heartbeats")
        s.platform.wait_count("heartbeats", beats + 5)
        after = s.resource()
        if before["status"]["resourceCounts"] != after["status"]["resourceCounts"]:
            return False
        assert before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"], (before["status"], after["status"])
        return True
    wait_for(quiet, "five heartbeats in a quiet cluster", 180)


def test_credentials(stream, plane, tmp_path):
    """No Secret, a broken one, a wrong key, the right one, and another right one: conditions each time, and then it streams."""
    s = stream(source="crd")
    other = Keys(tmp_path, "other")
    plane.kubectl("delete", "secret", SECRET, "-n", SPACE)
    s.hub.start()
    s.agent(syncInterval="1s")
    assert SECRET in s.wait_reason("AuthenticationError")
    s.secret(b"no key at all\n")
    s.wait(lambda: "private_key" in s.condition("Degraded")[2], "the broken key told of", 180)
    s.secret(other.sec1.read_bytes())
    s.wait_reason("SnapshotFailed", seconds=120)
    for line in other.sec1.read_text().splitlines()[1:-1] + s.platform.keys.sec1.read_text().splitlines()[1:-1]:
        assert line not in json.dumps(s.resource()) and line not in s.hub.log_text()
    began = time.monotonic()
    s.secret()
    s.wait_reason("AgentHealthy", seconds=150)
    print(f"ingest: the right key in force after {time.monotonic() - began:.1f} s")
    assert s.platform.problems() and all("signature" in one for one in s.platform.problems()), s.platform.problems()
    s.platform.clear("problems")  # not before: until the Secret is read again the wrong key is tried again
    s.settle()
    began = time.monotonic()
    s.platform.client(public_key=other.public)
    s.platform.expire_tokens()
    s.secret(other.pkcs8.read_bytes())
    plane.create_pods(1, prefix="rekeyed")
    s.law.holds(180, clean=False)
    print(f"ingest: a replaced Secret in force after {time.monotonic() - began:.1f} s")
    remove(plane, "Pod", [("default", "rekeyed-0")])
    s.law.holds(clean=False)
    assert all("signature" in one for one in s.platform.problems()), s.platform.problems()


def test_settings_change_live(stream, plane, holdfast, tmp_path, ca):
    """clusterName, syncInterval, rateLimit and platformURL: each in force at once; the first and the last with a fresh snapshot."""
    s = stream(source="crd")
    s.hub.start()
    s.agent()
    s.wait_reason("AgentHealthy")
    s.agent(clusterName="bergen", syncInterval="1h")
    s.platform.wait_count("snapshots", 2)
    assert s.platform.snapshots()[-1]["said"]["cluster_name"] == "bergen"
    s.agent(clusterName="bergen", syncInterval="1s")
    s.platform.wait_count("heartbeats", 2)
    s.agent(clusterName="bergen", rateLimit={"eventsPerSecond": 5, "burstSize": 1})
    s.wait(lambda: s.resource()["status"]["observedGeneration"] == s.resource()["metadata"]["generation"], "observed")
    began, before = time.monotonic(), s.platform.count("events")
    named = [("default", one["metadata"]["name"]) for one in plane.create_pods(20, prefix="slow")]
    s.platform.wait_count("events", before + 15, 180)
    took = time.monotonic() - began
    assert took > 1.5, f"15 events in {took} s at 5 a second"
    s.agent(clusterName="bergen")
    s.law.holds()
    assert s.platform.count("snapshots") == 2
    with Platform(tmp_path / "second", tls=ca.server("second")) as second:
        second.client(public_key=s.platform.keys.public)
        s.agent(clusterName="bergen", platformURL=second.url)
        second.wait_count("snapshots", 1)
        remove(plane, "Pod", named)
        s.law.platform = second
        s.law.holds()
        gone = {name for _, name in named}
        assert not [one for one in s.platform.delivered() if one["type"] == "deleted" and one["name"] in gone], "the old platform hears no more"
        s.hub.stop()


def test_deleted_and_made_again(stream, plane):
    """A new ObsykAgent of the same name is another: a snapshot, its own settings, also when nobody saw the time between."""
    s = stream(source="crd")
    s.hub.start()
    s.agent()
    s.wait_reason("AgentHealthy")
    plane.kubectl("delete", "oa", "oslo", "-n", SPACE)
    s.wait(lambda: not s.status()["agents"], "the agent gone")
    plane.create_pods(1, prefix="unheard")
    s.agent()
    s.wait_reason("AgentHealthy")
    s.law.holds()
    assert s.platform.count("snapshots") == 2
    s.hub.pause()
    plane.kubectl("delete", "oa", "oslo", "-n", SPACE)
    s.agent(clusterName="narvik")
    s.hub.resume()
    s.wait_reason("AgentHealthy")
    s.wait(lambda: s.platform.snapshots()[-1]["said"]["cluster_name"] == "narvik", "its own name")
    remove(plane, "Pod", [("default", "unheard-0")])
    s.law.holds()


def test_too_many_agents(stream, plane):
    """edge16 follows one; the second is told so, and follows when there is room."""
    s = stream(source="crd", profile="edge16")
    s.hub.start()
    s.agent("oslo")
    s.wait_reason("AgentHealthy")
    s.agent("extra", clusterName="extra")
    assert "1 ObsykAgent" in s.wait_reason("TooManyAgents", "extra")
    assert s.condition("Available")[0] == "True"
    plane.kubectl("delete", "oa", "oslo", "-n", SPACE)
    s.wait_reason("AgentHealthy", "extra")
    s.wait(lambda: s.platform.snapshots()[-1]["said"]["cluster_name"] == "extra", "its snapshot")
    s.law.holds()


def test_two_agents_two_platforms(stream, plane, tmp_path, ca):
    s = stream(source="crd")
    with Platform(tmp_path / "second", tls=ca.server("second")) as second:
        second.client(public_key=s.platform.keys.public)
        s.hub.start()
        s.agent("oslo")
        s.wait_reason("AgentHealthy", "oslo")
        s.agent("bergen", platformURL=second.url, clusterName="bergen")
        s.wait_reason("AgentHealthy", "bergen")
        second.down()
        named = [("default", one["metadata"]["name"]) for one in plane.create_pods(10, prefix="both")]
        s.law.holds()
        remove(plane, "Pod", named[:5])
        s.law.holds()
        assert s.platform.count("snapshots") == 1, "the one does not wait for the other"
        second.up()
        s.law.platform = second
        print(f"ingest: the second platform, back again, has it after {s.law.holds(120):.1f} s")
        remove(plane, "Pod", named[5:])
        s.law.holds()
        s.hub.stop()


def test_a_bad_sync_interval(stream, plane):
    """The schema takes any text: the agent says what is wrong, and follows once it is right (L27)."""
    s = stream(source="crd")
    s.hub.start()
    s.agent(syncInterval="nonsense")
    assert "syncInterval" in s.wait_reason("InvalidSpec")
    s.agent(syncInterval="90s")
    s.wait_reason("AgentHealthy")
    s.agent(syncInterval="ten minutes")
    assert "syncInterval" in s.wait_reason("InvalidSpec")
    s.agent(syncInterval="0")
    s.wait_reason("AgentHealthy")
    s.law.holds()
