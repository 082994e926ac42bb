"""The ingest agent against a real control plane and the platform's strict double: what is streamed, and what is
asked for it."""
from __future__ import annotations

import re
import time

import pytest

from peers.kube import ControlPlane
from peers.kubefill import bump, fill, make, remove
from peers.kubekinds import KINDS
from peers.streaming import SECRET, SPACE

pytestmark = pytest.mark.cluster
PODS = 40
STOP_S_MAX = 15  # nothing waits: at once; 5 s are what it may take to send the rest
BOARDS = ["edge16", "hub32"]


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as made:
        fill(made, PODS)
        yield made


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
    unknown = {one["uid"] for one in told if one.get("older")} or {one["uid"] for one in told if one["type"] == "modified"} - {
        one["uid"] for one in told if one["type"] == "added"}
    assert s.platform.count("snapshots") == 1 and s.platform.count("modified_unknown") == 0, [one for one in told if one["uid"] in unknown]
    again = [one for one in told if one.get("repeat")]
    assert len(again) <= 2 and s.platform.count("deleted_unknown") == 0, again  # what went back to an earlier state looks like one
    s.tell(f"law {source} {profile}", first_s=round(first, 2), bulk_s=round(bulk, 2), rss_anon=s.hub.watch.usage.anon_peak)
    ended = s.hub.stop(60)
    assert ended.code == 0 and ended.seconds < STOP_S_MAX, ended
    s.platform.assert_clean()


def test_each_change_arrives(stream, plane):
    """With nothing coalesced, 20 changes of an object are 20 events, in order."""
    s = stream()
    s.hub.start()
    s.law.holds()
    body = plane.client.create("ConfigMap", make("ConfigMap", 0, "default", prefix="each"))
    for version in range(1, 22):
        if version > 1:
            bump(plane, "ConfigMap", [("default", "each0")], version)
        s.wait(lambda: s.platform.state("ConfigMap").get(body["metadata"]["uid"], {}).get("labels", {}).get("holdfast.test/version") == str(version),
               f"version {version}")
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

    def changed() -> int:
        told = [one["type"] for one in s.platform.delivered() if one["uid"] == body["metadata"]["uid"]]
        return told.count("modified")

    for at in range(1, 4):
        before = s.hub.metric("holdfast_ingest_changes_total")
        plane.client.patch("ConfigMap", name, {"data": {"a": str(at)}}, "default")
        s.hub.wait_metric("holdfast_ingest_changes_total", lambda now: now > before)
        s.wait(lambda: suppressed or changed() == at, "each told before the next, with which it would coalesce")
    plane.client.patch("ConfigMap", name, {"data": {"b": "1"}}, "default")
    s.settle()
    assert changed() == (1 if suppressed else 4), s.platform.delivered()
    assert s.platform.count("unchanged") == 0 or not suppressed
    assert s.hub.metric("holdfast_ingest_changes_suppressed_total") == (3 if suppressed else 0)


def test_heartbeats_come_by_the_clock(stream, plane):
    """Also in a busy cluster: one each interval, no more (X-21)."""
    s = stream(sync_interval="2s")
    s.hub.start()
    s.law.holds()
    s.platform.wait_count("heartbeats", 1)
    version, until = 1, time.monotonic() + 120
    plane.create_pods(1, prefix="busy")
    before = s.platform.count("heartbeats")
    while s.platform.count("heartbeats") < before + 6 and time.monotonic() < until:  # were they put off by changes, none would come
        version += 1
        bump(plane, "Pod", [("default", "busy-0")], version)
    beats = [one["at"] for one in s.platform.journal() if one["path"] == "heartbeat" and one["status"] == 200][before:][:6]
    remove(plane, "Pod", [("default", "busy-0")])
    assert len(beats) == 6, s.hub.log_text()
    print(f"ingest: 6 heartbeats in {beats[-1] - beats[0]:.1f} s with {version} changes")
    assert beats[-1] - beats[0] > 5 * 2 - 2  # the first may be late
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

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


def what_was_asked(plane, user):
    return {(one["verb"], one["requestURI"].partition("?")[0]) for one in plane.asked(user)}


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
    wanted = lists_and_watches(KINDS)
    if source == "crd":
        agents, secret = "/apis/obsyk.io/v1/obsykagents", f"/api/v1/namespaces/{SPACE}/secrets/{SECRET}"
        wanted |= {("list", agents), ("watch", agents), ("get", secret), ("patch", f"/apis/obsyk.io/v1/namespaces/{SPACE}/obsykagents/oslo/status")}
    s.wait(lambda: wanted <= what_was_asked(plane, s.user), "all of it asked for: the snapshot does not wait for the watches")
    asked = [one for one in plane.asked(s.user) if one["code"]]  # what is on its way when it is stopped has no answer
    s.hub.stop()
    told = what_was_asked(plane, s.user)
    if source == "crd":
        leases = {one for one in told if one[1].startswith(LEASES)}
        assert leases, "one replica acts"
        told -= leases
    assert told == wanted, sorted(told ^ wanted)
    by_name = [one for one in asked if "metadata.name" in one["requestURI"]]
    assert len(by_name) == 1 and by_name[0]["requestURI"].startswith("/api/v1/namespaces?"), "the cluster's UID, once"
    lists = [one for one in asked if one["verb"] == "list" and "fieldSelector" not in one["requestURI"]]
    assert all(re.search(r"[?&]limit=\d+", one["requestURI"]) for one in lists), "lists come in pages"
    assert all(one["code"] in (200, 201, 404) for one in asked), [one for one in asked if one["code"] not in (200, 201, 404)]
    assert {one["userAgent"].partition("/")[0] for one in asked} == {"holdfast"}
