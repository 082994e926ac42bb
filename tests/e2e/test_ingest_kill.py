"""SIGKILL at random moments while the cluster changes: after the last start the platform has what the API server has, and never was
an older state told after a newer one. SIGTERM: what cannot be sent in 5 s is there at the next start.

HOLDFAST_KILLS   how many moments (200)
HOLDFAST_SEED    repeats a run's moments"""
from __future__ import annotations

import os
import random
import threading
import time

import pytest

from peers.kube import ControlPlane
from peers.kubefill import bump, fill
from peers.streaming import Herd, Stream

pytestmark = pytest.mark.cluster
KILLS = int(os.environ.get("HOLDFAST_KILLS", "200"))
SEED = int(os.environ.get("HOLDFAST_SEED", str(random.SystemRandom().randrange(1 << 32))))
STOP_S_MAX = 15  # 5 s of sending, on a busy machine
LIFE_SECONDS_MAX = 1.2  # of a life after its start: the lists, the snapshot, and then changes


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=1) as made:
        fill(made, 40, running=False)
        yield made


def changes(herd, over, rng, failed):
    """On a thread: some of each, until it is told to stop."""
    try:
        while not over.wait(rng.uniform(0, 0.05)):
            herd.turn()
    except BaseException as error:
        failed.append(error)


def test_sigkill_at_random_moments(holdfast, tmp_path, plane, ca):
    rng = random.Random(SEED)
    print(f"ingest: HOLDFAST_SEED={SEED}, {KILLS} kills")
    herd, over, failed = Herd(plane, "kill"), threading.Event(), []
    herd.grow(12)
    with Stream(holdfast, tmp_path, plane, ca, limited=False) as s:
        s.hub.start()
        s.law.holds()
        worker = threading.Thread(target=changes, args=(herd, over, random.Random(SEED + 1), failed), daemon=True)
        worker.start()
        began, spooled, delivered_to = time.monotonic(), 0, 0
        for at in range(KILLS):
            mood = rng.random()
            if mood < 0.15:  # it cannot be reached for a while: what is told must wait in the spool
                s.platform.down(rng.uniform(0.1, 1.5))
            elif mood < 0.25:
                s.platform.fault({"path": "events", "status": 500, "apply": True, "times": 5})  # taken, but the answer says otherwise
            time.sleep(rng.uniform(0, LIFE_SECONDS_MAX))  # the moment; nothing is assumed of what was reached by then
            s.hub.kill()
            spool = sum(file.stat().st_size for file in (s.hub.folder / "data" / "ingest").rglob("*.spool"))
            spooled += spool > 200
            s.platform.fault()
            s.hub.start(wait=False)
        lives = time.monotonic() - began
        over.set()
        worker.join(30)
        assert not failed, failed
        s.platform.up()
        law = s.settle(180)
        assert "assert" not in s.hub.log_text().lower() and "E_CORRUPT" not in s.hub.log_text()
        s.platform.assert_clean(older=True)
        s.tell("killed", kills=KILLS, seconds=round(lives), changes=herd.changes, deaths_with_a_spool=spooled, law_s=round(law, 1))
        assert herd.changes > KILLS / 4 and s.platform.count("snapshots") > 1


def test_the_mark_of_a_life_before(holdfast, tmp_path, plane, ca):
    """In the spool lie a snapshot's mark and, behind it, an object's `added`; both of a process that was killed. The object goes; the next
    life's snapshot must not take the old mark's place, or the object stays at the platform for ever."""
    with Stream(holdfast, tmp_path, plane, ca) as s:
        s.platform.down()
        s.hub.start()
        s.hub.wait_log("the cluster was listed")
        herd = Herd(plane, "mark")
        herd.grow(8)
        s.wait(lambda: s.count("spool_written_bytes_total") > 4000, "all on the disk")
        s.hub.kill()
        herd.shrink(8)
        s.hub.start()
        s.hub.wait_log("the cluster was listed", 2)
        s.platform.up()
        s.settle(180)
        s.tell("a mark of a life before")


