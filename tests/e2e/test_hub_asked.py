"""What a running hub is asked: by `backup now` and `prune` through its socket, and GET /backups."""
from __future__ import annotations

import http.client
import json
import os
import pty
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from pathlib import Path

import pytest

from peers.backup import now
from peers.etcd import Etcd
from peers.faulty import Faults, Proxy
from peers.hub import record_of
from peers.proc import run, wait_for

CANNOT_TELL, BUSY = 3, 75
STUCK = Faults(stuck_after=60_000)  # after the handshake, within the snapshot: it stays under way for as long as that is so


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("asked"), tls=server_cert) as member:
        member.start().fill(300)
        yield member


@pytest.fixture
def hub(make_hub, etcd):
    """Running, its first snapshot made."""
    running = make_hub(endpoints=[etcd.url])
    running.config["backup"]["destinations"][0]["retention"] = {"last": 2}
    running.start().wait_snapshot()
    running.wait_idle()
    return running


def listed(hub) -> list[dict]:
    return json.loads(hub.get("/backups")[1])


def test_the_hub_takes_the_snapshot(hub):
    before = hub.metric("holdfast_backup_last_success_timestamp_seconds", destination="local")
    time.sleep(1.1)
    made = now(hub, "-o", "json")
    assert made.code == 0 and made.record["verdict"] == "good" and made.record["level"] == 4
    assert hub.metric("holdfast_backup_last_success_timestamp_seconds", destination="local") > before
    assert made.record["name"] in [r["name"] for r in listed(hub)]
    assert hub.metric("holdfast_backup_verified_level", destination="local") == 4


def test_level_2_is_passed_on(hub):
    record = now(hub, "--level", "2", "-o", "json").record
    assert (record["verdict"], record["level"], record["reason"]) == ("unknown", 2, "level")


def test_pruning_is_passed_on(hub):
    for _ in range(3):
        assert now(hub).code == 0
    names = [r["name"] for r in listed(hub)]
    would = hub.command("backup", "prune", "--dry-run", "-o", "json")
    assert would.returncode == 0 and [(p["name"], p["removed"]) for p in json.loads(would.stdout)] == [(n, False) for n in names[:-2]]
    done = hub.command("backup", "prune", "-o", "json")
    assert done.returncode == 0 and [p["removed"] for p in json.loads(done.stdout)] == [True] * (len(names) - 2)
    assert [r["name"] for r in listed(hub)] == names[-2:] and hub.leftovers() == []
    assert json.loads(hub.command("backup", "prune", "-o", "json").stdout) == []


def test_backups_is_what_list_prints(hub, etcd):
    assert now(hub).code == 0
    assert listed(hub) == json.loads(hub.command("backup", "list", "-o", "json").stdout)
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=5)
    connection.request("HEAD", "/backups")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "application/json" and answer.read() == b""


def test_an_unknown_destination_is_refused(hub):
    done = hub.command("backup", "prune", "--destination", "elsewhere")
    assert done.returncode == 2 and b'no destination "elsewhere"' in done.stderr


def test_a_second_hub_is_told_that_one_runs(hub, holdfast):
    done = run([holdfast, "run", "--config", hub.config_file], check=False)
    assert done.returncode == BUSY and str(hub.proc.pid).encode() in done.stderr and hub.get("/readyz")[0] == 200


def test_the_socket_is_the_owners_and_goes_with_the_hub(hub):
    data = hub.folder / "data"
    assert stat.S_IMODE((data / "holdfast.sock").stat().st_mode) == 0o600
    assert hub.stop().code == 0
    assert not (data / "holdfast.sock").exists()
    with sqlite3.connect(f"file:{data / 'holdfast.db'}?mode=ro", uri=True) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert now(hub).code == 0  # by itself, under the lock


def test_a_damaged_store_is_set_aside(hub):
    assert hub.stop().code == 0
    store = hub.folder / "data" / "holdfast.db"
    store.write_bytes(b"this is no database at all" * 1000)
    hub.start()
    assert (hub.folder / "data" / "holdfast.db.damaged").exists() and "set aside" in hub.log_text()
    assert len(listed(hub)) >= 1 and now(hub).code == 0


def test_another_configuration_than_the_hubs_is_refused(hub):
    before = hub.snapshots()
    hub.config["backup"]["destinations"][0]["path"] = str(hub.folder / "elsewhere")
    for words in (("now",), ("prune", "--dry-run")):
        done = hub.command("backup", *words, "-o", "json")
        assert done.returncode == 2 and b"uses another configuration; reload it" in done.stderr, done
        assert str(hub.proc.pid).encode() in done.stderr and json.loads(done.stdout)[0]["reason"] == "hub"
    assert hub.snapshots() == before and not (hub.folder / "elsewhere").exists()
    hub.config["backup"]["destinations"][0]["path"] = str(hub.backups)
    hub.config["log"] = {"level": "warn"}  # which is no business of a backup
    assert hub.command("backup", "prune", "--dry-run").returncode == 0


def test_a_stopped_hub_is_not_waited_for_without_end(hub):
    hub.pause()
    began = time.monotonic()
    done = now(hub, "-o", "json", seconds=180)
    hub.resume()
    assert done.code == CANNOT_TELL and "holdfast.sock says nothing" in done.said and done.failures[0]["reason"] == "hub", done
    assert 29 < time.monotonic() - began


