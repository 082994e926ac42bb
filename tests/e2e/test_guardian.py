"""The guardian against real clusters of three members over TLS: what it sees, and what it repairs."""
from __future__ import annotations

import json
import os
import time

import pytest

from peers.etcd import Cluster, Etcd
from peers.faulty import Faults, Proxy
from peers.proc import PeerError, wait_for

MIB = 1 << 20


@pytest.fixture(params=["system", pytest.param("3.7", marks=pytest.mark.cluster)])
def cluster(request, tmp_path, server_cert):
    with Cluster(tmp_path / "cluster", 3, version=request.param, tls=server_cert).start() as three:
        yield three


def guard(hub, **keys):
    hub.config["backup"]["etcd"].update({"guardian": True, "defrag_floor": "4MiB", **keys})
    return hub


@pytest.fixture
def hub(make_hub, cluster):
    return guard(make_hub(endpoints=cluster.urls))


def verbose(hub) -> str:
    return hub.get("/readyz?verbose")[1].decode()


def test_what_it_sees(hub, cluster):
    hub.start()
    for member in cluster.members:
        hub.wait_metric("holdfast_etcd_member_up", lambda up: up == 1, member=member.name)
    for at, member in enumerate(cluster.members):  # a young cluster and the guardian's key still change what is seen
        hub.wait_metric("holdfast_etcd_member_is_leader", lambda leads: leads == (member is cluster.leader()), member=member.name)
        hub.wait_metric("holdfast_etcd_member_db_size_bytes", lambda size: size == cluster.sizes()[at][0], 60, member=member.name)
        hub.wait_metric("holdfast_etcd_alarms", lambda raised: raised == 0, member=member.name, alarm="NOSPACE")
        hub.wait_metric("holdfast_etcd_member_revision_lag", lambda lag: lag == 0, 60, member=member.name)
        hub.wait_metric("holdfast_etcd_certificate_expiry_timestamp_seconds", lambda at: at > time.time() + 3600, member=member.name,
                        certificate="server")
    hub.wait_metric("holdfast_etcd_certificate_expiry_timestamp_seconds", lambda at: at > time.time(), member="", certificate="client")
    hub.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)
    key = cluster.members[0].etcdctl("get", "/holdfast/guardian", "--print-value-only").stdout
    assert key.strip()
    assert "etcd" in verbose(hub)
    assert hub.stop().code == 0
    assert not cluster.members[0].etcdctl("get", "/holdfast/guardian").stdout  # given back at once


def test_defragments_by_rule_the_leader_last(hub, cluster):
    guard(hub, defrag=True)
    cluster.fragment(24)
    before, leader = cluster.sizes(), cluster.leader()
    assert all(size > 20 * MIB and in_use < 8 * MIB for size, in_use in before)
    hub.start()
    for member in cluster.members:
        hub.wait_metric("holdfast_etcd_defrag_total", lambda count: count == 1, 180, member=member.name)
    after = cluster.sizes()
    for (was, _), (now, _) in zip(before, after):
        assert now < was - 15 * MIB
    for (was, _), (now, _), member in zip(before, after, cluster.members):
        won = hub.metric("holdfast_etcd_defrag_reclaimed_bytes_total", member=member.name)
        assert abs(won - (was - now)) < MIB
        assert 0 < hub.metric("holdfast_etcd_defrag_last_stall_seconds", member=member.name) < 60
    order = [line.split("member=")[1].split()[0] for line in hub.log_lines() if "step done" in line and "step=defrag" in line]
    assert sorted(order) == ["m0", "m1", "m2"] and order[-1] == leader.name
    assert cluster.leader() is not leader
    assert hub.stop().code == 0


# --- commands ---

def status(hub, code: int = 0) -> dict[str, dict]:
    done = hub.command("etcd", "status", "-o", "json")
    assert done.returncode == code, done.stderr
    return {row["member"]: row for row in json.loads(done.stdout)}


def steps(hub, *args: str, code: int = 0) -> list[tuple[str, str | None]]:
    done = hub.command("etcd", "defrag", "-o", "json", *args)
    assert done.returncode == code, (done.stdout, done.stderr)
    return [(item.get("step"), item.get("member")) for item in json.loads(done.stdout)]


def member_id(member) -> int:
    return int(member.gateway().status()["header"]["member_id"])


def planned(cluster) -> list[tuple[str, str | None]]:
    """The followers in the order of the endpoints, the move, the leader."""
    leader = cluster.leader().name
    order = [member.name for member in cluster.followers()]
    return [("defrag", name) for name in order] + [("move-leader", leader), ("defrag", leader), ("rest", None)]


