"""The control plane and the platform's double are what the tests of the ingest agent take them for."""
from __future__ import annotations

import time

import pytest

from peers.agentclient import AgentClient
from peers.clientgo import ClientGo
from peers.infos import event_body, go_json, info
from peers.kube import ControlPlane
from peers.kube_law import Law, preview_differences
from peers.kubeclient import KubeClient, Refused
from peers.kubeconfig import Login, write_kubeconfig
from peers.kubefill import bump, bump_directly, fill, make, remove
from peers.kubekinds import KINDS
from peers.platform import Platform
from peers.proc import wait_for

pytestmark = pytest.mark.cluster
PODS = 200


# --- the platform's double ---

@pytest.fixture
def platform(tmp_path, server_cert):
    with Platform(tmp_path / "platform", server_cert) as made:
        yield made


@pytest.fixture
def agent(platform):
    return AgentClient(platform)


def a_pod(name: str = "web", version: int = 1) -> dict:
    body = make("Pod", 0, "apps")
    body["metadata"].update(name=name, uid=f"uid-{name}", creationTimestamp="2026-01-02T03:04:05Z")
    body["metadata"]["labels"]["holdfast.test/version"] = str(version)
    return body


def spelled(change: str = "added", **other: object) -> bytes:
    return go_json({**event_body("cluster-1", change, "Pod", a_pod()), **other})


def without(body: dict, *names: str) -> dict:
    return {name: value for name, value in body.items() if name not in names}


