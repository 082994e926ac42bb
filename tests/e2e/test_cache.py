"""The hub's store caches the records of each destination: what is told when one cannot be listed, and that the files stay the truth."""
from __future__ import annotations

import json
import os
import time

import pytest

from peers.backup import now
from peers.etcd import Etcd
from peers.hub import record_of
from peers.proc import free_port, run, wait_for

MADE = 3
REMEMBERED = ("last_success_timestamp_seconds", "size_bytes", "duration_seconds", "verified_level", "stale")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("cached"), tls=server_cert) as member:
        member.start().fill(300)
        yield member


@pytest.fixture
def hub(make_hub, etcd):
    """Stopped, after some snapshots."""
    hub = make_hub(endpoints=[etcd.url])
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 10}
    hub.start().wait_snapshot()
    hub.wait_idle()
    wait_for(lambda: now(hub).code == 0 and len(hub.snapshots()) >= MADE, f"{MADE} snapshots", 120, hub.proc)
    before = listed(hub)
    hub.known = (before, remembered(hub))
    assert hub.stop().code == 0
    return hub


def listed(hub) -> list[dict]:
    return json.loads(hub.get("/backups")[1])


def start(hub) -> None:
    """Until it has looked at all destinations."""
    hub.start()
    hub.wait_metric("holdfast_backup_next_run_timestamp_seconds", lambda at: at > 0, 120, destination="local")


def remembered(hub) -> dict[str, float]:
    return {name: hub.metric(f"holdfast_backup_{name}", destination="local") for name in REMEMBERED}


def rows(hub) -> list[dict]:
    """The records of the closed store, as the stock tool reads them."""
    store = hub.folder / "data" / "holdfast.db"
    out = run(["sqlite3", "-readonly", "-json", store, "SELECT * FROM backup_records ORDER BY destination, name"]).stdout
    return json.loads(out or b"[]")


def check_rows(hub) -> None:
    found = rows(hub)
    files = [json.loads(record_of(file).read_text()) for file in hub.snapshots()]
    assert [json.loads(row["json"]) for row in found] == files and len(files) >= MADE
    assert [(row["destination"], row["name"], row["verdict"]) for row in found] == [("local", r["name"], "good") for r in files]
    assert [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row["taken_at"])) for row in found] == [r["taken_at"] for r in files]


def lose(hub) -> None:
    """As a server that went: something is at the path, and it is no folder."""
    hub.backups.rename(hub.folder / "away")
    hub.backups.write_text("nobody is here")


def bring_back(hub) -> None:
    hub.backups.unlink()
    (hub.folder / "away").rename(hub.backups)


def test_the_rows_are_the_records(hub):
    check_rows(hub)
    names = [file.name for file in hub.snapshots()]
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 1}
    start(hub)
    pruned = json.loads(hub.command("backup", "prune", "-o", "json").stdout)
    assert [p["name"] for p in pruned] == names[:-1]
    assert hub.stop().code == 0
    assert [row["name"] for row in rows(hub)] == names[-1:]


def test_what_cannot_be_listed_is_remembered_and_never_good(hub):
    before, metrics = hub.known
    lose(hub)
    hub.start(wait=False)
    wait_for(lambda: "backup failed" in hub.log_text(), "a run that fails", 120, hub.proc)
    assert remembered(hub) == metrics and metrics["verified_level"] == 4 and metrics["stale"] == 0
    told = listed(hub)
    assert [r["name"] for r in told[:-1]] == [r["name"] for r in before]
    assert {(r["verdict"], r["reason"], r["level"], r["hash"]) for r in told[:-1]} == {("unknown", "unreachable", 0, None)}
    assert [(r["sha256"], r["path"], r["taken_at"]) for r in told[:-1]] == [(r["sha256"], r["path"], r["taken_at"]) for r in before]
    assert set(told[-1]) == {"destination", "verdict", "reason", "error"} and told[-1]["verdict"] == "unknown"
    alone = hub.command("backup", "list", "-o", "json")  # it has no store
    assert alone.returncode == 1 and [set(r) for r in json.loads(alone.stdout)] == [set(told[-1])]
    bring_back(hub)
    assert listed(hub) == before
    assert hub.stop().code == 0
    start(hub)  # it gave up the right to write into any folder but the one that was there
    assert (listed(hub), remembered(hub)) == hub.known
    assert now(hub).code == 0 and [r["verdict"] for r in listed(hub)] == ["good"] * (MADE + 1)
    assert hub.stop().code == 0
    check_rows(hub)


def test_a_folder_that_has_gone_is_made_again(hub):
    """The files are the truth: a new folder has what is in it."""
    hub.backups.rename(hub.folder / "away")
    hub.start()
    first = hub.wait_snapshot()
    assert [(r["name"], r["verdict"]) for r in listed(hub)] == [(first.name, "good")]
    assert hub.stop().code == 0
    assert [row["name"] for row in rows(hub)] == [first.name]


@pytest.mark.parametrize("how", ("lost", "damaged", "other"))
def test_a_store_that_is_lost_is_made_again(hub, how):
    store = hub.folder / "data" / "holdfast.db"
    if how == "lost":
        for file in store.parent.glob("holdfast.db*"):
            file.unlink()
    elif how == "damaged":
        page = bytearray(store.read_bytes())
        page[4096 + 100] ^= 1  # the table's first page
        store.write_bytes(page)
    else:
        store.write_bytes(os.urandom(9000))
    start(hub)
    assert listed(hub) == hub.known[0] and remembered(hub) == hub.known[1]
    assert now(hub).code == 0
    assert hub.stop().code == 0
    check_rows(hub)


def test_nothing_is_written_while_nothing_changes(hub):
    """Neither by a start where the rows are right, nor by runs that fail, nor for who asks."""
    hub.config["backup"]["etcd"]["endpoints"] = [f"https://127.0.0.1:{free_port()}"]
    hub.config["backup"]["every"] = "10s"
    hub.start(wait=False)
    hub.wait_metric("holdfast_backup_failures_total", lambda n: n >= 1, 120, destination="local", reason="refused")
    first = hub.metric("holdfast_store_written_bytes_total")
    hub.wait_metric("holdfast_backup_failures_total", lambda n: n >= 3, 120, destination="local", reason="refused")
    assert listed(hub) == hub.known[0]
    assert hub.metric("holdfast_store_written_bytes_total") == first
    assert hub.stop().code == 0
    check_rows(hub)