def test_status(hub, cluster):
    def as_it_is() -> dict | None:  # a young cluster still writes for itself: the two looks must meet the same
        rows, sizes = status(hub), cluster.sizes()
        told = [(rows[member.name]["size_bytes"], rows[member.name]["in_use_bytes"]) for member in cluster.members]
        return rows if told == list(sizes) else None

    rows = wait_for(as_it_is, "the sizes that etcdctl tells", 120)
    leader = cluster.leader().name
    for member in cluster.members:
        row = rows[member.name]
        assert (row["up"], row["leader"]) == (True, member.name == leader)
        assert row["version"] == member.version and row["endpoint"] == member.url and row["alarms"] == []
        assert row["certificate_days"] >= 0 and row["raft_index"] > 0 and int(row["id"], 16) == member_id(member)
    text = hub.command("etcd", "status").stdout.decode().splitlines()
    assert len(text) == 4 and text[0].split()[:4] == ["MEMBER", "ID", "ROLE", "VERSION"]
    assert sum("leader" in line for line in text) == 1


def test_status_of_what_is_not_well(hub, cluster):
    down = cluster.followers()[0]
    down.kill()
    assert sorted(row["up"] for row in status(hub, code=1).values())[0] is False
    done = hub.command("etcd", "status")
    assert done.returncode == 1 and b"does not answer" in done.stderr
    for member in cluster.members:
        member.kill()
    done = hub.command("etcd", "status")
    assert done.returncode == 3 and b"the list of members cannot be had" in done.stderr


def test_defrag_by_hand_with_and_without_a_hub(hub, cluster):
    cluster.fragment(12)
    before = cluster.sizes()
    assert steps(hub, "--dry-run", code=1) == [("doubt", None)]  # no backup yet
    assert steps(hub, "--dry-run", "--without-backup") == planned(cluster)
    hub.start()
    hub.wait_snapshot()
    hub.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)
    assert [size for size, _ in cluster.sizes()] >= [size for size, _ in before]  # a plan changes nothing
    plan = planned(cluster)
    assert steps(hub, "--dry-run") == plan
    assert steps(hub) == plan  # by the hub, which holds the key
    assert all(size < 6 * MIB for size, _ in cluster.sizes())
    assert steps(hub) == [("rest", None)]
    assert hub.stop().code == 0
    plan = planned(cluster)
    assert steps(hub, "--all") == plan  # by the command, by what lies in the destination
    assert not cluster.members[0].etcdctl("get", "/holdfast/guardian").stdout


def test_another_hub_guards(hub, make_hub, cluster):
    other = guard(make_hub(endpoints=cluster.urls))
    hub.start()
    hub.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)
    assert steps(other, "--all", "--without-backup", code=75) == [(None, None)]
    other.start()
    other.wait_metric("holdfast_etcd_member_up", lambda up: up == 1, member="m0")
    assert other.metric("holdfast_etcd_guarding") == 0
    assert hub.stop().code == 0  # gives the key back: the other has it at its next look
    other.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)


@pytest.mark.cluster
def test_a_hub_that_dies_is_followed_by_another(hub, make_hub, cluster):
    other = guard(make_hub(endpoints=cluster.urls))
    hub.start()
    hub.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)
    other.start()
    hub.kill()
    began = time.monotonic()
    other.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1, 180)
    assert time.monotonic() - began > 20  # not before the lease has run out


# --- doubts ---

def test_a_stopped_follower_is_a_doubt(hub, cluster):
    cluster.fragment(12)
    stopped = cluster.followers()[0]
    stopped.pause()
    assert steps(hub, "--without-backup", code=1) == [("doubt", None)]
    done = hub.command("backup", "now")  # the other follower is asked, or the leader
    assert done.returncode == 0 and stopped.url.encode() not in done.stdout
    stopped.resume()
    wait_for(lambda: status_code(hub) == 0, "the follower is back", 120, every=0.5)
    plan = planned(cluster)
    assert steps(hub, "--without-backup") == plan


def status_code(hub) -> int:
    return hub.command("etcd", "status").returncode


def test_a_learner_is_a_doubt_and_no_source(hub, cluster, tmp_path):
    learner = cluster.add_learner(tmp_path / "learner")
    wait_for(lambda: learner.etcdctl("endpoint", "status", check=False).returncode == 0, "the learner", 120, learner.proc)
    hub.config["backup"]["etcd"]["endpoints"] = [learner.url, *(m.url for m in cluster.members[:3])]
    row = wait_for(lambda: (found := status(hub, code=1).get("learner", {"up": False}))["up"] and found, "the learner", 120, learner.proc, every=0.2)
    assert row["learner"]
    done = hub.command("etcd", "defrag", "--all", "--without-backup")
    assert done.returncode == 1 and b"is a learner" in done.stderr
    done = hub.command("backup", "now")
    assert done.returncode == 0 and learner.url.encode() not in done.stdout


def test_a_follower_is_preferred(hub, cluster):
    leader = cluster.leader()
    hub.config["backup"]["etcd"]["endpoints"] = [leader.url, *(m.url for m in cluster.followers())]
    done = hub.command("backup", "now", "-o", "json")
    assert done.returncode == 0 and json.loads(done.stdout)[0]["endpoint"] == cluster.followers()[0].url


