"""ObsykAgents beside a running hub: what becomes of them when they are made, wrong, made again, deleted, too many; and that
nothing is told to a platform that is older than what it has."""
from __future__ import annotations

import json
import time

import pytest

from peers.kube import ControlPlane
from peers.kube_law import Law
from peers.kubeconfig import Login, write_kubeconfig
from peers.kubefill import bump, fill
from peers.proc import wait_for

pytestmark = pytest.mark.cluster
SPACE, SECRET = "holdfast", "obsyk-credentials"
USER = f"system:serviceaccount:{SPACE}:holdfast"


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as made:
        made.token_of_agent = made.agent_account()
        yield made


@pytest.fixture(scope="module")
def filled(plane):
    return fill(plane, 30)


@pytest.fixture
def crd(plane, holdfast):
    from peers.proc import run
    plane.kubectl("apply", "-f", "-", data=run([holdfast, "crd"]).stdout.decode())
    plane.wait_crd()
    plane.kubectl("delete", "leases", "--all", "-n", SPACE)  # the hub of the test before was killed, and holds it still
    yield
    plane.kubectl("delete", "obsykagents", "--all", "-A")


@pytest.fixture
def hub(make_hub, plane, ca, tmp_path):
    made = make_hub(endpoints=[plane.etcd.url])
    del made.config["backup"]
    login = Login("home", plane.url, plane.ca.cert, plane.token_of_agent, inline=True, namespace=SPACE)
    made.config["kubernetes"] = {"kubeconfig": str(write_kubeconfig(tmp_path / "kubeconfig", [login]))}
    made.config["ingest"] = {"enabled": True, "ca": str(ca.cert)}
    return made


def secret(plane, platform):
    plane.kubectl("delete", "secret", SECRET, "-n", SPACE, "--ignore-not-found")
    if platform:
        plane.kubectl("create", "secret", "generic", SECRET, "-n", SPACE, f"--from-literal=client_id={platform.client_id}",
                      f"--from-file=private_key={platform.private_key}")


def agent(plane, platform, name="a", **spec):
    plane.kubectl("apply", "-f", "-", data={
        "apiVersion": "obsyk.io/v1", "kind": "ObsykAgent", "metadata": {"name": name, "namespace": SPACE},
        "spec": {"platformURL": platform.url, "clusterName": "home", "credentialsSecretRef": {"name": SECRET},
                 "rateLimit": {"eventsPerSecond": 1000, "burstSize": 1000}, **spec}})


def conditions(plane, name="a"):
    told = plane.kubectl_json("get", "obsykagent", name, "-n", SPACE).get("status", {}).get("conditions", [])
    return {one["type"]: (one["status"], one["reason"]) for one in told}


def wait_condition(plane, kind, what, name="a"):
    return wait_for(lambda: conditions(plane, name).get(kind) == what, f"{name}: {kind} {what}", 180)


def status(hub):
    done = hub.command("ingest", "status", "-o", "json")
    assert done.returncode in (0, 1), (done.stderr, hub.log_text())
    return json.loads(done.stdout)


def streaming(hub):
    return status(hub)["streaming"]


def waiting(hub):
    """Events in the spool of its one agent."""
    return sum(one["spool"]["events"] for one in status(hub)["agents"])


def patches(plane):
    return sum(1 for one in plane.asked(USER) if one["verb"] == "patch" and "obsykagents" in one["requestURI"])


def test_the_life_of_an_agent(plane, filled, platform, hub, crd):
    secret(plane, None)
    agent(plane, platform)
    hub.start()
    wait_condition(plane, "Degraded", ("True", "AuthenticationError"))
    assert conditions(plane)["Available"] == ("False", "AgentStopped")
    secret(plane, platform)
    agent(plane, platform, clusterName="home-2")  # looks at once
    Law(plane, platform).holds()
    for kind, what in (("Available", ("True", "AgentRunning")), ("Degraded", ("False", "AgentHealthy")), ("Syncing", ("True", "SyncActive"))):
        wait_condition(plane, kind, what)

    # a wrong spec: what was good goes on, and it is told
    agent(plane, platform, clusterName="home-2", syncInterval="soon")
    wait_condition(plane, "Degraded", ("True", "InvalidSpec"))
    bump(plane, "Pod", filled.named["Pod"][:5], 2)
    Law(plane, platform).holds()
    assert conditions(plane)["Available"] == ("True", "AgentRunning")
    agent(plane, platform, clusterName="home-2", syncInterval="5m")
    wait_condition(plane, "Degraded", ("False", "AgentHealthy"))

    # deleted: nothing of it stays; made again with another name for the cluster: a fresh snapshot
    plane.kubectl("delete", "obsykagent", "a", "-n", SPACE)
    spool = hub.folder / "data" / "ingest" / f"{SPACE}_a"
    wait_for(lambda: spool.is_dir() and not any(spool.iterdir()), "the spool of the deleted agent gone", 60, hub.proc)
    wait_for(lambda: "holdfast_ingest_events_delivered_total{" not in hub.metrics_text(), "its series gone", 60, hub.proc)
    before = platform.count("snapshots")
    agent(plane, platform, clusterName="third")
    platform.wait_count("snapshots", before + 1)
    assert platform.snapshots()[-1]["said"]["cluster_name"] == "third"
    Law(plane, platform).holds()


