"""`holdfast run`: the schedule, what it tells of itself, its end, its memory, and what it leaves alone."""
from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from peers import prom
from peers.backup import check_file, name_time, now
from peers.ca import Ca
from peers.curl import curl
from peers.etcd import Etcd
from peers.faulty import Faults, Proxy, stuck
from peers.hub import PROFILE_BYTES, record_of
from peers.openmetrics import OpenMetricsError, read
from peers.proc import run, wait_for

MIB = 1 << 20
STOP_SECONDS = 60  # a hang
GIVES_UP = 7  # the hub, on what has not ended by then: Talos kills an extension service 10 s after SIGTERM


@pytest.fixture(scope="module")
def kept_etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("kept"), tls=server_cert) as etcd:
        etcd.start().gateway().put_many((b"key-%d" % i, os.urandom(MIB)) for i in range(4))
        yield etcd


@pytest.fixture
def hub(kept_etcd, make_hub):
    """Not started; every 6 h."""
    return make_hub(endpoints=[kept_etcd.url])


def log_lines(hub) -> list[dict[str, str]]:
    """logfmt, read strictly: every line is whole."""
    lines = []
    for line in hub.log_lines():
        pairs = re.findall(r'([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?: |$)', line)
        assert " ".join(f"{key}={value}" for key, value in pairs) == line, line
        lines.append(dict(pairs))
    return lines


# --- the schedule

def test_the_first_is_taken_at_once(hub):
    hub.start()
    file = hub.wait_snapshot()
    check_file(file)
    done, = [line for line in log_lines(hub) if line["msg"] == '"backup done"']
    assert done["file"] == file.name and int(done["bytes"]) == file.stat().st_size and done["level"] == "info"
    assert done["sha256"] == check_file(file).hex()


def test_the_next_comes_in_time_and_with_new_certificates(tmp_path, make_hub):
    """All certificates are replaced in place between two runs: another authority, which the old files do not fit."""
    files = tmp_path / "pki"
    old, new = Ca(tmp_path / "old"), Ca(tmp_path / "new")
    files.mkdir()

    def install(authority: Ca) -> None:
        client = authority.client("client")
        for name, path in (("ca", client.ca), ("cert", client.cert), ("key", client.key)):
            shutil.copy(path, files / f"{name}.new")
            (files / f"{name}.new").rename(files / f"{name}.pem")

    install(old)
    before, after = (Etcd(tmp_path / name, tls=authority.server("server")) for name, authority in (("before", old), ("after", new)))
    proxy = Proxy(before.port)
    hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"], client=None, every="10s")
    hub.config["backup"]["destinations"][0]["retention"] = {"last": 10}  # of one day, else only the newest stays
    hub.config["backup"]["etcd"].update({name: str(files / f"{name}.pem") for name in ("ca", "cert", "key")})
    with proxy, before.start(), after.start():
        for etcd in (before, after):
            etcd.fill(50, big=0)
        hub.start()
        first = hub.wait_snapshot()
        due = hub.metric("holdfast_backup_next_run_timestamp_seconds", destination="local")
        install(new)
        proxy.target = after.port
        second = hub.wait_snapshot(2)
        assert name_time(first) + 10 <= name_time(second) and abs((due - name_time(first)) % 10 - 5) >= 3, due  # we may look late
        check_file(second)
    assert hub.stop().code == 0
    assert not [line for line in log_lines(hub) if line["level"] in ("warn", "error")], hub.log_text()


def test_a_restart_does_not_repeat_it(hub):
    hub.start()
    first = hub.wait_snapshot()
    assert hub.stop().code == 0
    hub.start()
    due = hub.wait_metric("holdfast_backup_next_run_timestamp_seconds", lambda at: at > 0, 30, destination="local")
    assert name_time(first) + 6 * 3600 - 2 <= due <= name_time(first) + 6 * 3600 + 2
    time.sleep(0.5)
    assert hub.snapshots() == [first]
    assert hub.metric("holdfast_backup_last_success_timestamp_seconds", destination="local") == name_time(first)
    assert hub.metric("holdfast_backup_size_bytes", destination="local") == first.stat().st_size


