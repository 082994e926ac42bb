"""Every version of etcd off-site and back, by its own tools; and a cluster of which one member is cut off, one is a learner and one dies:
what is taken is a healthy follower's."""
from __future__ import annotations

import json
import threading
import time

import pytest

from peers.agebox import AgeKey
from peers.backup import now
from peers.etcd import Cluster, Etcd, restore
from peers.faulty import Faults, Proxy
from peers.offsite import NAME, assert_whole, destination, stored
from peers.proc import wait_for
from peers.s3fake import S3Fake

KEYS = 3000
SOME = Faults(stuck_after=4 << 20)


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> AgeKey:
    return AgeKey(tmp_path_factory.mktemp("keys") / "key.txt")


@pytest.fixture
def s3(tmp_path, server_cert):
    with S3Fake(tmp_path / "s3", tls=server_cert) as server:
        server.client().make_bucket()
        yield server


@pytest.fixture
def site(make_hub, s3, key):
    def make(endpoints: list[str]):
        hub = make_hub(endpoints=endpoints)
        hub.config["backup"]["destinations"] = [destination(s3, hub.folder, key)]
        return hub
    return make


def comes_back(hub, key, version: str, count: int, tmp_path) -> None:
    out = tmp_path / "out.db"
    out.unlink(missing_ok=True)
    done = hub.command("backup", "restore", f"{NAME}/latest", "--to", out, "--identity", key.file)
    assert done.returncode == 0, done.stderr
    with restore(out, tmp_path / f"again{time.monotonic_ns()}", version).start() as again:
        assert again.count() == count


def test_off_site_and_back(etcd: Etcd, etcd_version, site, s3, key, tmp_path):
    etcd.fill(KEYS, big=8)
    hub = site([etcd.url])
    done = now(hub, "-o", "json")
    assert (done.code, done.said) == (0, "")
    assert (done.record["etcd_version"], done.record["endpoint"]) == (etcd.version, etcd.url)
    assert stored(s3) == [done.record["name"]]
    assert_whole(s3, done.record, key, tmp_path)
    comes_back(hub, key, etcd_version, etcd.count(), tmp_path)


# --- a cluster ---

@pytest.fixture
def cluster(tmp_path, server_cert):
    """Three members and a learner."""
    with Cluster(tmp_path / "cluster", 3, "3.7", tls=server_cert, gated=True).start() as made:
        made.members[0].fill(KEYS, big=12)
        learner = made.add_learner(tmp_path / "learner")
        wait_for(lambda: int(learner.gateway().status().get("raftAppliedIndex", 0)) > 0, "the learner", 60, learner.proc)
        yield made


def no_leader(member: Etcd) -> bool:
    return int(member.gateway().status().get("leader", 0)) == 0


@pytest.mark.cluster
def test_of_all_members_a_healthy_follower_is_asked(cluster, site, s3, key, tmp_path):
    """Asked in the worst order: the learner, one that is cut off, the leader, and last who is to be."""
    leader = cluster.leader()
    lost, healthy = [member for member in cluster.members[:3] if member is not leader]
    learner = cluster.members[3]
    cluster.cut_off(lost)
    wait_for(lambda: no_leader(lost), "a member without a leader", 60, lost.proc, every=0.1)
    assert cluster.leader() is leader
    leader.gateway().put_many([(b"late", b"the member that is cut off does not know it")])
    hub = site([learner.url, lost.url, leader.url, healthy.url])
    done = now(hub, "-o", "json")
    assert done.code == 0 and done.record["endpoint"] == healthy.url, done
    assert learner.url in done.said and "learner" in done.said
    count = healthy.count()
    comes_back(hub, key, "3.7", count, tmp_path)
    hub.config["backup"]["etcd"]["endpoints"] = [lost.url, leader.url]
    done = now(hub, "-o", "json")
    assert done.code == 0 and done.record["endpoint"] == leader.url, "better the leader than who is cut off"
    cluster.cut_off(None)
    wait_for(lambda: not no_leader(lost) and lost.count() == count, "all together", 60, lost.proc, every=0.1)
    assert len(stored(s3)) == 2


def in_the_middle(hub, proxy, then) -> tuple:
    """`backup now` through a proxy that passes SOME of the stream, then() when it has, and the rest; its outcome and what then() gave."""
    done: list = []
    thread = threading.Thread(target=lambda: done.append(now(hub, "-o", "json", seconds=180)))
    thread.start()
    wait_for(lambda: proxy.bytes_down >= 4 << 20, "some of the stream", 60)
    given = then()
    assert not done, "it was in the middle"
    proxy.set(down=Faults())
    thread.join()
    return done[0], given


@pytest.mark.cluster
def test_the_leader_dies_in_the_middle(cluster, site, s3, key, tmp_path):
    leader = cluster.leader()
    follower = next(member for member in cluster.members[:3] if member is not leader)
    count = follower.count()
    with Proxy(follower.port, down=SOME) as proxy:
        through = f"https://127.0.0.1:{proxy.port}"
        hub = site([leader.url, through])
        done, _ = in_the_middle(hub, proxy, leader.kill)
        assert done.code == 0 and done.record["endpoint"] == through, done.said
        assert_whole(s3, done.record, key, tmp_path)
        comes_back(hub, key, "3.7", count, tmp_path)
        assert wait_for(lambda: cluster.leader() is not leader, "another leader", 60)


@pytest.mark.cluster
def test_the_member_that_is_read_dies_in_the_middle(cluster, site, s3, key, tmp_path):
    """Nothing is stored of it, and the next is another's."""
    leader = cluster.leader()
    follower, other = [member for member in cluster.members[:3] if member is not leader]
    count = follower.count()
    with Proxy(follower.port, down=SOME) as proxy:
        hub = site([leader.url, f"https://127.0.0.1:{proxy.port}"])
        done, _ = in_the_middle(hub, proxy, follower.kill)
        assert done.code == 1 and json.loads(done.out)[0]["destination"] == NAME and stored(s3) == [] == s3.client().uploads(), done
        hub.config["backup"]["etcd"]["endpoints"] += [other.url]
        done = now(hub, "-o", "json")
        assert done.code == 0 and done.record["endpoint"] == other.url, done
    comes_back(hub, key, "3.7", count, tmp_path)
