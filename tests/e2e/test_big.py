"""The 2 GiB database on the smallest profile, under the limits of DESIGN; it restores whole."""
from __future__ import annotations

import json
import resource
import time

import pytest

from peers.backup import Folder, check_file
from peers.catalogue import LISTED, VERIFIED, assert_agrees, assert_shape, assert_whole
from peers.etcd import restore, snapshot_status
from peers.hub import GROUP_EXTRA, PROFILE_BYTES
from peers.limits import Usage, Watch, memory_group
from peers.proc import Proc, wait_for

MIB = 1 << 20
pytestmark = pytest.mark.cluster


LIMIT = PROFILE_BYTES["edge16"]
ONE_SHOT_MAX = 4 * MIB  # of the stream alone
VERIFY_S_MAX = 1800  # in the cgroup 20 MiB of page cache are left for 2 GiB read in the order of keys, some times over


def told(what: str, seconds: float, size: int, usage: Usage, group, more: str = "") -> str:
    in_group = f"cgroup peak {group.peak() / MIB:.1f} of {(LIMIT + GROUP_EXTRA) / MIB:.0f} MiB" if group else "no cgroup"
    return (f"\n{what}: {size / MIB:.0f} MiB in {seconds:.1f} s ({size / MIB / seconds:.0f} MiB/s); RssAnon peak "
            f"{usage.anon_peak / MIB:.2f} of {LIMIT / MIB:.0f} MiB; RssFile peak {usage.file_peak / MIB:.2f}; {in_group}{more}")


def limited(line: list, log, env: dict, seconds: float = VERIFY_S_MAX, in_group: bool = True) -> tuple[Proc, Usage, object]:
    """A command to its end under RLIMIT_DATA and, where there can be one, a cgroup; the caller removes the group."""
    group = memory_group(LIMIT + GROUP_EXTRA) if in_group else None
    proc = Proc([*line, "--profile", "edge16"], log=log, env=env, limits={resource.RLIMIT_DATA: LIMIT},
                setup=group.enter if group else None)
    watch = Watch(proc.pid)
    proc.wait(seconds)
    return proc, watch.stop(), group


def test_two_gibibytes_on_edge16_under_its_limits(start_big, make_hub, tmp_path, capsys):
    """Taken by the hub and verified to level 4, `backup verify` says the same, and it restores whole."""
    etcd, big = start_big()
    hub = make_hub(endpoints=[etcd.url], profile="edge16", limited=True)
    hub.start()
    at_start = hub.metric("process_resident_anon_bytes")
    began = time.monotonic()
    wait_for(lambda: any(path.stat().st_size > 2 << 30 for path in hub.leftovers()), "all bytes", 1200, hub.proc)
    streamed = time.monotonic() - began
    file = hub.wait_snapshot(seconds=VERIFY_S_MAX)  # it has its name when it is verified
    record_file = file.with_name(file.name + ".json")
    wait_for(record_file.exists, "verified and recorded", 600, hub.proc)
    took = time.monotonic() - began
    wait_for(lambda: hub.metric("holdfast_backup_verified_level", destination="local") == 4, "metric of level 4", 60, hub.proc)
    metrics, kills = hub.metrics(), hub.group.oom_kills() if hub.group else 0
    peak = metrics["holdfast_task_heap_peak_bytes"][(("task", "backup"),)]
    limit = metrics["holdfast_task_heap_limit_bytes"][(("task", "backup"),)]
    size, usage = file.stat().st_size, hub.watch.stop()
    with capsys.disabled():
        print(told("2 GiB by a hub on edge16", took, size, usage, hub.group,
                   f"\n  the stream alone {streamed:.1f} s; RssAnon at start {at_start / MIB:.2f}; heap of backup: peak {peak / MIB:.2f} "
                   f"of {limit / MIB:.2f} MiB; longest step "
                   f"{metrics['holdfast_task_longest_step_seconds'][(('task', 'backup'),)] * 1000:.1f} ms"))
    stopped = hub.stop()
    assert stopped.code == 0 and kills == 0
    assert size >= 2 << 30
    assert usage.anon_peak <= LIMIT and usage.samples > 50
    assert all(count == 0 for count in metrics["holdfast_task_refusals_total"].values())
    record = assert_shape(json.loads(record_file.read_text()), LISTED)
    assert_whole(record)
    check_verify(hub, file, record, tmp_path, capsys)
    status = snapshot_status(file, "3.7")
    assert_agrees(record, status, "3.7.0")
    assert record["keys"] == big.live
    with restore(file, tmp_path / "again", "3.7") as again:
        file.unlink()  # 2 GiB of disk
        again.start()
        assert again.count() == big.live >= 1_000_000
        assert again.gateway().revision() >= big.revision