def test_sigterm_keeps_what_cannot_be_sent(holdfast, tmp_path, plane, ca):
    """The platform is away: it ends all the same, and the next start delivers, in order, what waited."""
    herd = Herd(plane, "term")
    with Stream(holdfast, tmp_path, plane, ca) as s:
        s.hub.start()
        s.law.holds()
        s.platform.down()
        herd.grow(20)
        s.wait(lambda: s.status()["agents"][0]["spool"]["events"] >= 20, "all in the spool")
        ended = s.hub.stop(60)
        assert ended.code == 0 and ended.seconds < STOP_S_MAX, ended
        s.platform.clear("journal")
        s.platform.up()
        s.hub.start()
        took = s.settle()
        told = [one for one in s.platform.journal() if one["path"] in ("events", "snapshot") and one["status"] == 200]
        first = [one for one in told[:20] if one["path"] == "events" and one["type"] == "added"]
        assert len(first) == 20, "the spool's first, then the snapshot"
        s.tell("SIGTERM, platform away", ended_s=round(ended.seconds, 2), next_start_s=round(took, 2))


def test_sigterm_sends_what_it_can(holdfast, tmp_path, plane, ca):
    """The platform is there, the rate is what holds events back: it sends for 5 s at most, the rest is the next start's."""
    with Stream(holdfast, tmp_path, plane, ca) as s:
        s.hub.start()
        s.law.holds()
        s.hub.stop()
        s.settings["rate_limit"] = {"events_per_second": 5, "burst_size": 1}  # few: how long the herd takes to grow makes no difference
        s.hub.start()
        s.platform.wait_count("snapshots", 2)
        herd = Herd(plane, "rate")
        herd.grow(200)
        s.wait(lambda: s.hub.metric("holdfast_ingest_changes_total") >= 200, "all seen")
        before = s.platform.count("events")
        ended = s.hub.stop(60)
        sent = s.platform.count("events") - before
        assert ended.code == 0 and ended.seconds < STOP_S_MAX, ended
        assert 5 <= sent < 60, (sent, ended.log)
        s.settings["rate_limit"] = {"events_per_second": 5000, "burst_size": 5000}
        s.hub.start()
        s.settle()
        s.tell("SIGTERM, at 5 a second", ended_s=round(ended.seconds, 2), sent_meanwhile=sent)
        bump(plane, "Pod", [(herd.space, name) for kind, name in herd.alive if kind == "Pod"][:3], 9)
        s.settle()


def test_spools_of_another_mode_stay(holdfast, tmp_path, plane, ca):
    """source: config beside what ObsykAgents left: it stays, and that is said once."""
    left = tmp_path / "spool" / "team_oslo"
    left.mkdir(parents=True)
    (left / "00000001.spool").write_text("x")
    words = "spools that ObsykAgents left with source: crd stay"
    with Stream(holdfast, tmp_path / "one", plane, ca, spool={"path": str(left.parent)}) as s:
        s.hub.start()
        s.law.holds()
        plane.api.kill()
        s.hub.wait_log("watches of the API server are interrupted")
        plane.api.start()
        s.settle(180)
        said = [line for line in s.hub.log_lines() if words in line]
        assert len(said) == 1 and "team_oslo" in said[0], said
    assert (left / "00000001.spool").read_text() == "x"


def test_two_hubs_with_one_spool(holdfast, tmp_path, plane, ca):
    """The second one says whose it is and streams nothing; when the first is killed it takes over, with what waited."""
    spool = {"path": str(tmp_path / "spool")}
    with Stream(holdfast, tmp_path / "one", plane, ca, spool=spool) as one, Stream(holdfast, tmp_path / "two", plane, ca, spool=spool) as two:
        one.hub.start()
        one.law.holds()
        two.hub.start()
        said = f"process {one.hub.proc.pid} holds {spool['path']}/ingest.lock"
        two.hub.wait_log("give each hub an ingest.spool.path of its own, or stop the other one: " + said)
        status = two.status()
        assert not status["streaming"] and said in status["why"], status["why"]
        assert said in two.hub.get("/readyz?verbose")[1].decode() and not two.platform.count("snapshots")
        one.settle()
        one.hub.kill()
        began = time.monotonic()
        two.settle(180)
        two.tell("the spool of a hub that was killed", taken_s=round(time.monotonic() - began, 1))
