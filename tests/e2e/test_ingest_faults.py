"""What befalls a stream: the API server, etcd and the platform killed, stopped, slow, refusing, forgetting. After each the platform has
what the API server has; how long that took, and what came twice, is printed."""
from __future__ import annotations

import time

import pytest

from peers.kube import ControlPlane
from peers.kubefill import bump, fill
from peers.kubekinds import KINDS, agent_rules
from peers.streaming import SPACE, Herd, Stream

pytestmark = pytest.mark.cluster
AGAIN_S_MAX = 330  # a kind that is forbidden is asked for again after as long as it has been so, five minutes at most (net/api/kube/kube_watch.h)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """Without a watch cache: what etcd has forgotten is forgotten."""
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=1, watch_cache=False) as made:
        fill(made, 40, running=False)
        yield made


@pytest.fixture
def stream(holdfast, tmp_path, plane, ca):
    """A running hub whose platform has all."""
    with Stream(holdfast, tmp_path, plane, ca, sync_interval="5s") as made:
        made.hub.start()
        made.law.holds()
        yield made


@pytest.fixture
def herd(plane, request):
    made = Herd(plane, "h" + request.node.name.replace("test_", "").replace("_", "")[:20].lower())
    made.grow(12)
    return made


def recover(s, what, began, seconds=180, **more):
    """The law, nothing malformed, nothing older after newer; the line for the record."""
    s.law.holds(seconds)
    took = time.monotonic() - began
    s.settle()
    s.platform.assert_clean(older=True)
    s.tell(what, recovered_s=round(took, 1), **more)
    return took


# --- the API server ---

def test_api_server_killed_and_restarted(stream, plane, herd):
    for _ in range(2):
        herd.turn()
        plane.api.kill()
        plane.api.start()
        began = time.monotonic()
        herd.turn()
        recover(stream, "API server restarted", began)
    assert stream.platform.count("snapshots") == 1, "the versions went on: no snapshot is needed"


def test_api_server_stopped_for_40_s(stream, plane, herd):
    """Its connections stay open and say nothing. Heartbeats go on, the hub answers."""
    herd.turn()
    plane.api.pause()
    beats, began = stream.platform.count("heartbeats"), time.monotonic()
    while time.monotonic() - began < 40:  # what is tested is a silence of this length
        assert stream.hub.get("/readyz")[0] == 200
        time.sleep(0.5)
    stream.platform.wait_count("heartbeats", beats + 6)
    plane.api.resume()
    began = time.monotonic()
    plane.wait_serving()
    herd.turn()
    recover(stream, "API server stopped for 40 s", began)


def test_etcd_paused(stream, plane, herd):
    herd.turn()
    plane.etcd.pause()
    began = time.monotonic()
    while time.monotonic() - began < 8:
        assert stream.hub.get("/readyz")[0] == 200
        time.sleep(0.5)
    plane.etcd.resume()
    began = time.monotonic()
    plane.wait_serving()
    herd.turn()
    recover(stream, "etcd paused for 8 s", began)


def test_compacted_while_away(stream, plane, herd):
    """The hub is stopped, objects come, change and go, etcd forgets: 410, a list, and deletes that only it tells of."""
    herd.grow(20)
    stream.law.holds()
    snapshots = stream.platform.count("snapshots")
    stream.hub.pause()
    plane.api.restart()
    herd.shrink(15)
    herd.change()
    herd.grow(5)
    plane.compact()
    stream.hub.resume()
    began = time.monotonic()
    herd.turn()
    recover(stream, "compacted while away", began)
    print(f"ingest: {stream.hub.metric('holdfast_ingest_deletes_found_total'):.0f} deletes that only a list told of")
    assert stream.hub.metric("holdfast_ingest_deletes_found_total") >= 15
    assert stream.platform.count("snapshots") == snapshots, "what differs is told as events"


def test_one_kind_forbidden(stream, plane, herd):
    """ConfigMaps are taken from the role and given back; all else streams on."""
    others = [kind for kind in KINDS if kind != "ConfigMap"]
    role = f"{SPACE}-{stream.account}"
    plane.client.patch("ClusterRole", role, {"rules": agent_rules(others)})
    plane.api.restart()  # a watch that is open stays so, whatever the role says
    began = time.monotonic()
    herd.turn()
    stream.law.kinds = others
    stream.law.holds()
    stream.wait(lambda: b"configmaps may not be listed" in stream.hub.get("/readyz?verbose")[1], "that it is told")
    assert next(one for one in stream.status()["kinds"] if one["kind"] == "ConfigMap")["state"] == "forbidden"
    stream.hub.wait_metric("holdfast_ingest_kind_up", lambda up: up == 0, kind="ConfigMap")
    print(f"ingest: a kind forbidden: told after {time.monotonic() - began:.1f} s")
    plane.client.patch("ClusterRole", role, {"rules": agent_rules()})
    stream.law.kinds = list(KINDS)
    recover(stream, "a kind allowed again", time.monotonic(), AGAIN_S_MAX)


# --- the platform ---

