"""The 2 GiB database on the smallest profile, under the limits of DESIGN; it restores whole."""
from __future__ import annotations

import resource
import time

import pytest

from peers.backup import Folder, check_file
from peers.etcd import restore, snapshot_status
from peers.hub import GROUP_EXTRA, PROFILE_BYTES
from peers.limits import Watch, memory_group
from peers.proc import Proc, wait_for

MIB = 1 << 20
pytestmark = pytest.mark.cluster


def test_two_gibibytes_on_edge16_under_its_limits(start_big, make_hub, tmp_path, capsys):
    etcd, big = start_big()
    hub = make_hub(endpoints=[etcd.url], profile="edge16", limited=True)
    hub.start()
    at_start = hub.metric("process_resident_anon_bytes")
    began = time.monotonic()
    file = hub.wait_snapshot(seconds=120)
    took = time.monotonic() - began
    group_peak = hub.group.peak() if hub.group else 0
    metrics = hub.metrics()
    kills = hub.group.oom_kills() if hub.group else 0
    stopped = hub.stop()
    size = check_file(file) and file.stat().st_size
    usage = stopped.usage
    with capsys.disabled():
        print(f"\n2 GiB on edge16: {size / MIB:.0f} MiB in {took:.1f} s ({size / MIB / took:.0f} MiB/s); RssAnon at start "
              f"{at_start / MIB:.2f}, peak {usage.anon_peak / MIB:.2f} of 16 MiB; RssFile peak {usage.file_peak / MIB:.2f}; "
              f"cgroup peak {group_peak / MIB:.1f} of {(PROFILE_BYTES['edge16'] + GROUP_EXTRA) / MIB:.0f} MiB"
              f"{'' if hub.group else ' (no cgroup here: ' + memory_group.why + ')'}")
        peak = metrics["holdfast_task_heap_peak_bytes"][(("task", "backup"),)]
        print(f"  heap of backup: peak {peak / MIB:.2f} of 4 MiB; longest step "
              f"{metrics['holdfast_task_longest_step_seconds'][(('task', 'backup'),)] * 1000:.1f} ms")
    assert stopped.code == 0 and kills == 0
    assert size >= 2 << 30
    assert usage.anon_peak <= PROFILE_BYTES["edge16"] and usage.samples > 50
    assert all(count == 0 for count in metrics["holdfast_task_refusals_total"].values())
    assert snapshot_status(file, "3.7")["totalKey"] >= big.live
    with restore(file, tmp_path / "again", "3.7") as again:
        file.unlink()  # 2 GiB of disk
        again.start()
        assert again.count() == big.live >= 1_000_000
        assert again.gateway().revision() >= big.revision


def test_a_one_shot_is_small(start_big, make_hub, capsys):
    """`backup now` maps memory as it needs it: the same work in a few MiB, under a hard limit of the profile."""
    etcd, _ = start_big()
    hub = make_hub(endpoints=[etcd.url])
    hub.write_config()
    amount = PROFILE_BYTES["edge16"]
    group = memory_group(amount + GROUP_EXTRA)
    proc = Proc([hub.binary, "backup", "now", "--profile", "edge16", "--config", hub.config_file], log=hub.log,
                env=hub.env, limits={resource.RLIMIT_DATA: amount}, setup=group.enter if group else None)
    watch = Watch(proc.pid)
    assert proc.wait(120) == 0, proc.log_text()
    usage = watch.stop()
    with capsys.disabled():
        print(f"\nbackup now, 2 GiB: RssAnon peak {usage.anon_peak / MIB:.2f} MiB, RssFile peak {usage.file_peak / MIB:.2f}")
    if group:
        assert group.oom_kills() == 0
        group.remove()
    check_file(hub.snapshots()[0])
    assert usage.anon_peak <= 4 * MIB


def test_killed_and_paused_without_a_proxy(start_big, make_hub):
    """A real member in the middle of a real stream, nothing between."""
    etcd, _ = start_big()
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["idle_timeout"] = "2s"
    kept = Folder(hub.backups)
    hub.write_config()
    for hurt, words in ((etcd.pause, "no byte from etcd for 2 s"), (etcd.kill, "closed by the peer")):
        proc = Proc([hub.binary, "backup", "now", "--config", hub.config_file], log=hub.folder / hurt.__name__, env=hub.env)
        wait_for(lambda: sum(path.stat().st_size for path in hub.leftovers()) > 100 * MIB, "100 MiB", 30, proc)
        hurt()
        assert proc.wait(6) == 1
        assert words in proc.log_text() or (hurt.__name__ == "kill" and "connection reset" in proc.log_text())
        kept.assert_untouched()
        etcd.resume()