def test_an_old_one_is_followed_at_once(hub):
    name = time.strftime("etcd-snapshot-%Y%m%d-%H%M%S.db", time.gmtime(time.time() - 7 * 3600))
    (hub.backups / name).write_bytes(b"old")
    hub.start()
    check_file(hub.wait_snapshot())
    assert not (hub.backups / name).exists()  # it was none: looked at, set aside, and gone when there was a good one
    assert any("a snapshot is damaged" in line["msg"] and name in line["path"] for line in log_lines(hub))


def test_one_without_a_record_is_verified_and_given_one(hub):
    hub.start()
    first = hub.wait_snapshot()
    assert hub.stop().code == 0
    record = json.loads(record_of(first).read_text())
    record_of(first).unlink()
    hub.start()
    hub.wait_metric("holdfast_backup_verified_level", lambda level: level == 4, 30, destination="local")
    again = json.loads(record_of(first).read_text())
    assert hub.snapshots() == [first]
    same = ("name", "verdict", "level", "reason", "bytes", "sha256", "hash", "revision", "keys", "pairs", "errors")
    assert {key: again[key] for key in same} == {key: record[key] for key in same}
    assert again["endpoint"] is None and again["took_ms"] is None


def test_leftovers_go_unless_they_are_in_work(hub):
    old = hub.backups / "etcd-snapshot-20250101-000000.db.part-0123abcd"
    young = hub.backups / "etcd-snapshot-20250101-000001.db.part-89abcdef"
    others = [hub.backups / name for name in ("notes.txt", "x.part-1", "etcd-snapshot-1.db.part-0123ABCD", "a.tmp")]
    for path in (old, young, *others):
        path.write_bytes(b"x")
    for path in (old, *others):
        os.utime(path, (time.time() - 3 * 3600,) * 2)
    with open(young, "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        hub.start()
        hub.wait_snapshot()
        assert not old.exists() and young.exists() and all(path.exists() for path in others)
    assert hub.stop().code == 0
    hub.start()
    hub.wait_metric("holdfast_backup_verified_level", lambda level: level == 4, 30, destination="local")
    assert not young.exists() and all(path.exists() for path in others)
    assert any("interrupted backup" in line["msg"] and str(old) in line["path"] for line in log_lines(hub))


def test_etcd_away_is_told_and_tried_again(tmp_path, server_cert, make_hub):
    etcd = Etcd(tmp_path / "etcd", tls=server_cert)
    hub = make_hub(endpoints=[etcd.url], every="10s")
    hub.start()
    assert hub.get("/readyz") == (200, b"ready\n")
    failed = {"destination": "local", "reason": "refused"}
    hub.wait_metric("holdfast_backup_failures_total", lambda count: count >= 1, 120, **failed)
    status, body = hub.get("/readyz?verbose")
    assert status == 200 and b"[-] backup: local: " in body and b"connection refused" in body
    assert hub.get("/healthz") == (200, b"ok\n")
    hub.wait_log("backup failed")
    error = [line for line in log_lines(hub) if line["level"] == "error"][0]
    assert error["msg"] == '"backup failed"' and error["code"] == "E_REFUSED" and etcd.url in error["error"]
    assert 10_000 <= int(error["next_try_ms"]) <= 11_250
    with etcd.start():
        check_file(hub.wait_snapshot())
        wait_for(lambda: hub.get("/readyz?verbose")[1] == b"[+] configuration\n[+] backup\nready\n", "well again", 120)
        assert hub.metric("holdfast_backup_failures_total", **failed) == hub.log_text().count("backup failed")  # more than one: a slow start


def test_without_anything_to_back_up(make_hub):
    hub = make_hub()
    del hub.config["backup"]
    hub.start()
    assert hub.get("/readyz?verbose") == (200, b"[+] configuration\nready\n")
    assert hub.stop().code == 0


# --- what it tells

def test_metrics_for_prometheus(hub, tmp_path):
    hub.start()
    file = hub.wait_snapshot()
    prom.check_metrics(hub.metrics_text())
    with prom.Prometheus(tmp_path / "prometheus", hub.port) as server:
        server.wait_up()
        assert float(server.wait_query("holdfast_backup_size_bytes")[0]["value"][1]) == file.stat().st_size


def test_metrics_are_right(hub):
    began = time.time()
    hub.start()
    file = hub.wait_snapshot()
    seen = hub.metrics()

    def one(name, **labels):
        return seen[name][tuple(sorted(labels.items()))]

    assert one("holdfast_backup_last_success_timestamp_seconds", destination="local") == name_time(file)
    assert 0 < one("holdfast_backup_duration_seconds", destination="local") < 60
    assert one("holdfast_profile_bytes") == PROFILE_BYTES["hub32"]
    budget = json.loads(run([hub.binary, "budget", "-o", "json"]).stdout)
    for task in budget["tasks"]:
        name = task["task"]
        assert one("holdfast_task_heap_limit_bytes", task=name) == task["heap_bytes"]
        assert 0 <= one("holdfast_task_heap_used_bytes", task=name) <= one("holdfast_task_heap_peak_bytes", task=name)
        assert one("holdfast_task_heap_peak_bytes", task=name) <= task["heap_bytes"]
        if name in ("board", "metrics", "backup"):  # of the others no fiber need have run
            assert 0 < one("holdfast_task_stack_peak_bytes", task=name) < task["stack_bytes"]
        assert one("holdfast_task_refusals_total", task=name) == 0
        assert one("holdfast_task_stalled", task=name) == 0
        assert one("holdfast_task_longest_step_seconds", task=name) < 60  # by the clock: a busy machine stops us in a step
        assert one("holdfast_task_connections", task=name) <= task["connections"]
    assert one("holdfast_task_heap_peak_bytes", task="backup") > 0
    assert one("holdfast_task_received_bytes_total", task="backup") > file.stat().st_size
    status = dict(line.split(":", 1) for line in Path(f"/proc/{hub.proc.pid}/status").read_text().splitlines())
    assert abs(one("process_resident_anon_bytes") - int(status["RssAnon"].split()[0]) * 1024) < MIB
    assert began - 1 <= one("process_start_time_seconds") <= time.time() + 1
    version = run([hub.binary, "version"]).stdout.decode().split()
    assert seen["holdfast_build_info"] == {(("arch", version[2]), ("profile", "hub32"), ("version", version[1])): 1}


def test_open_metrics(hub):
    hub.start()
    hub.wait_snapshot()
    hub.wait_idle()
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8,text/plain;version=0.0.4;q=0.3"}
    answer = curl(f"http://127.0.0.1:{hub.port}/metrics", "-H", f"Accept: {wanted['Accept']}")
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    plain = curl(f"http://127.0.0.1:{hub.port}/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    suffix = {"counter": "_total", "info": "_info"}

    def both_tell_the_same() -> bool:  # but for what begins to be counted between the two
        families = read(curl(f"http://127.0.0.1:{hub.port}/metrics", "-H", f"Accept: {wanted['Accept']}").body)
        assert all(family.help for family in families.values())
        names = {name + suffix.get(family.type, "") for name, family in families.items() if family.samples}
        return names == set(hub.metrics())
    wait_for(both_tell_the_same, "the same names in both forms", 60, hub.proc)


@pytest.mark.parametrize("accept, open_metrics", [
    ("application/openmetrics-text", True), ("application/openmetrics-text;q=0", False),
    ("application/openmetrics-text;version=1.0.0;q=0.1, text/plain;q=0.9", False),
    ("text/plain;version=0.0.4;q=0.3 , application/openmetrics-text;q=0.301", True),
    ("application/openmetrics-text;q=0.000,*/*;q=1", False), ("*/*", False), ("", False), (",;q=,", False)])
def test_accept_is_weighed(hub, accept, open_metrics):
    hub.start()
    answer = curl(f"http://127.0.0.1:{hub.port}/metrics", "-H", f"Accept: {accept}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text" if open_metrics else "text/plain")


SAID = [["version"], ["version", "--licenses"], ["--help"], ["budget", "-o", "json"], ["crd"], ["check"], ["check", "-o", "json"],
        ["check", "--print"], ["doctor"], ["etcd", "status"], ["backup", "list"], ["backup", "retention", "--explain"], ["ingest", "preview"]]
LOST = {"closed": (">&-", "Bad file descriptor"), "all closed but stderr": ("<&- >&-", "Bad file descriptor"),
        "full": (">/dev/full", "No space left on device")}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("words", SAID, ids=" ".join)
def test_output_that_is_lost_is_no_success(holdfast, hub, words, lost):
    """A file or an epoll that got the number of a closed output would take what is written there."""
    shell, why = LOST[lost]
    config = [] if words[0] in ("version", "--help", "budget", "crd", "ingest") else ["--config", str(hub.write_config())]
    heartbeat = '{"heartbeat":{}}\n' if words[0] == "ingest" and "<&-" not in shell else ""
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {shell}', "sh", holdfast, *words, *config], input=heartbeat, stderr=subprocess.PIPE,
                          text=True, env={})
    assert done.returncode == 1 or (done.returncode == 3 and words[0] in ("doctor", "etcd"))  # who ask others, and may not be answered
    if not heartbeat and words[0] == "ingest":
        assert "standard input cannot be read: Bad file descriptor" in done.stderr
    else:
        assert f"the output could not be written: {why}\n" in done.stderr


def test_a_hub_with_all_closed_gives_no_file_their_numbers(hub, tmp_path):
    closed = tmp_path / "closed"
    closed.write_text(f'#!/bin/sh\nexec {hub.binary} "$@" <&- >&- 2>&-\n')
    closed.chmod(0o755)
    hub.binary = closed
    hub.start()
    assert [os.readlink(f"/proc/{hub.proc.pid}/fd/{fd}") for fd in range(3)] == ["/"] * 3
    hub.wait_metric("holdfast_backup_last_success_timestamp_seconds", lambda at: at > 0, destination="local")
    assert hub.metric("holdfast_log_dropped_total") > 0
    assert hub.stop().code == 0


def test_each_library_within_has_its_licence(holdfast):
    """The texts come out of the archives at build time: a half-read one would end them."""
    lines = (Path(__file__).parents[2] / "tools" / "deps.lock").read_text().splitlines()
    linked = [row[1:4] for row in map(str.split, lines) if row[:1] == ["dep"] and row[4] == "binary"]
    told = subprocess.run([holdfast, "version", "--licenses"], capture_output=True, text=True, check=True).stdout.split("=" * 80 + "\n")[1:]
    assert [one.splitlines()[:2] for one in told] == [[f"{name} {version}", f"Licence: {licence}"] for name, version, licence in linked]
    assert len(linked) >= 7 and all(len(one) > 400 and "GNU GENERAL PUBLIC" not in one for one in told)


@pytest.mark.parametrize("text", [
    "# TYPE x counter\nx 1\n# EOF\n", "# TYPE x gauge\nx 1\n", "# TYPE x gauge\n\nx 1\n# EOF\n",
    "# TYPE x gauge\nx{a=\"1\",} 1\n# EOF\n", "# TYPE x gauge\nx 1\nx 1\n# EOF\n", "x 1\n# EOF\n",
    "# TYPE x_total counter\nx_total 1\n# EOF\n", "# TYPE x gauge\ny 1\n# EOF\n"])
def test_the_open_metrics_reader_refuses(text):
    with pytest.raises(OpenMetricsError):
        read(text.encode())


def test_top_in_a_pipe(hub):
    hub.start()
    hub.wait_snapshot()
    done = hub.command("top")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "\x1b" not in text and "private memory" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["TASK", "board", "metrics", "backup", "guardian", "ingest",
                                                                   "store", "control"]
    hub.stop()
    done = hub.command("top")
    assert done.returncode == 3 and f"127.0.0.1:{hub.port}" in done.stderr.decode()


def test_log_as_json(hub):
    hub.env["HOLDFAST_LOG_FORMAT"] = "json"
    hub.start()
    hub.wait_snapshot()
    hub.stop()
    lines = [json.loads(line) for line in hub.log_text().splitlines()]
    assert [line["msg"] for line in lines][:2] == ["budget", "budget of a task"]
    assert lines[-1]["msg"] == "stopped"


# --- its end

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_hub_stops(hub, number):
    hub.start()
    hub.wait_snapshot()
    hub.wait_idle()
    hub.proc.send(number)
    assert hub.proc.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("paused", [False, True], ids=["stuck-network", "paused-etcd"])
def test_it_stops_in_the_middle_of_a_snapshot(paused, server_cert, make_hub, start_etcd):
    etcd = start_etcd()
    etcd.gateway().put_many((b"key-%d" % i, os.urandom(MIB)) for i in range(4))
    with Proxy(etcd.port, down=Faults(stuck_after=500_000)) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.start()
        wait_for(lambda: proxy.bytes_down >= 500_000 and hub.leftovers(), "the middle of it", 30, hub.proc)
        assert hub.metric("holdfast_backup_next_run_timestamp_seconds", destination="local") > time.time() + 5 * 3600
        if paused:
            etcd.pause()
            proxy.set(down=Faults())
            time.sleep(0.2)
        stopped = hub.stop(STOP_SECONDS)
    assert stopped.code == 0 and stopped.seconds < GIVES_UP, stopped.log
    assert list(hub.backups.iterdir()) == []


def test_it_stops_while_it_connects(make_hub):
    with stuck() as peer:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{peer.port}"])
        hub.start()
        wait_for(lambda: peer.connections, "a connection", 30)
        stopped = hub.stop(STOP_SECONDS)
    assert stopped.code == 0 and stopped.seconds < GIVES_UP, stopped.log


def test_killed_in_the_middle_and_started_again(kept_etcd, make_hub):
    with Proxy(kept_etcd.port, down=Faults(stuck_after=500_000)) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.start()
        wait_for(lambda: proxy.bytes_down >= 500_000 and hub.leftovers(), "the middle of it", 30, hub.proc)
        hub.kill()
        proxy.set(down=Faults())
        assert hub.snapshots() == [] and len(hub.leftovers()) == 1
        hub.start()
        check_file(hub.wait_snapshot())


def test_backup_now_beside_a_running_hub(hub):
    hub.start()
    hub.wait_snapshot()
    hub.wait_idle()
    done = now(hub, "-o", "json")
    assert done.code == 0, done.said
    assert len(hub.snapshots()) == 2
    check_file(Path(done.record["path"]))


# --- its memory

@pytest.mark.parametrize("profile", ["edge16", "hub32", "hub64"])
def test_memory_stays_within_the_profile(profile, kept_etcd, make_hub, tmp_path, capsys):
    hub = make_hub(endpoints=[kept_etcd.url], profile=profile, limited=True)
    hub.start()
    at_start = hub.metric("process_resident_anon_bytes")
    check_file(hub.wait_snapshot())
    for _ in range(50):
        hub.metrics_text()
    stopped = hub.stop()
    assert stopped.code == 0 and stopped.usage.samples > 3
    assert stopped.usage.anon_peak <= PROFILE_BYTES[profile]
    assert stopped.usage.anon_peak - at_start <= MIB // 2  # all of it was assigned at boot
    with capsys.disabled():
        usage = stopped.usage
        print(f"\n{profile}: RssAnon at start {at_start / MIB:.2f} MiB, peak {usage.anon_peak / MIB:.2f} of "
              f"{PROFILE_BYTES[profile] / MIB:.0f} MiB, RssFile peak {usage.file_peak / MIB:.2f} MiB")


# --- its configuration

@pytest.mark.parametrize("line,words", [
    ("evry: 6h", ["3:1", "evry"]),
    ("listen: 127.0.0.1:99999", ["3:9", "listen"]),
    ("backup: {every: 5}", ["3:", "backup.every"]),
    ("backup: [", ["holdfast.yaml:"]),
    ("data: x\ndata: y", ["4:1", "data"]),
])
@pytest.mark.parametrize("command", ["run", "backup now", "top"])
def test_a_wrong_configuration(line, words, command, holdfast, tmp_path):
    file = tmp_path / "holdfast.yaml"
    file.write_text(f"version: 1\n# a comment\n{line}\n")
    done = run([holdfast, *command.split(), "--config", file], check=False)
    said = done.stderr.decode()
    assert done.returncode == 2 and re.search(rf"{re.escape(str(file))}:\d+:\d+: ", said), said
    for word in words:
        assert word in said, said


def test_no_configuration(holdfast, tmp_path):
    done = run([holdfast, "run", "--config", tmp_path / "none.yaml"], check=False)
    assert done.returncode == 2 and str(tmp_path / "none.yaml") in done.stderr.decode()


def test_the_address_is_taken(hub, make_hub):
    hub.start()
    other = make_hub()
    del other.config["backup"]
    other.config["listen"] = f"127.0.0.1:{hub.port}"
    other.write_config()
    done = run([other.binary, "run", "--config", other.config_file], check=False)
    assert done.returncode in (1, 75) and f"127.0.0.1:{hub.port}" in done.stderr.decode()