def test_status_is_not_its_own_reason(plane, filled, platform, hub, crd):
    """Counts change all the time here; a write of the status is no reason for the next one."""
    secret(plane, platform)
    agent(plane, platform)
    hub.start()
    wait_condition(plane, "Syncing", ("True", "SyncActive"))
    before, began = patches(plane), time.monotonic()
    for at in range(40):
        plane.client.create("ConfigMap", {"metadata": {"name": f"tick-{at}-{int(began)}", "namespace": "default"}})
    agent(plane, platform, rateLimit={"eventsPerSecond": 1001, "burstSize": 1001})  # one reason
    Law(plane, platform).holds()
    for at in range(40):
        plane.client.create("ConfigMap", {"metadata": {"name": f"tock-{at}-{int(began)}", "namespace": "default"}})
    Law(plane, platform).holds()
    assert patches(plane) - before <= 4


def test_too_many(plane, platform, hub, crd):
    """hub32 follows two; the third is told so, and takes the place of one that goes."""
    secret(plane, platform)
    for name in ("a", "b", "c"):
        agent(plane, platform, name)
    hub.start()

    def refused():
        return [name for name in ("a", "b", "c") if conditions(plane, name).get("Degraded") == ("True", "TooManyAgents")]
    wait_for(lambda: len(refused()) == 1, "one of three refused", 120)
    third = refused()[0]
    other = next(name for name in ("a", "b", "c") if name != third)
    plane.kubectl("delete", "obsykagent", other, "-n", SPACE)
    wait_condition(plane, "Degraded", ("False", "AgentHealthy"), third)


def test_each_of_many_too_many_is_told(plane, platform, hub, crd):
    """Nineteen of twenty-one, wherever they stand in the list; one that comes later, too, and the two that are followed are not."""
    secret(plane, platform)
    names = [f"{letter}{at}" for letter in "kbx" for at in range(7)]
    for name in names:
        agent(plane, platform, name)
    hub.start()

    def reasons():
        told = plane.kubectl_json("get", "obsykagents", "-n", SPACE)["items"]
        return [one["reason"] for item in told for one in item.get("status", {}).get("conditions", []) if one["type"] == "Degraded"]
    wait_for(lambda: sorted(reasons()) == ["AgentHealthy"] * 2 + ["TooManyAgents"] * 19, "all but two refused", 120)
    agent(plane, platform, "aa-later")
    wait_condition(plane, "Degraded", ("True", "TooManyAgents"), "aa-later")
    before = patches(plane)
    agent(plane, platform, "zz-last")
    wait_condition(plane, "Degraded", ("True", "TooManyAgents"), "zz-last")
    assert sorted(reasons()) == ["AgentHealthy"] * 2 + ["TooManyAgents"] * 21
    assert patches(plane) - before <= 4, "who was told is not told again"


