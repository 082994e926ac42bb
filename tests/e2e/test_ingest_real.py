"""The ingest agent between a real API server and the strict double: the law holds over a snapshot and changes of every kind."""
from __future__ import annotations

import pytest

from peers.kube import ControlPlane
from peers.kube_law import Law
from peers.kubefill import bump, fill, make, remove
from peers.kubekinds import KINDS
from peers.platform import Platform

pytestmark = pytest.mark.cluster
PODS = 100


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), audit=True) as made:
        yield made


@pytest.fixture(scope="module")
def filled(plane):
    return fill(plane, PODS)


@pytest.fixture
def platform(tmp_path, server_cert):
    with Platform(tmp_path / "platform", server_cert) as made:
        yield made


@pytest.fixture
def hub(make_hub, plane, platform, ca, tmp_path):
    """Running, with the rights of the chart and no more."""
    (tmp_path / "client-id").write_text(platform.client_id + "\n")
    made = make_hub(endpoints=[plane.etcd.url])
    del made.config["backup"]
    made.config["kubernetes"] = {"kubeconfig": str(plane.kubeconfig("agent", token=plane.agent_account()))}
    made.config["ingest"] = {
        "enabled": True, "source": "config", "platform_url": platform.url, "ca": str(ca.cert), "cluster_name": "test",
        "credentials": {"client_id_file": str(tmp_path / "client-id"), "private_key_file": str(platform.private_key)},
        "rate_limit": {"events_per_second": 2000, "burst_size": 2000}, "sync_interval": "2s"}
    return made.start()


def test_the_law_holds(plane, filled, platform, hub):
    law = Law(plane, platform)
    law.holds()
    assert platform.count("snapshots") == 1 and platform.count("added_known") == 0, "what is listed is in the snapshot, once"
    bump(plane, "Pod", filled.named["Pod"][:50], 2)
    for kind in KINDS:
        if kind not in ("Namespace", "Node"):
            plane.client.create(kind, make(kind, 1, filled.named["Namespace"][0][1], filled.planted, "new"))
    remove(plane, "ConfigMap", filled.named["ConfigMap"][:5])
    law.holds()
    platform.wait_count("heartbeats", 2)
    assert not any(filled.planted in str(platform.state(kind)) for kind in KINDS)


def test_it_is_told_that_nobody_answers(plane, filled, platform, hub):
    """And that they do again: a kind that cannot be watched is not up, and who watches nothing does not lead."""
    hub.wait_metric("holdfast_ingest_leading", lambda n: n == 1)
    hub.wait_metric("holdfast_ingest_kind_up", lambda n: n == 1, kind="Pod")
    plane.api.kill()
    hub.wait_metric("holdfast_ingest_leading", lambda n: n == 0, 120)
    hub.wait_metric("holdfast_ingest_kind_up", lambda n: n == 0, kind="Pod")
    plane.api.start()
    hub.wait_metric("holdfast_ingest_leading", lambda n: n == 1, 180)
    hub.wait_metric("holdfast_ingest_kind_up", lambda n: n == 1, kind="Pod")
    Law(plane, platform).holds()