def test_the_leader_dies_in_a_snapshot(hub, cluster):
    """It is the only endpoint at first, and stuck in the middle; the next run, with the others, is good."""
    cluster.members[0].gateway().put_many((b"big/%04d" % i, os.urandom(1 << 20)) for i in range(8))
    leader = cluster.leader()
    with Proxy(leader.port, down=Faults(stuck_after=500_000)) as proxy:
        hub.config["backup"]["etcd"]["endpoints"] = [f"https://127.0.0.1:{proxy.port}"]
        hub.start()
        wait_for(lambda: proxy.bytes_down >= 500_000 and list(hub.backups.glob("*.part-*")), "a snapshot on its way", 120, hub.proc)
        leader.kill()
        proxy.set(down=Faults())
        hub.wait_log("backup failed")
        hub.stop()
    assert cluster.leader() is not leader  # there is one again
    assert hub.snapshots() == [] and hub.leftovers() == []
    hub.config["backup"]["etcd"]["endpoints"] = cluster.urls
    done = hub.command("backup", "now", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["verdict"] == "good"


# --- out of space ---

@pytest.mark.parametrize("version", ["system", pytest.param("3.7", marks=pytest.mark.cluster)])
def test_out_of_space(tmp_path, server_cert, make_hub, version):
    flags = ["--quota-backend-bytes", str(16 * MIB)]
    with Cluster(tmp_path / "small", 3, version=version, tls=server_cert, flags=flags).start() as cluster:
        hub = guard(make_hub(endpoints=cluster.urls), nospace=True)
        hub.start()
        hub.wait_snapshot()
        hub.wait_metric("holdfast_etcd_guarding", lambda is_ours: is_ours == 1)
        gateway = cluster.members[0].gateway()
        with pytest.raises(PeerError, match="space"):
            for i in range(600):
                gateway.put_many([(b"same key", os.urandom(64 << 10))])
        hub.wait_log("step=disarm", count=2)
        gateway.put_many([(b"after", b"it writes again")])
        assert not cluster.members[0].etcdctl("alarm", "list").stdout
        assert all(size < 8 * MIB for size, _ in cluster.sizes())
        done = [line.split("step=")[1].split()[0] for line in hub.log_lines() if "etcd: step done" in line]
        assert done == ["compact", "defrag", "defrag", "move-leader", "defrag", "disarm"]
        hub.wait_metric("holdfast_etcd_alarms", lambda raised: raised == 0, 60, member="m0", alarm="NOSPACE")


def test_out_of_space_without_leave(tmp_path, server_cert, make_hub):
    with Etcd(tmp_path / "one", tls=server_cert, flags=["--quota-backend-bytes", str(4 * MIB)]).start() as etcd:
        hub = make_hub(endpoints=[etcd.url])
        with pytest.raises(PeerError, match="space"):
            for i in range(200):
                etcd.gateway().put_many([(b"same key", os.urandom(64 << 10))])
        assert [row["alarms"] for row in status(hub, code=1).values()] == [["NOSPACE"]]
        assert steps(hub, "--all", "--without-backup", code=1) == [("doubt", None)]
        # nobody holds the key, and etcd takes none now: by hand it goes on
        assert [step for step, _ in steps(hub, "--nospace", "--without-backup")] == ["compact", "defrag", "disarm", "rest"]
        etcd.gateway().put_many([(b"after", b"it writes again")])
        assert [row["alarms"] for row in status(hub).values()] == [[]]


def test_corrupt_is_never_touched(hub, cluster):
    last = cluster.members[-1]
    cluster.fragment(12)
    last.gateway().call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": str(member_id(last)), "alarm": "CORRUPT"})
    assert status(hub, code=1)[last.name]["alarms"] == ["CORRUPT"]
    done = hub.command("etcd", "defrag", "--all", "--nospace", "--without-backup")
    assert done.returncode == 1 and b"CORRUPT is raised for member " + last.name.encode() in done.stderr


# --- memory ---

def test_on_the_smallest_board(make_hub, cluster):
    """Two connections at once, TLS, all metrics, a whole campaign, and nothing is refused."""
    hub = guard(make_hub(endpoints=cluster.urls, profile="edge16", limited=True), defrag=True, quota="64MiB")
    cluster.fragment(12)
    hub.start()
    hub.wait_log("step=defrag member=", count=3, seconds=300)
    assert hub.metric("holdfast_task_refusals_total", task="guardian") == 0
    assert hub.metric("holdfast_metric_series_refused_total") == 0
    print("heap peak", hub.metric("holdfast_task_heap_peak_bytes", task="guardian"), "of",
          hub.metric("holdfast_task_heap_limit_bytes", task="guardian"), "series", len(hub.metrics_text().splitlines()))
    assert hub.metric("holdfast_task_heap_peak_bytes", task="guardian") < 0.95 * 384 * 1024
    assert hub.stop().code == 0