def test_spools_of_agents_that_were_deleted_while_no_hub_ran(plane, platform, hub, crd):
    """They go at the next start, after the list; what is not surely a spool, and whose ObsykAgent is there, stays."""
    secret(plane, platform)
    for name in ("a", "b"):
        agent(plane, platform, name)
    hub.start()
    for name in ("a", "b"):
        wait_condition(plane, "Degraded", ("False", "AgentHealthy"), name)
    hub.stop()
    spool = hub.folder / "data" / "ingest"
    assert (spool / f"{SPACE}_a").is_dir() and (spool / f"{SPACE}_b").is_dir()
    for folder, file in (("other_gone", "00000001.spool"), (f"{SPACE}_b", "0000000f.spool"), ("other_notes", "notes.txt"), ("mine", "00000001.spool")):
        (spool / folder).mkdir(exist_ok=True)
        (spool / folder / file).write_text("x")
    (spool / "other_link").symlink_to(spool / "mine")
    plane.kubectl("delete", "obsykagent", "b", "-n", SPACE)
    agent(plane, platform, "c")
    hub.start()
    for name in ("a", "c"):
        wait_condition(plane, "Degraded", ("False", "AgentHealthy"), name)
    hub.wait_log("the spool of an ObsykAgent that is gone was removed", 2)
    hub.wait_log("the spool of a deleted ObsykAgent cannot be removed")
    there = sorted(one.name for one in spool.iterdir() if one.is_dir())
    assert there == sorted([f"{SPACE}_a", f"{SPACE}_c", "mine", "other_link", "other_notes"]), there
    assert (spool / "mine" / "00000001.spool").exists() and (spool / "other_notes" / "notes.txt").exists()


def test_nothing_older_after_another_led(plane, filled, platform, hub, crd, make_hub, tmp_path):
    """What waits in the spool of a replica that led long ago is not told when it leads again."""
    secret(plane, platform)
    agent(plane, platform)
    platform.fault({"path": "*", "status": 503})
    hub.start()
    pods = filled.named["Pod"][10:20]

    wait_for(lambda: streaming(hub), "the first list", 60, hub.proc)
    bump(plane, "Pod", pods, 21)
    wait_for(lambda: waiting(hub) >= 10, "events wait", 60, hub.proc)
    hub.stop()  # its spool is written
    platform.fault()
    bump(plane, "Pod", pods, 22)
    other = make_hub(endpoints=[plane.etcd.url])
    other.config = {**hub.config, "data": str(other.folder / "data"), "listen": other.config["listen"]}
    other.start()
    Law(plane, platform).holds()
    other.stop()
    hub.start()
    hub.wait_log("another replica led since")
    platform.wait_count("snapshots", 2)
    Law(plane, platform).holds()
    assert platform.count("older") == 0


def test_one_that_is_too_large_is_told_and_kept(plane, platform, hub, crd):
    """Others may write conditions too, as long as they like: it is neither followed blindly nor taken for deleted."""
    secret(plane, platform)
    agent(plane, platform)
    hub.start()
    wait_condition(plane, "Available", ("True", "AgentRunning"))
    long = [{"type": f"Long{i}", "status": "True", "reason": "Long", "message": "x" * 30000, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for i in range(2)]
    plane.kubectl("patch", "obsykagent", "a", "-n", SPACE, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"conditions": long}}))
    agent(plane, platform, name="b")
    plane.kubectl("delete", "obsykagent", "b", "-n", SPACE)  # all are listed again
    wait_for(lambda: "too large to be read" in hub.log_text(), "that it is told", 120)
    plane.client.create("ConfigMap", {"metadata": {"name": "since", "namespace": "default"}})
    Law(plane, platform).holds()


def test_nothing_older_over_a_restart(plane, filled, platform, hub, ca, tmp_path):
    """A snapshot and events wait in the spool, a new process makes a newer snapshot: its file is not sent at the old one's place."""
    (tmp_path / "client-id").write_text(platform.client_id + "\n")
    hub.config["ingest"] |= {
        "source": "config", "platform_url": platform.url, "cluster_name": "test", "rate_limit": {"events_per_second": 1000, "burst_size": 1000},
        "credentials": {"client_id_file": str(tmp_path / "client-id"), "private_key_file": str(platform.private_key)}}
    platform.fault({"path": "*", "status": 503})
    hub.start()
    pods = filled.named["Pod"][:10]

    wait_for(lambda: streaming(hub), "the first list", 60, hub.proc)
    bump(plane, "Pod", pods, 11)
    wait_for(lambda: waiting(hub) >= 10, "events wait", 60, hub.proc)
    spool = hub.folder / "data" / "ingest"
    wait_for(lambda: sum(file.read_bytes().count(b'"holdfast.test/version":"11"') for file in spool.rglob("*.spool")) >= 10, "all on the disk", 60, hub.proc)
    hub.kill()
    bump(plane, "Pod", pods, 12)
    hub.start()
    wait_for(lambda: streaming(hub) and waiting(hub) >= 10, "the second list", 60, hub.proc)
    platform.fault()
    Law(plane, platform).holds(seconds=120)  # and nothing older after something newer
    assert platform.count("older") == 0
