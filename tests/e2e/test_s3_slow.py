"""An uplink slower than backup.min_rate: told, or from the next run on by way of the stage, so that etcd need not wait for it."""
from __future__ import annotations

import os
import re
import threading
import time
import urllib.request

import pytest

from peers.backup import now
from peers.etcd import Etcd
from peers.offsite import NAME, assert_whole, destination, stored
from peers.proc import wait_for
from peers.s3fake import S3Fake

pytestmark = pytest.mark.cluster
MIB = 1 << 20
DATABASE = 150 * MIB
SLOW, HARDLY = 2 * MIB, MIB // 2  # bytes a second of each connection: 75 s of a stream; 300 s
TOLD = "the destination is slow"


@pytest.fixture
def etcd(tmp_path, server_cert):
    with Etcd(tmp_path / "etcd", "3.7", server_cert) as member:
        member.start().gateway().put_many((b"noise/%06d" % i, os.urandom(64 << 10)) for i in range(DATABASE >> 16))
        yield member


def streams_ended(etcd: Etcd) -> int:
    """As etcd counts them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{etcd.metrics_port}/metrics", timeout=60) as answer:
        found = re.findall(r'^grpc_server_handled_total\{.*grpc_method="Snapshot".*\} (\d+)$', answer.read().decode(), re.M)
    return sum(map(int, found))


def test_a_slow_uplink(make_hub, etcd, tmp_path):
    """Two hubs at once, one without a stage; then the second one's next run."""
    with S3Fake(tmp_path / "s3") as s3:
        s3.client().make_bucket()
        s3.uplink_bytes_s = SLOW
        hubs = {}
        for name in ("plain", "staged"):
            hub = hubs[name] = make_hub(endpoints=[etcd.url])
            hub.config["backup"]["destinations"] = [destination(s3, hub.folder, prefix=name + "/", compress="none")]
        stage = tmp_path / "stage"
        hubs["staged"].config["backup"]["stage"] = str(stage)
        began = time.monotonic()
        for hub in hubs.values():
            hub.start()
        for hub in hubs.values():
            hub.wait_log("backup done", 1, 400)
        print(f"{DATABASE >> 20} MiB at {SLOW >> 20} MiB/s: {time.monotonic() - began:.0f} s")
        hub = hubs["plain"]
        assert hub.log_text().count(TOLD) == 1 and "set backup.stage" in hub.log_text()
        assert hub.metric("holdfast_backup_through_stage", destination=NAME) == 0
        hub.stop()
        hub = hubs["staged"]
        assert TOLD not in hub.log_text() and hub.metric("holdfast_backup_through_stage", destination=NAME) == 1
        assert streams_ended(etcd) == 2 and (not stage.exists() or list(stage.iterdir()) == [])
        hub.wait_idle()
        goes_through_the_stage(hub, etcd, s3, stage, tmp_path)


def goes_through_the_stage(hub, etcd, s3, stage, tmp_path) -> None:
    s3.uplink_bytes_s, done = HARDLY, []
    thread = threading.Thread(target=lambda: done.append(now(hub, "-o", "json", seconds=300)))
    thread.start()
    wait_for(lambda: streams_ended(etcd) == 3, "etcd left alone", 120, hub.proc)
    assert not done and sum(path.stat().st_size for path in stage.iterdir()) > DATABASE
    s3.uplink_bytes_s = 0
    thread.join()
    assert done[0].code == 0, done
    record = done[0].record
    assert (record["verdict"], record["level"]) == ("good", 4) and list(stage.iterdir()) == []
    assert_whole(s3, record, None, tmp_path, "staged/")
    assert len(stored(s3, "staged/")) == 2 and streams_ended(etcd) == 3
    log = hub.stop().log
    assert "level=warn" not in log and "level=error" not in log, log