def test_a_hub_at_work_says_so_every_five_seconds(make_hub, etcd):
    with Proxy(etcd.port) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.start().wait_snapshot()
        hub.wait_idle()
        proxy.set(down=Faults(stuck_after=0))
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(str(hub.folder / "data" / "holdfast.sock"))
        s.sendall(b"POST /backup/now HTTP/1.1\r\nhost: holdfast\r\n\r\n")
        began, said = time.monotonic(), b""
        while b'"what":"waiting"' not in said:
            piece = s.recv(4096)
            assert piece, said
            said += piece
        assert 4 < time.monotonic() - began, said
        s.close()


def test_on_a_terminal_the_progress_goes_before_the_result(make_hub, etcd, holdfast):
    hub = make_hub(endpoints=[etcd.url])
    hub.write_config()
    ours, its = pty.openpty()
    began = time.monotonic()
    with subprocess.Popen([holdfast, "backup", "now", "--config", hub.config_file], stdout=its, stderr=its, env=hub.env) as command:
        os.close(its)
        said = read_terminal(ours)
        code = command.wait(120)
    took = time.monotonic() - began
    assert code == 0 and "verify" in said, said
    result = said[said.index(str(hub.backups)) - 1:]
    assert result[0] == "\r" and result.count("\r") == 2, said  # of the wipe, and the terminal's own at the line's end
    assert took > 1 or "MiB/s" not in said, said  # a rate is told after a second


def read_terminal(fd: int) -> str:
    """All of it, as it comes: a terminal holds 4 KiB, then who writes waits. EIO is its end."""
    said = b""
    try:
        while piece := os.read(fd, 65536):
            said += piece
    except OSError:
        pass
    os.close(fd)
    return said.decode()


def begin(hub, holdfast) -> subprocess.Popen:
    hub.wait_idle()
    return subprocess.Popen([holdfast, "backup", "now", "-o", "json", "--config", hub.config_file],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hub.env)


def wait_part(hub) -> Path:
    return wait_for(lambda: next(hub.backups.glob("*.part-*"), None), "a snapshot under way", 120, every=0.005)


def test_two_at_once_a_hub_that_goes_and_a_command_that_goes(make_hub, etcd, holdfast):
    """One destination takes one snapshot at a time; a hub that is killed is told; what a command began goes on without it."""
    with Proxy(etcd.port) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.config["backup"]["idle_timeout"] = "10m"
        hub.start().wait_snapshot()
        hub.wait_idle()
        proxy.set(down=STUCK)
        first = begin(hub, holdfast)
        wait_part(hub)
        second = now(hub, "-o", "json")
        assert second.code == BUSY and second.failures[0]["reason"] == "busy", second
        first.kill()
        first.wait()
        proxy.set(down=Faults())
        proxy.reset_all()
        wait_for(lambda: not list(hub.backups.glob("*.part-*")), "the run's end", 120, hub.proc)
        proxy.set(down=STUCK)
        third = begin(hub, holdfast)
        wait_part(hub)
        hub.kill()
        out, error = third.communicate(timeout=120)
        assert third.returncode == CANNOT_TELL and b"holdfast.sock ended before" in error, (third.returncode, out, error)
        assert [item["reason"] for item in json.loads(out)] == ["hub"]


def test_a_reload_ends_what_was_asked(make_hub, etcd, holdfast):
    with Proxy(etcd.port) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.config["backup"]["idle_timeout"] = "10m"
        hub.start().wait_snapshot()
        hub.wait_idle()
        proxy.set(down=STUCK)
        asked = begin(hub, holdfast)
        wait_part(hub)
        hub.config["backup"]["max_age"] = "30h"
        hub.write_config()
        hub.proc.send(1)
        out, error = asked.communicate(timeout=120)
        assert asked.returncode == 1 and b"new configuration" in error and len(json.loads(out)) == 1, (out, error)
        wait_for(lambda: "the agents start anew" in hub.log_text(), "the reload", 120, hub.proc)
        proxy.set(down=Faults())
        wait_for(lambda: hub.get("/readyz")[0] == 200, "readyz", 120, hub.proc)
        assert now(hub).code in (0, BUSY)  # busy: the new schedule takes the missed run at once


# --- GET /backups by clients that do not read

RECORDS, READERS = 1500, 4


def copy_records(hub, count: int) -> None:
    """Records as of so many snapshots, and what they tell of."""
    record = json.loads(record_of(hub.snapshots()[-1]).read_text())
    for i in range(count):
        name = f"etcd-snapshot-2020{1 + i // 500:02d}{1 + i // 50 % 10:02d}-00{i % 50:02d}00.db"
        (hub.backups / name).write_bytes(b"")
        (hub.backups / f"{name}.json").write_text(json.dumps({**record, "name": name}))


def ask_and_never_read(hub, count: int) -> list[socket.socket]:
    asking = []
    for _ in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", hub.port))
        s.sendall(b"GET /backups HTTP/1.1\r\nhost: hub\r\n\r\n")
        asking.append(s)
    return asking


def test_clients_that_do_not_read_hold_nobody_up(hub):
    copy_records(hub, RECORDS)
    assert len(listed(hub)) >= RECORDS
    asking = ask_and_never_read(hub, READERS)
    time.sleep(0.5)
    for path in ("/healthz", "/metrics", "/readyz"):
        assert hub.get(path)[0] == 200
    hub.config["backup"]["max_age"] = "30h"
    hub.write_config()
    hub.proc.send(signal.SIGHUP)
    wait_for(lambda: hub.log_text().count("the agents start anew"), "the reload", 120, hub.proc)
    wait_for(lambda: hub.get("/readyz")[0] == 200 and hub.get("/backups")[0] == 200, "both", 120, hub.proc)
    asking += ask_and_never_read(hub, READERS)
    time.sleep(0.3)
    hub.proc.send(signal.SIGHUP)
    done = hub.stop()
    assert done.code == 0, done.log
    for s in asking:
        s.close()
