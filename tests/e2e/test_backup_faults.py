"""`holdfast backup now` when etcd, the network or the disk fails it: a clear error, in time, and nothing left behind."""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from peers.backup import Folder, Unshared, check_file, now
from peers.etcd import Cluster, Etcd
from peers.faulty import Faults, Proxy, stuck
from peers.hub import record_of
from peers.nginx import Nginx
from peers.proc import Proc, free_port, port_open, wait_for

MIB = 1 << 20
DB_BYTES = 4 * MIB  # of big values; the file is a little larger
WORD = b"a big value, "  # of nothing else


def put_big(etcd: Etcd) -> Etcd:
    """With DB_BYTES in it, etcd can never have sent all while its stream is stuck at 500 kB: the client's window is
    1 MiB."""
    etcd.gateway().put_many((b"key-%d" % i, (WORD * MIB)[:MIB]) for i in range(DB_BYTES // MIB))
    return etcd


@pytest.fixture
def own_etcd(start_etcd):
    """To be killed and paused. Its plaintext listener is back_port."""
    return put_big(start_etcd())


@pytest.fixture(scope="module")
def kept_etcd(tmp_path_factory, server_cert):
    """One for all tests that leave it alone."""
    with Etcd(tmp_path_factory.mktemp("kept"), tls=server_cert) as etcd:
        yield put_big(etcd.start())


def port_of(etcd: Etcd, scheme: str) -> int:
    return etcd.port if scheme == "https" else etcd.back_port


@pytest.fixture
def hub_via(make_hub):
    """hub_via(proxy, **backup keys): a configuration that goes through the proxy, with an earlier snapshot there."""
    def make(proxy, scheme: str = "http", **backup: str):
        hub = make_hub(endpoints=[f"{scheme}://127.0.0.1:{proxy.port}"])
        hub.config["backup"].update(backup)
        earlier = hub.backups / "etcd-snapshot-20200101-000000.db"
        earlier.write_bytes(b"earlier")
        record_of(earlier).write_text('{"name":"%s","verdict":"good","level":4,"bytes":7}' % earlier.name)
        os.utime(earlier, (1577836800, 1577836800))
        return hub

    return make


def assert_failed(hub, done, kept: Folder, code: int, words: list[str], seconds: float) -> None:
    for word in words:
        assert word in done.said, done.said
    assert done.code == code, done.said
    assert done.took <= seconds, done.said
    assert done.out == ""
    kept.assert_untouched()


def assert_kept_aside(hub, done, earlier: Path, reason: str) -> None:
    """A stream that came whole and is wrong: told, kept as NAME.bad with its record, and the earlier one as it was."""
    assert done.code == 1 and f"damaged ({reason})" in done.said, done.said
    assert hub.snapshots() == [earlier] and earlier.read_bytes() == b"earlier"
    (bad,) = hub.damaged()
    record = json.loads(bad.with_suffix(".json").read_text())
    assert (record["verdict"], record["reason"], record["path"]) == ("bad", reason, str(bad))
    assert record["bytes"] == bad.stat().st_size and record["errors"][0]["code"] == reason


def start_now(hub) -> Proc:
    hub.write_config()
    return Proc([hub.binary, "backup", "now", "--config", hub.config_file], log=hub.log, env=hub.env)


def stuck_halfway(hub, proxy) -> Proc:
    """`backup now` under way, with half a megabyte received."""
    proc = start_now(hub)
    wait_for(lambda: proxy.bytes_down >= 500_000 and any(hub.backups.glob("*.part-*")), "the middle of it", 30, proc)
    return proc


HALFWAY = Faults(stuck_after=500_000)


# --- the member

@pytest.mark.parametrize("scheme", ["http", "https"])
def test_member_killed_in_the_middle(scheme, own_etcd, hub_via):
    with Proxy(port_of(own_etcd, scheme), down=HALFWAY) as proxy:
        hub = hub_via(proxy, scheme)
        kept = Folder(hub.backups)
        proc = stuck_halfway(hub, proxy)
        own_etcd.kill()
        proxy.set(down=Faults())
        assert proc.wait(120) == 1
    assert "closed by the peer" in proc.log_text() or "connection reset" in proc.log_text()
    assert f"127.0.0.1:{proxy.port}" in proc.log_text()
    kept.assert_untouched()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_member_paused_in_the_middle(scheme, own_etcd, hub_via):
    with Proxy(port_of(own_etcd, scheme), down=HALFWAY) as proxy:
        hub = hub_via(proxy, scheme, idle_timeout="5s")
        kept = Folder(hub.backups)
        began = time.monotonic()
        proc = stuck_halfway(hub, proxy)
        own_etcd.pause()
        proxy.set(down=Faults())
        assert proc.wait(120) == 1
        assert time.monotonic() - began >= 5
    assert "no byte from etcd for 5 s (backup.idle_timeout)" in proc.log_text()
    kept.assert_untouched()
    own_etcd.resume()
    hub.config["backup"].update(idle_timeout="60s")
    hub.config["backup"]["etcd"]["endpoints"] = [own_etcd.url]
    done = now(hub)
    assert done.code == 0, done.said


def test_member_paused_before_it(own_etcd, hub_via):
    hub = hub_via(own_etcd, "https")
    kept = Folder(hub.backups)
    own_etcd.pause()
    done = now(hub)
    own_etcd.resume()
    assert_failed(hub, done, kept, 1, ["deadline passed", own_etcd.url], 60)


@pytest.mark.parametrize("fault", [
    Faults(reset_after=500_000), Faults(reset_after=3_000), Faults(reset_after=0),
    Faults(truncate_after=500_000), Faults(truncate_after=10), Faults(truncate_after=0),
], ids=["reset-in-the-stream", "reset-in-the-handshake", "reset-at-once", "end-in-the-stream", "end-in-the-handshake",
        "end-at-once"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_cut(scheme, fault, kept_etcd, hub_via):
    with Proxy(port_of(kept_etcd, scheme), down=fault) as proxy:
        hub = hub_via(proxy, scheme)
        kept = Folder(hub.backups)
        done = now(hub)
        assert_failed(hub, done, kept, 1, [f"127.0.0.1:{proxy.port}"], 60)
        assert "closed by the peer" in done.said or "connection reset" in done.said, done.said  # a race of FIN and RST


def test_a_byte_at_a_time_ends_with_the_whole_timeout(kept_etcd, hub_via):
    with Proxy(kept_etcd.back_port, down=Faults(slow_ms=2, slow_bytes=16)) as proxy:
        hub = hub_via(proxy, total_timeout="3s")
        kept = Folder(hub.backups)
        assert_failed(hub, now(hub), kept, 1, ["not done within backup.total_timeout"], 60)


def test_slow_but_steady_is_waited_for(kept_etcd, hub_via):
    """Slower than idle_timeout in all, never silent for as long."""
    with Proxy(kept_etcd.back_port, down=Faults(slow_ms=6, slow_bytes=4096)) as proxy:
        hub = hub_via(proxy, idle_timeout="5s")
        done = now(hub)
    assert done.code == 0, done.said
    assert done.took > 5
    check_file(hub.snapshots()[-1])


@pytest.mark.parametrize("at", [100_000, 1_000_003, 3_000_001])
def test_a_flipped_bit_in_the_stream_is_found(at, kept_etcd, hub_via):
    with Proxy(kept_etcd.back_port, down=Faults(flip_at=at, flip_in=WORD * 4)) as proxy:
        hub = hub_via(proxy)
        (earlier,) = hub.snapshots()
        done = now(hub)
    assert_kept_aside(hub, done, earlier, "sha256")


def test_a_flipped_bit_under_tls_is_found(kept_etcd, hub_via):
    with Proxy(kept_etcd.port, down=Faults(flip_at=1_000_000)) as proxy:
        hub = hub_via(proxy, "https")
        kept = Folder(hub.backups)
        assert_failed(hub, now(hub), kept, 1, ["TLS"], 60)


# --- endpoints

def test_nobody_listens(make_hub):
    hub = make_hub(endpoints=[f"https://127.0.0.1:{free_port()}"])
    kept = Folder(hub.backups)
    assert_failed(hub, now(hub), kept, 1, ["connection refused", hub.config["backup"]["etcd"]["endpoints"][0]], 60)


def test_the_name_does_not_resolve(make_hub):
    hub = make_hub(endpoints=["https://no-such-host.invalid:2379"])
    kept = Folder(hub.backups)
    assert_failed(hub, now(hub), kept, 1, ["no-such-host.invalid"], 60)


def test_a_silent_peer(make_hub):
    with stuck() as peer:
        hub = make_hub(endpoints=[f"http://127.0.0.1:{peer.port}"])
        kept = Folder(hub.backups)
        assert_failed(hub, now(hub), kept, 1, ["deadline passed", str(peer.port)], 60)


def test_no_grpc_behind_the_port(make_hub, server_cert, tmp_path):
    with Nginx(tmp_path / "nginx", tls=server_cert, alpn_h2=True) as nginx:
        hub = make_hub(endpoints=[nginx.url])
        kept = Folder(hub.backups)
        assert_failed(hub, now(hub), kept, 1, ["no gRPC answer"], 60)


def test_the_first_endpoint_is_dead(kept_etcd, make_hub):
    dead = f"https://127.0.0.1:{free_port()}"
    hub = make_hub(endpoints=[dead, kept_etcd.url])
    done = now(hub, "-o", "json")
    assert done.code == 0
    assert f"endpoint={dead} " in done.said and "connection refused" in done.said
    assert done.record["endpoint"] == kept_etcd.url
    check_file(Path(done.record["path"]))


def test_all_endpoints_are_dead_and_each_is_named(make_hub):
    dead = [f"https://127.0.0.1:{free_port()}" for _ in range(3)]
    hub = make_hub(endpoints=dead)
    kept = Folder(hub.backups)
    assert_failed(hub, now(hub), kept, 1, [*dead, "no etcd endpoint can be used"], 60)


@pytest.mark.cluster
def test_a_learner_is_passed_over(tmp_path, server_cert, make_hub):
    with Cluster(tmp_path / "cluster", 1, "3.7", tls=server_cert).start() as cluster:
        voter = cluster.members[0]
        voter.fill(100, big=0)
        learner = Etcd(tmp_path / "learner", "3.7", server_cert, name="learner",
                       flags=["--initial-cluster-state", "existing"])
        voter.etcdctl("member", "add", "learner", "--learner", f"--peer-urls={learner.peer_url}")
        learner.initial_cluster = f"{voter.initial_cluster},{learner.initial_cluster}"
        with learner.start(wait=False):
            wait_for(lambda: port_open(learner.port), "the learner", 30, learner.proc)
            hub = make_hub(endpoints=[learner.url, voter.url])
            wait_for(lambda: "learner" in now(hub).said, "the learner is told of", 30)
            done = now(hub, "-o", "json")
            assert done.code == 0
            assert f"endpoint={learner.url}" in done.said and "learner" in done.said
            assert done.record["endpoint"] == voter.url
            hub.config["backup"]["etcd"]["endpoints"] = [learner.url]
            kept = Folder(hub.backups)
            assert_failed(hub, now(hub), kept, 1, ["learner"], 60)


# --- the disk

def test_too_small_a_disk_is_told_before(kept_etcd, hub_via):
    hub = hub_via(kept_etcd, "https")
    run = Unshared(hub, 'mount -t tmpfs -o size=3m none "$at"')
    done = run.wait()
    assert done.code == 1 and "no space left on the disk" in done.said and "bytes free" in done.said, done.said
    assert run.left == []


def test_a_disk_that_fills_up_in_the_middle(kept_etcd, hub_via):
    with Proxy(kept_etcd.back_port, down=Faults(stuck_after=100_000)) as proxy:
        hub = hub_via(proxy)
        size = int(kept_etcd.gateway().status()["dbSize"]) + 2 * MIB
        run = Unshared(hub, f'mount -t tmpfs -o size={size} none "$at"')
        run.wait_part()
        filler = run.inside / "filler"
        filler.write_bytes(bytes(size - 2 * MIB))
        proxy.set(down=Faults())
        done = run.wait()
    assert done.code == 1 and "no space left on the disk" in done.said, done.said
    assert run.left == ["filler"]


def test_a_read_only_folder(kept_etcd, hub_via):
    hub = hub_via(kept_etcd, "https")
    kept = Folder(hub.backups)
    run = Unshared(hub, 'mount --bind "$at" "$at" && mount -o remount,bind,ro "$at"')
    done = run.wait()
    assert done.code == 1 and "read-only file system" in done.said and str(hub.backups) in done.said, done.said
    kept.assert_untouched()


def test_the_path_is_a_file(kept_etcd, make_hub):
    hub = make_hub(endpoints=[kept_etcd.back_door])
    path = hub.folder / "a-file"
    path.write_text("mine")
    hub.config["backup"]["destinations"][0]["path"] = str(path)
    done = now(hub)
    assert done.code == 1 and str(path) in done.said
    assert path.read_text() == "mine"


@pytest.mark.parametrize("number", [15, 2], ids=["SIGTERM", "SIGINT"])
def test_stopped_in_the_middle(number, kept_etcd, hub_via):
    with Proxy(kept_etcd.back_port, down=HALFWAY) as proxy:
        hub = hub_via(proxy)
        kept = Folder(hub.backups)
        proc = stuck_halfway(hub, proxy)
        proc.send(number)
        assert proc.wait(60) == 1
    kept.assert_untouched()


def test_killed_in_the_middle_leaves_a_marked_part_only(kept_etcd, hub_via):
    with Proxy(kept_etcd.back_port, down=HALFWAY) as proxy:
        hub = hub_via(proxy)
        proc = stuck_halfway(hub, proxy)
        wait_for(lambda: hub.leftovers(), "its file", 30)
        proc.kill()
    assert [path.name for path in hub.snapshots()] == ["etcd-snapshot-20200101-000000.db"]
    assert len(hub.leftovers()) == 1 and ".db.part-" in hub.leftovers()[0].name
