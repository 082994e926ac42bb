"""The ingest agent against a real control plane and the platform's strict double: what is streamed, and what ObsykAgents say."""
from __future__ import annotations

import json
import re
import time

import pytest

from peers.kube import ControlPlane
from peers.kubefill import bump, fill, make, remove
from peers.kubekinds import KINDS
from peers.platform import Keys, Platform
from peers.proc import wait_for
from peers.streaming import SECRET, SPACE, Stream

pytestmark = pytest.mark.cluster
PODS = 40
BOARDS = ["edge16", "hub32"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as made:
        fill(made, PODS)
        yield made


@pytest.fixture
def stream(holdfast, tmp_path, plane, ca):
    """stream(**options of Stream): entered, left after the test."""
    open_ones = []

    def enter(**how):
        made = Stream(holdfast, tmp_path / f"stream{len(open_ones)}", plane, ca, **how)
        open_ones.append(made)
        return made.__enter__()

    yield enter
    for one in reversed(open_ones):
        one.__exit__()


def kubectl_story(plane, space):
    """Created, changed and deleted by stock kubectl, of several kinds at once."""
    plane.kubectl("create", "namespace", space)
    plane.kubectl("create", "deployment", "web", "--image=registry.example/web:1", "--replicas=3", "-n", space)
    plane.kubectl("create", "configmap", "conf", "--from-literal=a=1", "-n", space)
    plane.kubectl("create", "secret", "generic", "key", "--from-literal=a=1", "-n", space)
    plane.kubectl("expose", "deployment", "web", "--port=80", "-n", space)
    plane.kubectl("create", "cronjob", "nightly", "--image=registry.example/web:1", "--schedule=0 3 * * *", "-n", space)
    plane.kubectl("create", "role", "reader", "--verb=get", "--resource=pods", "-n", space)
    plane.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default", "-n", space)
    plane.kubectl("create", "ingress", "web", "--rule=web.example.org/*=web:80", "-n", space)
    yield
    plane.kubectl("label", "deployment", "web", "tier=front", "-n", space)
    plane.kubectl("set", "image", "deployment/web", "web=registry.example/web:2", "-n", space)
    plane.kubectl("patch", "configmap", "conf", "--type=merge", "-p", '{"data":{"b":"2"}}', "-n", space)
    plane.kubectl("annotate", "service", "web", "note=x", "-n", space)
    yield
    plane.kubectl("delete", "namespace", space)  # until it is gone
    yield


@pytest.mark.parametrize("profile", BOARDS)
@pytest.mark.parametrize("source", ["config", "crd"])
def test_the_law(stream, plane, source, profile):
    s = stream(source=source, profile=profile)
    s.hub.start()
    if source == "crd":
        s.agent()
    first = s.law.holds()
    assert s.platform.count("snapshots") == 1 and s.platform.count("added_known") == 0, "what was listed is not told again"
    for at, _ in enumerate(kubectl_story(plane, f"story-{source}-{profile}")):
        s.law.holds()
        assert s.platform.count(("added", "modified", "deleted")[at]) > 0
    prefix = f"b{profile}{source}"
    filled = fill(plane, 20, prefix=prefix)
    s.law.holds()
    for version in (2, 3):
        for kind, named in filled.named.items():
            bump(plane, kind, named, version)
    bulk = s.law.holds()
    for kind in reversed([kind for kind in filled.named if kind != "Namespace"]):
        remove(plane, kind, filled.named[kind])
    s.settle()
    told = s.platform.delivered()
    assert {one["kind"] for one in told if one["type"] == "added"} == set(KINDS) == {one["kind"] for one in told if one["type"] == "modified"}
    assert s.platform.count("snapshots") == 1 and s.platform.count("modified_unknown") == 0
    again = [one for one in told if one.get("repeat")]
    assert len(again) <= 2 and s.platform.count("deleted_unknown") == 0, again  # what went back to an earlier state looks like one
    s.tell(f"law {source} {profile}", first_s=round(first, 2), bulk_s=round(bulk, 2), rss_anon=s.hub.watch.usage.anon_peak)
    ended = s.hub.stop()
    assert ended.code == 0 and ended.seconds < 7, ended
    s.platform.assert_clean()


def test_each_change_arrives(stream, plane):
    """With nothing coalesced, 20 changes of an object are 20 events, in order."""
    s = stream()
    s.hub.start()
    s.law.holds()
    body = plane.client.create("ConfigMap", make("ConfigMap", 0, "default", prefix="each"))
    for version in range(2, 22):
        bump(plane, "ConfigMap", [("default", "each0")], version)
        s.wait(lambda: s.platform.state("ConfigMap").get(body["metadata"]["uid"], {}).get("labels", {}).get("holdfast.test/version") == str(version),
               f"version {version}", 20)
    told = [one for one in s.platform.delivered() if one["uid"] == body["metadata"]["uid"]]
    assert [(one["type"], one["version"]) for one in told] == [("added", 1)] + [("modified", version) for version in range(2, 22)]
    remove(plane, "ConfigMap", [("default", "each0")])
    s.settle()


def test_kinds_can_be_switched_off(stream, plane):
    s = stream(kinds=["Pod", "ConfigMap", "Namespace"], cluster_uid=plane.cluster_uid())
    s.settings["kinds"] = ["Pod", "ConfigMap"]
    s.law.kinds = ["Pod", "ConfigMap"]
    s.hub.start()
    s.law.holds()
    plane.kubectl("create", "secret", "generic", "unseen", "--from-literal=a=1", "-n", "default")
    made = plane.create_pods(2, prefix="seen")
    plane.kubectl("delete", "secret", "unseen", "-n", "default")
    remove(plane, "Pod", [("default", one["metadata"]["name"]) for one in made])
    s.settle()
    assert all(not s.platform.state(kind) for kind in KINDS if kind not in ("Pod", "ConfigMap"))
    asked = {one["requestURI"].partition("?")[0] for one in plane.asked(s.user)}
    assert asked == {"/api/v1/pods", "/api/v1/configmaps"}, asked
    s.hub.stop()


def test_event_types_upper(stream, plane):
    s = stream(event_types="upper")
    s.platform.expect(event_types="upper")
    s.hub.start()
    s.law.holds()
    plane.create_pods(1, prefix="upper")
    bump(plane, "Pod", [("default", "upper-0")])
    s.law.holds()
    remove(plane, "Pod", [("default", "upper-0")])
    s.settle()
    assert s.platform.count("added") and s.platform.count("deleted")


@pytest.mark.parametrize("suppressed", [True, False])
def test_suppress_unchanged(stream, plane, suppressed):
    """A ConfigMap's value is nothing that leaves the cluster; a change of it is an event only if so wished."""
    s = stream(suppress_unchanged=suppressed, kinds=["ConfigMap", "Namespace"])
    s.settings["kinds"], s.law.kinds = ["ConfigMap"], ["ConfigMap"]
    s.hub.start()
    name = f"quiet-{suppressed}".lower()
    body = plane.client.create("ConfigMap", {"metadata": {"name": name, "namespace": "default"}, "data": {"a": "0"}})
    s.law.holds()
    for at in range(1, 4):
        before = s.hub.metric("holdfast_ingest_changes_total")
        plane.client.patch("ConfigMap", name, {"data": {"a": str(at)}}, "default")
        s.hub.wait_metric("holdfast_ingest_changes_total", lambda now: now > before)
    plane.client.patch("ConfigMap", name, {"data": {"b": "1"}}, "default")
    s.settle()
    told = [one["type"] for one in s.platform.delivered() if one["uid"] == body["metadata"]["uid"]]
    changed = told.count("modified")
    assert changed == 1 if suppressed else 2 <= changed <= 4, told  # not suppressed they may coalesce
    assert s.platform.count("unchanged") == 0 or not suppressed
    assert s.hub.metric("holdfast_ingest_changes_suppressed_total") == (3 if suppressed else 0)


def test_heartbeats_come_by_the_clock(stream, plane):
    """Also in a busy cluster: one each interval, no more (X-21)."""
    s = stream(sync_interval="2s")
    s.hub.start()
    s.law.holds()
    s.platform.wait_count("heartbeats", 1)
    began, before, version = time.monotonic(), s.platform.count("heartbeats"), 1
    plane.create_pods(1, prefix="busy")
    while time.monotonic() - began < 10.5:
        version += 1
        bump(plane, "Pod", [("default", "busy-0")], version)
    beats, seconds = s.platform.count("heartbeats") - before, time.monotonic() - began
    remove(plane, "Pod", [("default", "busy-0")])
    print(f"ingest: {beats} heartbeats in {seconds:.1f} s with {version} changes")
    assert abs(beats - seconds / 2) <= 1.5
    s.settle()


def test_environment_auto(stream, plane):
    plane.create_node("cloudy", **{"topology.kubernetes.io/region": "eu-north-1"})
    plane.client.patch("Node", "cloudy", {"spec": {"providerID": "aws:///eu-north-1a/i-1"}})
    s = stream(environment="auto", agent_version="v9.9-test")
    s.hub.start()
    s.law.holds()
    said = s.platform.snapshots()[-1]["said"]
    version = plane.client.call("GET", "/version")["gitVersion"].lstrip("v")
    assert said == {"cluster_uid": plane.cluster_uid(), "cluster_name": "oslo", "kubernetes_version": version, "platform": "eks",
                    "region": "eu-north-1", "agent_version": "v9.9-test"}
    asked = [one["requestURI"] for one in plane.asked(s.user)]
    assert asked.count("/version") == 1 or any(uri.startswith("/version") for uri in asked)
    plane.client.delete("Node", "cloudy")
    s.settle()


# --- who asks what ---

def lists_and_watches(kinds):
    return {(verb, KINDS[kind].path()) for kind in kinds for verb in ("list", "watch")}


@pytest.mark.parametrize("source", ["config", "crd"])
def test_what_is_asked_of_the_api_server(stream, plane, source):
    """Issue point 5: no more than this. The audit log is the API server's."""
    s = stream(source=source)
    s.hub.start()
    if source == "crd":
        s.agent()
        s.wait_reason("AgentHealthy")
    s.settle()
    s.hub.stop()
    asked = plane.asked(s.user)
    told = {(one["verb"], one["requestURI"].partition("?")[0]) for one in asked}
    wanted = lists_and_watches(KINDS)
    if source == "crd":
        agents, secret = "/apis/obsyk.io/v1/obsykagents", f"/api/v1/namespaces/{SPACE}/secrets/{SECRET}"
        lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        wanted |= {("list", agents), ("watch", agents), ("get", secret), ("patch", f"/apis/obsyk.io/v1/namespaces/{SPACE}/obsykagents/oslo/status")}
        leases = {one for one in told if one[1].startswith(lease)}
        assert leases, "one replica acts"
        told -= leases
    assert told == wanted, sorted(told ^ wanted)
    by_name = [one for one in asked if "metadata.name" in one["requestURI"]]
    assert len(by_name) == 1 and by_name[0]["requestURI"].startswith("/api/v1/namespaces?"), "the cluster's UID, once"
    lists = [one for one in asked if one["verb"] == "list" and "fieldSelector" not in one["requestURI"]]
    assert all(re.search(r"[?&]limit=\d+", one["requestURI"]) for one in lists), "lists come in pages"
    assert all(one["code"] in (200, 201, 404) for one in asked), [one for one in asked if one["code"] not in (200, 201, 404)]
    assert {one["userAgent"].partition("/")[0] for one in asked} == {"holdfast"}


# --- ObsykAgents ---

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
    counts = {kind: len(plane.objects(kind)) for kind in KINDS}
    names = {"Pod": "pods", "PersistentVolumeClaim": "pvcs", "NetworkPolicy": "networkPolicies", "ClusterRoleBinding": "clusterRoleBindings"}
    s.wait(lambda: all(s.resource()["status"]["resourceCounts"].get(name) == counts[kind] for kind, name in names.items()), "the counts")
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
    wait_for(quiet, "five heartbeats in a quiet cluster", 60)


def test_credentials(stream, plane, tmp_path):
    """No Secret, a broken one, a wrong key, the right one, and another right one: conditions each time, and then it streams."""
    s = stream(source="crd")
    other = Keys(tmp_path, "other")
    plane.kubectl("delete", "secret", SECRET, "-n", SPACE)
    s.hub.start()
    s.agent(syncInterval="1s")
    assert SECRET in s.wait_reason("AuthenticationError")
    s.secret(b"no key at all\n")
    s.wait(lambda: "private_key" in s.condition("Degraded")[2], "the broken key told of", 90)
    s.secret(other.sec1.read_bytes())
    s.wait_reason("SnapshotFailed", seconds=120)
    for line in other.sec1.read_text().splitlines()[1:-1] + s.platform.keys.sec1.read_text().splitlines()[1:-1]:
        assert line not in json.dumps(s.resource()) and line not in s.hub.log_text()
    assert s.platform.problems() and all("signature" in one for one in s.platform.problems()), s.platform.problems()
    s.platform.clear("problems")
    began = time.monotonic()
    s.secret()
    s.wait_reason("AgentHealthy", seconds=150)
    print(f"ingest: the right key in force after {time.monotonic() - began:.1f} s")
    s.settle()
    began = time.monotonic()
    s.platform.client(public_key=other.public)
    s.platform.expire_tokens()
    s.secret(other.pkcs8.read_bytes())
    plane.create_pods(1, prefix="rekeyed")
    s.law.holds(150, clean=False)
    print(f"ingest: a replaced Secret in force after {time.monotonic() - began:.1f} s")
    remove(plane, "Pod", [("default", "rekeyed-0")])
    s.law.holds(30, clean=False)
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
    named = [("default", one["metadata"]["name"]) for one in plane.create_pods(20, prefix="slow")]
    began, before = time.monotonic(), s.platform.count("events")
    s.platform.wait_count("events", before + 15, 60)
    took = time.monotonic() - began
    assert took > 1.5, f"15 events in {took} s at 5 a second"
    s.agent(clusterName="bergen")
    s.law.holds()
    assert s.platform.count("snapshots") == 2
    with Platform(tmp_path / "second", tls=ca.server("second")) as second:
        second.client(public_key=s.platform.keys.public)
        events = s.platform.count("events")
        s.agent(clusterName="bergen", platformURL=second.url)
        second.wait_count("snapshots", 1)
        remove(plane, "Pod", named)
        s.law.platform = second
        s.law.holds()
        assert s.platform.count("events") == events, "the old platform hears no more"
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