def check_verify(hub, file, record: dict, tmp_path, capsys) -> None:
    """The file alone tells what the hub told; with the page cache that the machine has, in the profile's memory."""
    log, began = tmp_path / "verify.json", time.monotonic()
    proc, usage, group = limited([hub.binary, "backup", "verify", file, "-o", "json"], log, hub.env, in_group=False)
    with capsys.disabled():
        print(told("backup verify of it", time.monotonic() - began, record["bytes"], usage, group))
    assert proc.code() == 0, proc.log_text()
    again = assert_shape(json.loads(proc.log_text()))
    assert {name: again[name] for name in VERIFIED if name != "path"} == {name: record[name] for name in VERIFIED if name != "path"}
    assert usage.anon_peak <= LIMIT


def test_with_less_than_its_profile_it_does_not_begin(make_hub):
    """The limit is a real one: a byte that is not there is told at start, not found out in the middle of a backup."""
    hub = make_hub(endpoints=["http://127.0.0.1:1"], client=None, profile="edge16")
    hub.write_config()
    proc = Proc([hub.binary, "run", "--profile", "edge16", "--config", hub.config_file], log=hub.log, env=hub.env,
                limits={resource.RLIMIT_DATA: LIMIT // 2})
    assert proc.wait(60) != 0
    assert "memory" in proc.log_text(), proc.log_text()


def test_a_one_shot_is_small(start_big, make_hub, tmp_path, capsys):
    """`backup now` maps memory as it needs it: the stream and its digest under a hard limit of the profile."""
    etcd, _ = start_big()
    hub = make_hub(endpoints=[etcd.url])
    began = time.monotonic()
    proc, usage, group = limited([hub.binary, "backup", "now", "--level", "2", "--config", hub.write_config()], hub.log, hub.env)
    size = hub.snapshots()[0].stat().st_size
    with capsys.disabled():
        print(told("backup now --level 2, 2 GiB", time.monotonic() - began, size, usage, group))
    assert proc.code() == 0, proc.log_text()
    if group:
        assert group.oom_kills() == 0
        group.remove()
    check_file(hub.snapshots()[0])
    assert usage.anon_peak <= ONE_SHOT_MAX


def test_killed_and_paused_without_a_proxy(start_big, make_hub):
    """A real member in the middle of a real stream, nothing between."""
    etcd, _ = start_big()
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["idle_timeout"] = "10s"  # etcd that starts on 2 GiB may be silent for some
    kept = Folder(hub.backups)
    hub.write_config()
    for hurt, words in ((etcd.pause, "no byte from etcd for 10 s"), (etcd.kill, "closed by the peer")):
        proc = Proc([hub.binary, "backup", "now", "--config", hub.config_file], log=hub.folder / hurt.__name__, env=hub.env)
        wait_for(lambda: sum(path.stat().st_size for path in hub.leftovers()) > 100 * MIB, "100 MiB", 120, proc)
        hurt()
        assert proc.wait(60) == 1
        assert words in proc.log_text() or (hurt.__name__ == "kill" and "connection reset" in proc.log_text())
        kept.assert_untouched()
        etcd.resume()