ANSWERS = {"500": {"status": 500, "times": 12}, "503": {"status": 503, "headers": {"Retry-After": "1"}, "times": 8},
           "429": {"status": 429, "headers": {"Retry-After": "2"}, "times": 8}, "408": {"status": 408, "times": 4},
           "slow": {"delay_ms": 300, "times": 30}, "cut": {"reset": True, "times": 6},
           "cut after it was taken": {"reset": True, "apply": True, "times": 6}}


def test_answers_that_are_no_good(stream, plane, herd):
    """One after the other, on one stream."""
    for name, rule in ANSWERS.items():
        stream.platform.fault({"path": "events", **rule})
        began = time.monotonic()
        herd.turn()
        recover(stream, f"events answered by {name}", began)
        stream.platform.fault()
    assert stream.platform.count("snapshots") == 1 and stream.count("events_set_aside_total") == 0


def test_connections_cut_while_it_streams(stream, plane, herd):
    began = time.monotonic()
    for _ in range(10):
        herd.turn()
        stream.platform.cut()
    recover(stream, "connections cut ten times", began)


def test_platform_paused(stream, plane, herd):
    """SIGSTOP: nothing answers for 10 s; the hub does."""
    stream.platform.pause()
    herd.turn()
    began = time.monotonic()
    while time.monotonic() - began < 10:
        assert stream.hub.get("/readyz")[0] == 200
        time.sleep(0.5)
    stream.platform.resume()
    recover(stream, "platform paused for 10 s", time.monotonic())


def test_tokens_end(stream, plane, herd):
    """All tokens are worth nothing at once: 401, another token, and on; and tokens that live shorter than they say."""
    tokens = stream.platform.count("tokens")
    stream.platform.expire_tokens()
    began = time.monotonic()
    herd.turn()
    recover(stream, "token expired", began, token_requests=stream.platform.count("tokens") - tokens, refused=stream.platform.count("token_expired"))
    assert stream.platform.count("tokens") == tokens + 1
    stream.platform.client(expires_in=3600, valid_for=2)
    stream.platform.expire_tokens()
    began = time.monotonic()
    for _ in range(8):
        herd.turn()
        stream.law.holds()
    recover(stream, "tokens that live 2 s", began, token_requests=stream.platform.count("tokens") - tokens)
    assert stream.count("events_set_aside_total") == 0 and stream.platform.count("snapshots") == 1


def test_one_401(stream, plane, herd):
    tokens = stream.platform.count("tokens")
    stream.platform.fault({"path": "events", "status": 401, "times": 1})
    began = time.monotonic()
    herd.turn()
    recover(stream, "one 401", began)
    assert stream.platform.count("tokens") == tokens + 1 and stream.count("events_set_aside_total") == 0


def test_refused_events_are_set_aside(stream, plane, herd):
    """422 for one object: told, counted, listed; the others go on, and a fresh snapshot tells of it."""
    name = next(name for kind, name in herd.alive if kind == "ConfigMap")
    stream.law.holds()
    stream.platform.fault({"path": "events", "kind": "ConfigMap", "names": [name], "status": 422})
    began = time.monotonic()
    bump(plane, "ConfigMap", [(herd.space, name)], 5)
    bump(plane, "Pod", [(herd.space, name) for kind, name in herd.alive if kind == "Pod"], 5)
    recover(stream, "an event refused", began)
    assert stream.platform.count("snapshots") == 2 and stream.count("events_set_aside_total") == 1
    agent = stream.status()["agents"][0]
    aside = agent["set_aside"]
    assert agent["set_aside_total"] == 1 and {key: aside[0][key] for key in ("status", "type", "kind", "namespace", "name")} == {
        "status": 422, "type": "modified", "kind": "ConfigMap", "namespace": herd.space, "name": name}
    stream.platform.fault()


def test_cluster_and_platform_away_together(stream, plane, herd):
    """And the hub is started meanwhile."""
    herd.turn()
    stream.law.holds()
    stream.hub.stop()
    plane.api.kill()
    stream.platform.down()
    stream.hub.start()
    stream.wait(lambda: "nothing is streamed" in stream.hub.log_text(), "that nothing is streamed is told")
    assert stream.hub.get("/readyz")[0] == 200
    plane.api.start()
    herd.turn()
    stream.platform.up()
    recover(stream, "started with both away", time.monotonic())


def test_platform_down_with_more_than_the_spool_holds(holdfast, tmp_path, plane, ca):
    """edge16 keeps 4096 events: more of them are lost, which is counted, and one fresh snapshot takes their place. Last, for what it
    leaves in the cluster."""
    with Stream(holdfast, tmp_path, plane, ca, profile="edge16", sync_interval="5s") as s:
        s.hub.start()
        s.law.holds()
        s.platform.down()
        fill(plane, 4300, prefix="over", kinds=["ConfigMap", "Pod"], running=False, direct=True)
        s.hub.wait_metric("holdfast_ingest_spool_overflows_total", lambda value: value >= 1, 90, agent="config")
        rounds = s.hub.metric("holdfast_ingest_rounds_total")
        s.platform.up()
        began = time.monotonic()
        recover(s, "platform down, the spool full", began, 300, overflows=s.count("spool_overflows_total"), rss=s.hub.watch.usage.anon_peak)
        assert s.platform.count("snapshots") == 2 and s.hub.metric("holdfast_ingest_rounds_total") == rounds + 1, "one fresh snapshot"
