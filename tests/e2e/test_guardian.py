"""The guardian against real clusters of three members over TLS: what it sees, and what it repairs."""
from __future__ import annotations

import time

import pytest

from peers.etcd import Cluster
from peers.proc import wait_for

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
    leader = cluster.leader().name
    sizes = dict(zip((m.name for m in cluster.members), cluster.sizes()))
    for member in cluster.members:
        assert hub.metric("holdfast_etcd_member_is_leader", member=member.name) == (member.name == leader)
        assert hub.metric("holdfast_etcd_member_db_size_bytes", member=member.name) == sizes[member.name][0]
        assert hub.metric("holdfast_etcd_alarms", member=member.name, alarm="NOSPACE") == 0
        assert hub.metric("holdfast_etcd_member_revision_lag", member=member.name) == 0
        expiry = hub.metric("holdfast_etcd_certificate_expiry_timestamp_seconds", member=member.name, certificate="server")
        assert expiry > time.time() + 3600
    assert hub.metric("holdfast_etcd_certificate_expiry_timestamp_seconds", member="", certificate="client") > time.time()
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
        hub.wait_metric("holdfast_etcd_defrag_total", lambda count: count == 1, 90, member=member.name)
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