POD = info("Pod", a_pod())
MALFORMED = {
    "no JSON": b"{", "two values": spelled() + b"{}", "newline at the end": spelled() + b"\n", "white space": spelled().replace(b",", b", ", 1),
    "unescaped <": spelled().replace(b"\\u003c", b"<"), "upper-case escape": spelled().replace(b"\\u003c", b"\\u003C"),
    "upper-case type": spelled(type="ADDED"), "unknown kind": spelled(kind="ReplicaSet"), "unknown member": spelled(extra=1),
    "object null": spelled("deleted", object=None), "deleted with object": spelled(type="deleted"),
    "added without object": go_json(without(event_body("cluster-1", "added", "Pod", a_pod()), "object")),
    "no namespace": go_json(without(event_body("cluster-1", "added", "Pod", a_pod()), "namespace")),
    "no cluster": spelled(cluster_uid=""), "another uid inside": spelled(uid="other"),
    "members in another order": spelled(object=dict(sorted(POD.items()))),
    "member missing": spelled(object=without(POD, "k8s_created_at")), "null member": spelled(object={**POD, "phase": None}),
    "empty member": spelled(object={**without(POD, "k8s_created_at"), "volumes": [], "k8s_created_at": POD["k8s_created_at"]}),
    "labels unsorted": spelled(object={**POD, "labels": {"b": "1", "a": "1"}}),
    "annotation that must not leave": spelled(object={**POD, "annotations": {"kubectl.kubernetes.io/restartedAt": "x"}}),
    "time with an offset": spelled(object={**POD, "k8s_created_at": "2026-01-02T03:04:05+01:00"}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_event_is_refused(agent, platform, name):
    assert agent.post("events", MALFORMED[name]) in (400, 422)
    assert len(platform.problems()) == 1 and platform.state("Pod") == {}
    assert agent.post("events", spelled()) == 200, "the like of it is taken when it is well formed"


def test_a_good_client_is_not_complained_of(agent, platform):
    bodies = {kind: make(kind, 3, "apps") for kind in KINDS if kind not in ("Namespace", "Node")} | {
        "Namespace": {"metadata": {"name": "apps"}}, "Node": {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"}}}}
    for kind, body in bodies.items():
        body["metadata"].update(uid=f"uid-{kind}", creationTimestamp="2026-01-02T03:04:05Z")
        assert agent.event("added", kind, body) == 200, platform.problems()
    assert agent.snapshot({kind: [body] for kind, body in bodies.items()}) == 200 == agent.heartbeat()
    assert all(platform.state(kind) == {f"uid-{kind}": info(kind, body)} for kind, body in bodies.items())
    assert agent.snapshot({}) == 200 and not any(platform.state(kind) for kind in KINDS)
    platform.assert_clean()


BAD_CLAIMS = {"issuer": {"iss": "other"}, "subject": {"sub": "other"}, "audience as text": {"aud": "https://127.0.0.1"},
              "another audience": {"aud": ["https://other.example"]}, "lives too long": {"exp": 4102444800}, "no UUID": {"jti": "1"},
              "an hour ago": {"iat": 1767323045, "exp": 1767323345}}


@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_a_bad_assertion_gets_no_token(agent, name):
    assert agent.ask_token(agent.assertion(agent.claims(**BAD_CLAIMS[name])))[0] == 400


def test_signature_header_and_reuse_are_checked(agent, platform):
    assert agent.ask_token(agent.assertion(spoil=True))[0] == 400
    assert agent.ask_token(agent.assertion(header={"alg": "none", "typ": "JWT"}))[0] == 400
    good = agent.assertion()
    assert [agent.ask_token(good)[0], agent.ask_token(good)[0]] == [200, 400], "a jti is good once"
    assert "signature" in platform.problems()[0] and "a second time" in platform.problems()[-1]


def test_tokens_end(agent, platform):
    assert agent.heartbeat() == 200
    platform.expire_tokens()
    assert agent.heartbeat() == 401 and platform.count("token_expired") == 1
    assert agent.post("heartbeat", b'{"cluster_uid":"c"}', Authorization="Bearer made-up") == 401
    assert platform.problems() == []


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"User-Agent": "curl"}, {"X-More": "1"}, {"Content-Encoding": "gzip"}])
def test_headers_are_checked(agent, platform, headers):
    assert agent.post("heartbeat", b'{"cluster_uid":"c"}', **headers) == 400 and len(platform.problems()) == 1


def test_order_and_repeats_are_told(agent, platform):
    changes = [("added", 1), ("modified", 2), ("modified", 2), ("modified", 1), ("deleted", 0), ("deleted", 0), ("modified", 3)]
    assert [agent.event(change, "Pod", a_pod(version=version)) for change, version in changes] == [200] * len(changes)
    arrived = platform.delivered()
    assert [one.get("older", False) for one in arrived] == [False, False, False, True, False, False, True]
    assert [one.get("repeat", False) for one in arrived] == [False, False, True, False, False, True, False]
    assert (platform.count("unchanged"), platform.count("deleted_unknown"), platform.count("modified_unknown")) == (1, 1, 1)
    assert arrived[0]["at"] <= arrived[-1]["at"] <= time.monotonic()
    with pytest.raises(AssertionError, match="older"):
        platform.assert_clean()


def test_faults_on_command(agent, platform):
    platform.fault({"path": "events", "names": ["bad"], "status": 422}, {"path": "events", "status": 429, "headers": {"Retry-After": "1"}, "times": 2},
                   {"path": "events", "status": 500, "apply": True, "times": 1})
    assert [agent.event("added", "Pod", a_pod(name)) for name in ("bad", "a", "a", "b", "a")] == [422, 429, 429, 500, 200]
    assert set(platform.state("Pod")) == {"uid-a", "uid-b"} and platform.faults()[0]["used"] == 1
    platform.fault({"reset": True, "times": 1})
    with pytest.raises(OSError):
        agent.heartbeat()
    platform.fault({"delay_ms": 300, "times": 1})
    began = time.monotonic()
    assert agent.heartbeat() == 200 and time.monotonic() - began >= 0.3
    platform.down()
    with pytest.raises(OSError):
        agent.heartbeat()
    platform.up()
    assert agent.heartbeat() == 200
    platform.assert_clean()


# --- the control plane ---

@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as made:
        yield made


@pytest.fixture(scope="module")
def filled(plane):
    return fill(plane, PODS)


def test_all_kinds_are_there_and_kubectl_agrees(plane, filled):
    assert filled.counts["Pod"] == PODS and set(filled.counts) == set(KINDS)
    for name, kind in KINDS.items():
        words = ("get", f"{kind.plural}.{kind.group}" if kind.group else kind.plural, *(["-A"] if kind.namespaced else []))

        def agree() -> bool:  # the controllers make some at any time
            here = {body["metadata"]["uid"] for body in plane.objects(name)}
            return {body["metadata"]["uid"] for body in plane.kubectl_json(*words)["items"]} == here and len(here) >= filled.counts[name]
        if name != "Event":
            plane.wait(agree, f"kubectl and the client tell the same {name}")
    assert all(body["status"]["phase"] == "Running" for body in plane.objects("Pod"))


def test_the_binary_tells_real_objects_as_the_second_opinion_does(plane, filled, holdfast):
    for kind in KINDS:
        found = preview_differences(holdfast, kind, plane.objects(kind))
        assert not found, f"{len(found)} {kind}, first: {found[0]}"


def test_who_may_what(plane, filled, tmp_path):
    token = plane.agent_account()
    logins = [Login("token", plane.url, plane.ca.cert, token=token), Login("cert", plane.url, plane.ca.cert, cert=plane.admin_cert, inline=True)]
    config = write_kubeconfig(tmp_path / "config", logins)
    assert plane.kubectl("get", "secrets", "-A", config=config).returncode == 0
    refused = plane.kubectl("get", "leases", "-A", config=config, check=False)
    assert refused.returncode == 1 and b"Forbidden" in refused.stderr
    assert plane.kubectl("--context=cert", "get", "leases", "-A", config=config).returncode == 0
    told = [(one["verb"], one["objectRef"]["resource"], one["code"]) for one in plane.asked("system:serviceaccount:holdfast:holdfast") if "objectRef" in one]
    assert ("list", "secrets", 200) in told and ("list", "leases", 403) in told and not any("pods" in one for one in told)
    plane.agent_account("narrow", kinds=["Pod"])
    narrow = plane.kubeconfig("narrow", token=plane.token("narrow", "holdfast"))
    assert plane.kubectl("get", "pods", "-A", config=narrow).returncode == 0
    assert plane.kubectl("get", "secrets", "-A", config=narrow, check=False).returncode == 1


def test_helm_installs_what_the_server_takes(plane, tmp_path):
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (chart / "templates/one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\ndata: {a: b}\n")
    assert plane.helm("lint", chart).returncode == 0
    plane.helm("install", "mine", chart, "-n", "helm-space", "--create-namespace")
    assert plane.client.get("ConfigMap", "mine", "helm-space")["data"] == {"a": "b"}
    plane.helm("uninstall", "mine", "-n", "helm-space")


def test_the_law_sees_each_difference(plane, filled, platform, agent):
    """A snapshot by the second opinion holds; a change, a deletion and a new object are each seen, and mended by events."""
    law = Law(plane, platform, [kind for kind in KINDS if kind != "Event"])

    def in_time() -> bool:  # what the controllers do after the snapshot, no event tells of
        assert agent.snapshot({kind: plane.objects(kind) for kind in KINDS}) == 200, platform.problems()
        return not law.differences()
    plane.wait(in_time, "a snapshot that tells all")
    changed, gone = filled.named["Pod"][0], filled.named["ConfigMap"].pop()
    uid = plane.client.get("ConfigMap", gone[1], gone[0])["metadata"]["uid"]
    bump(plane, "Pod", [changed], 2)
    remove(plane, "ConfigMap", [gone])
    new = plane.client.create("ConfigMap", make("ConfigMap", 0, gone[0], prefix="new"))
    found = law.differences(["Pod", "ConfigMap"])
    assert len(found) == 3 and sum("labels" in text for text in found) == 1 and sum("is missing" in text for text in found) == 1, found
    agent.event("modified", "Pod", plane.client.get("Pod", changed[1], changed[0]))
    agent.event("deleted", "ConfigMap", {"metadata": {"name": gone[1], "namespace": gone[0], "uid": uid}})
    agent.event("added", "ConfigMap", new)
    law.holds()


def test_a_client_go_program_keeps_the_law(plane, filled, platform, tmp_path):
    """The bench's opponent, a real watcher: through its lists, changes, deletions, and an API server that ends."""
    law = Law(plane, platform, ["Pod"])
    with ClientGo(tmp_path, plane, platform, rate=5000, burst=5000, initial=True, kinds="Pod").start() as rival:
        rival.synced()
        law.holds()
        bump(plane, "Pod", filled.named["Pod"][:50], 3)
        gone = [filled.named["Pod"].pop() for _ in range(10)]
        remove(plane, "Pod", gone)
        law.holds()
        plane.api.restart()
        bump(plane, "Pod", filled.named["Pod"][:10], 4)
        law.holds()
        told = rival.stop()
    assert told["sent"] == platform.count("events") >= PODS + 60 and platform.count("deleted") == 10
    for version, changed in ((3, 50), (4, 10)):
        assert len({one["uid"] for one in platform.delivered() if one.get("version") == version}) == changed, "each change arrives"


def test_parts_end_and_come_back(plane, filled):
    before = {body["metadata"]["uid"] for body in plane.objects("Pod")}
    old = plane.client.call("GET", "/api/v1/pods?limit=1")["metadata"]["resourceVersion"]
    for part in (plane.api, plane.manager, plane.kwok):
        part.restart()
    plane.etcd.kill()
    plane.etcd.start()
    plane.wait(lambda: {body["metadata"]["uid"] for body in plane.objects("Pod")} == before, "the pods again")
    bump(plane, "Pod", filled.named["Pod"][:20], 5)
    plane.compact(api=True)
    gone = plane.kubectl("get", "--raw", f"/api/v1/pods?watch=1&timeoutSeconds=1&resourceVersion={old}", check=False)
    assert b"too old resource version" in gone.stdout + gone.stderr, "a compacted version is Gone"


def test_direct_writes_are_objects_like_others(plane, filled):
    """What fill() writes into etcd for large numbers is seen by kubectl, can be changed and deleted."""
    direct = fill(plane, 20, prefix="d", direct=True)
    assert direct.counts["Pod"] == 20
    space, name = direct.named["Pod"][-1]
    assert plane.kubectl_json("get", "pod", "-n", space, name)["spec"]["nodeName"].startswith("d-node")
    assert bump_directly(plane, "Pod", 7, space) == 10
    wait_for(lambda: plane.client.get("Pod", name, space)["metadata"]["labels"]["holdfast.test/version"] == "7", "the change", 60)
    remove(plane, "Pod", direct.named["Pod"])
    wait_for(lambda: not plane.client.list("Pod", space), "no pods", 60)


def test_without_a_watch_cache_a_compaction_is_felt_at_once(tmp_path):
    """Watches and pages of an older state are Gone; watches without a timeout of theirs end after watch_seconds; a paused
    etcd is silence."""
    with ControlPlane(tmp_path, manager=False, kwok=False, watch_cache=False, watch_seconds=1) as plane:
        filled = fill(plane, 20, kinds=["Pod"], running=False)
        page = plane.client.call("GET", "/api/v1/pods?limit=5")["metadata"]
        bump(plane, "Pod", filled.named["Pod"])
        plane.compact()
        watch = f"/api/v1/pods?watch=1&resourceVersion={page['resourceVersion']}"
        assert b'"code":410' in plane.kubectl("get", "--raw", watch).stdout
        with pytest.raises(Refused, match="too old") as gone:
            plane.client.call("GET", f"/api/v1/pods?limit=5&continue={page['continue']}")
        assert (gone.value.status, gone.value.reason) == (410, "Expired")
        watch = "/api/v1/pods?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"

        def streamed() -> bool:  # the watch ends by itself after a second, which a busy machine may need for less
            told = plane.kubectl("get", "--raw", watch).stdout
            return told.count(b'"ADDED"') == 20 and b"k8s.io/initial-events-end" in told
        plane.wait(streamed, "all of them, and the watch ended by itself")
        plane.etcd.pause()
        try:
            with pytest.raises(OSError):
                KubeClient(plane.port, plane.ca.cert, plane.admin_token, seconds=2).call("GET", "/api/v1/pods")
        finally:
            plane.etcd.resume()
        plane.wait(lambda: len(plane.objects("Pod")) == 20, "the pods again")
