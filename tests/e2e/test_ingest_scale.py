"""Memory does not know how large the cluster is: 1,000 and 10,000 pods on hub32, 2,000 on edge16, with all other kinds in proportion,
under the profile's limit of data and, where it can be had, a memory cgroup of profile + 16 MiB."""
from __future__ import annotations

import re
import time

import pytest

from peers.hub import GROUP_EXTRA, PROFILE_BYTES
from peers.kube import ControlPlane
from peers.kubefill import bump, fill
from peers.streaming import Stream

pytestmark = pytest.mark.cluster
FLAT = 0.05
measured: dict[int, dict[str, float]] = {}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=4) as made:
        yield made


@pytest.fixture(scope="module")
def grown(plane):
    """grown(pods): the cluster has at least so many; it only grows."""
    have = [0]

    def grow(pods: int) -> None:
        if pods > have[0]:
            fill(plane, pods - have[0], prefix=f"s{pods}", running=False, direct=True)
            have[0] = pods
    return grow


def measure(s, pods):
    """First list, snapshot, and a change of every Service; then the law."""
    s.hub.start()
    began = time.monotonic()
    s.platform.wait_count("snapshots", 1, 240)
    first = time.monotonic() - began
    # By the API server: of several objects with one version, as one write into etcd gives them, a watch that is cut between them loses some.
    named = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in s.plane.objects("Service")]
    changed = bump(s.plane, "Service", named, 2 + pods)
    s.platform.wait_count("events", changed, 120)
    s.settle(120)
    listed = re.search(r'msg="the cluster was listed" objects=(\d+) took_ms=(\d+)', s.hub.log_text())
    assert listed, s.hub.log_text()[-2000:]
    assert s.hub.metric("holdfast_ingest_objects_oversized_total") == 0
    heap = s.hub.metric("holdfast_task_heap_peak_bytes", task="ingest")
    usage, group = s.hub.watch.usage, s.hub.group
    told = {"pods": pods, "objects": int(listed[1]), "first_list_ms": int(listed[2]), "delivered_s": round(first, 1), "changed": changed,
            "rss_anon": usage.anon_peak, "rss_file": usage.file_peak, "ingest_heap": int(heap),
            "heap_limit": int(s.hub.metric("holdfast_task_heap_limit_bytes", task="ingest")),
            "group_peak": group.peak() if group else "none", "snapshot_bytes": s.platform.snapshots()[-1]["bytes"]}
    assert usage.anon_peak <= PROFILE_BYTES[s.hub.profile]
    assert group is None or (group.oom_kills() == 0 and group.peak() <= PROFILE_BYTES[s.hub.profile] + GROUP_EXTRA)
    s.tell(f"scale {s.hub.profile}", **told)
    assert s.hub.stop().code == 0
    return told


@pytest.mark.parametrize("profile, pods", [("hub32", 1000), ("edge16", 2000), ("hub32", 10000)])
def test_memory_is_flat(holdfast, tmp_path, plane, ca, grown, profile, pods):
    grown(pods)
    with Stream(holdfast, tmp_path, plane, ca, profile=profile) as s:
        told = measure(s, pods)
    if profile != "hub32":
        return
    measured[pods] = told
    if len(measured) == 2:
        few, many = measured[1000], measured[10000]
        for name in ("rss_anon", "ingest_heap"):
            assert abs(many[name] - few[name]) <= FLAT * few[name], f"{name}: {few[name]} with 1,000 pods, {many[name]} with 10,000"
