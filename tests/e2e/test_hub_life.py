"""`holdfast run` without a configuration, with a changed one, as PID 1, and confined."""
from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from peers.ca import Ca
from peers.backup import check_file, name_time
from peers.etcd import Etcd
from peers.faulty import Faults, Proxy
from peers.config import to_yaml
from peers.kubeconfig import Login, write_kubeconfig
from peers.proc import Proc, free_port, wait_for, write_whole

MIB = 1 << 20


@pytest.fixture(scope="module")
def etcd(tmp_path_factory, server_cert):
    with Etcd(tmp_path_factory.mktemp("life"), tls=server_cert) as member:
        member.start().gateway().put_many((b"key-%d" % i, os.urandom(MIB)) for i in range(4))
        yield member


def ask(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def count(hub, words: str) -> int:
    return hub.log_text().count(words)


# --- no configuration

class Waiting:
    """A hub that was started with --wait and no file."""

    def __init__(self, binary: Path, folder: Path):
        self.file, self.log, self.port = folder / "holdfast.yaml", folder / "log", free_port()
        self.proc = Proc([binary, "run", "--wait", "--config", self.file], log=self.log,
                         env={"HOLDFAST_LISTEN": f"127.0.0.1:{self.port}"})

    def readyz(self) -> tuple[int, str]:
        return ask(self.port, "/readyz")

    def wait_says(self, words: str) -> None:
        wait_for(lambda: words in self.readyz()[1], words, 120, self.proc, every=0.05)


@pytest.fixture
def waiting(holdfast, tmp_path):
    hub = Waiting(holdfast, tmp_path)
    yield hub
    hub.proc.stop()


def test_it_waits_for_a_file_says_why_and_starts(waiting):
    waiting.wait_says("not there")
    assert waiting.readyz()[0] == 503 and str(waiting.file) in waiting.readyz()[1]
    assert ask(waiting.port, "/healthz") == (200, "ok\n")
    time.sleep(4.5)  # two looks at the file
    assert waiting.log.read_text().count("waiting for a configuration") == 1
    write_whole(waiting.file, "version: 1\nbakup: {}\n")  # it looks by itself: a half of it would be told, too
    waiting.wait_says(f'{waiting.file}:2:1: bakup: unknown key; did you mean "backup"?')
    assert waiting.readyz()[0] == 503
    write_whole(waiting.file, "version: 1\n")
    wait_for(lambda: waiting.readyz() == (200, "ready\n"), "ready", 30, waiting.proc)
    wait_for(lambda: "holdfast is up" in waiting.log.read_text(), "told of", 30, waiting.proc)
    text = waiting.log.read_text()
    assert text.count("waiting for a configuration") == 2 and "holdfast is up" in text and "budget of a task" in text
    assert "holdfast_config_reload_failures_total 2" in ask(waiting.port, "/metrics")[1]


def test_a_signal_ends_the_waiting(waiting):
    waiting.wait_says("not there")
    waiting.proc.send(signal.SIGTERM)
    assert waiting.proc.wait(60) == 0


def test_a_signal_makes_it_read_at_once(waiting):
    waiting.wait_says("not there")
    took = []
    for i in range(10):
        began = time.monotonic()
        write_whole(waiting.file, f"version: 1\nwrong{i}: 1\n")
        waiting.proc.send(signal.SIGHUP)
        waiting.wait_says(f"wrong{i}: unknown key")
        took.append(time.monotonic() - began)
    assert min(took[1:]) < 1, took  # by itself it looks every 2 s: but for the first, it would take all of them
    write_whole(waiting.file, "version: 1\n")
    waiting.proc.send(signal.SIGHUP)
    wait_for(lambda: waiting.readyz()[0] == 200, "ready", 30, waiting.proc)


def test_another_listen_in_the_file_is_moved_to(waiting):
    waiting.wait_says("not there")
    port = free_port()
    waiting.proc.stop()
    waiting.proc = Proc(waiting.proc.argv, log=waiting.log, env={})  # the default address, or none if it is taken
    write_whole(waiting.file, f"version: 1\nlisten: 127.0.0.1:{port}\n")
    wait_for(lambda: ask(port, "/readyz")[0] == 200, "ready", 30, waiting.proc)


def test_without_wait_it_ends(holdfast, tmp_path):
    done = subprocess.run([holdfast, "run", "--config", tmp_path / "none.yaml"], capture_output=True, timeout=120, check=False)
    assert done.returncode == 2 and b"none.yaml" in done.stderr and b"--config" in done.stderr


# --- a changed one

def reload(hub, text: str | None = None) -> None:
    if text is None:
        hub.write_config()
    else:
        write_whole(hub.config_file, text)
    hub.proc.send(signal.SIGHUP)


REFUSED = [
    ("faults", lambda c: c.update(bakup={}), "unknown key; did you mean"),
    ("another data", lambda c: c.update(data=c["data"] + "2"), "restart needed: data changed from"),
    ("another listen", lambda c: c.update(listen="127.0.0.1:1"), "restart needed: listen changed from"),
    ("a destination that was given up", lambda c: c["backup"]["destinations"][0].update(path="/root/elsewhere"),
     "restart needed: /root/elsewhere may not be written to any more"),
    ("a certificate that was given up", lambda c: c["backup"]["etcd"].update(ca="/root/ca.pem"),
     "restart needed: /root/ca.pem may not be read any more"),
]


@pytest.mark.parametrize("change,words", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_taken_changes_nothing(etcd, make_hub, change, words):
    hub = make_hub(endpoints=[etcd.url])
    hub.start()
    file = hub.wait_snapshot()
    change(hub.config)
    reload(hub)
    hub.wait_log(words)
    hub.wait_metric("holdfast_config_reload_failures_total", lambda number: number == 1)
    assert count(hub, "the new configuration is not taken") == 1
    status, body = hub.get("/readyz?verbose")
    assert status == 200 and b"[-] configuration: " in body and words.encode() in body
    assert hub.metric("holdfast_config_last_reload_successful") == 0
    assert hub.metric("holdfast_backup_next_run_timestamp_seconds", destination="local") > time.time()
    assert hub.snapshots() == [file]


def test_a_good_one_is_taken(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.url])
    hub.start()
    hub.wait_snapshot()
    taken = hub.metric("holdfast_config_last_reload_success_timestamp_seconds")
    reload(hub)
    wait_for(lambda: count(hub, "the configuration is as before"), "nothing new", 30, hub.proc)
    more = hub.backups / "more"  # below a folder that is allowed
    hub.config["backup"]["destinations"].append({"name": "more", "type": "directory", "path": str(more)})
    reload(hub)
    wait_for(lambda: list(more.glob("*.db")), "the new destination", 30, hub.proc)
    assert count(hub, "the configuration changed") == 1
    assert hub.get("/readyz?verbose")[1].startswith(b"[+] configuration\n")
    assert hub.metric("holdfast_config_last_reload_success_timestamp_seconds") > taken
    assert hub.metric("holdfast_config_last_reload_successful") == 1
    assert len(hub.snapshots()) == 1  # the old one was not due


def test_a_snapshot_under_way_leaves_nothing_and_is_taken_again(etcd, make_hub):
    with Proxy(etcd.port, down=Faults(stuck_after=500_000)) as proxy:
        hub = make_hub(endpoints=[f"https://127.0.0.1:{proxy.port}"])
        hub.start()
        wait_for(lambda: proxy.bytes_down >= 500_000 and hub.leftovers(), "the middle of it", 30, hub.proc)
        hub.config["backup"]["etcd"]["endpoints"] = [etcd.url]
        reload(hub)
        check_file(hub.wait_snapshot())  # not only when the next is due
    assert hub.leftovers() == [] and len(hub.snapshots()) == 1
    assert count(hub, "backup failed") == 0
    assert hub.stop().code == 0


def test_a_destination_that_was_broken_before_does_not_hold_up_a_reload(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.url])
    broken = hub.backups / "no folder"
    broken.write_text("a file")
    hub.config["backup"]["destinations"].append({"name": "broken", "type": "directory", "path": str(broken)})
    hub.start()
    hub.wait_snapshot()
    hub.config["backup"]["max_age"] = "30h"
    reload(hub)
    wait_for(lambda: count(hub, "the configuration changed") == 1, "it is taken", 30, hub.proc)
    other = hub.backups / "another file"
    other.write_text("")
    hub.config["backup"]["destinations"][1].update(path=str(other))
    reload(hub)
    wait_for(lambda: count(hub, "a destination is not a folder") == 1, "what is wrong", 30, hub.proc)
    assert f'path="{other}"' in hub.log_text() and count(hub, "another user's") == 0
    wait_for(lambda: hub.metric("holdfast_config_last_reload_successful") == 1, "it is in force", 30, hub.proc)
    assert hub.stop().code == 0


def test_many_at_once(etcd, make_hub):
    """Twenty signals in a row, every second file bad: in the end the last good one is in force, and nothing leaks."""
    hub = make_hub(endpoints=[etcd.url])
    hub.start()
    hub.wait_snapshot()
    hub.wait_idle()
    at_rest = hub.metric("holdfast_task_heap_used_bytes", task="backup")
    good = to_yaml(hub.config)
    for i in range(20):
        reload(hub, good.replace('"6h"', f'"{i + 2}h"') if i % 2 == 0 else "version: 3\n")
        time.sleep(0.05)
    reload(hub, good.replace('"6h"', '"5h"'))
    due = name_time(hub.snapshots()[0]) + 5 * 3600
    hub.wait_metric("holdfast_backup_next_run_timestamp_seconds", lambda at: abs(at - due) <= 2, destination="local")
    assert hub.metric("holdfast_config_last_reload_successful") == 1
    hub.wait_metric("holdfast_task_heap_used_bytes", lambda used: used <= at_rest + 4096, task="backup")
    assert hub.stop().code == 0


def test_usr1_tells_the_tasks(make_hub):
    hub = make_hub()
    del hub.config["backup"]
    hub.start()
    hub.proc.send(signal.SIGUSR1)
    hub.wait_log("msg=pool ")  # the last of them
    assert {"board", "metrics", "backup"} <= set(re.findall(r"msg=task of=(\w+) heap_used=\d+", hub.log_text()))


# --- PID 1

@pytest.fixture
def unshare():
    """unshare(1) for a PID namespace of one's own, or a skip."""
    if subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no PID namespace may be made here")
    return ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_as_pid_1(holdfast, tmp_path, unshare):
    """Waits without --wait, reaps what is left to it, and ends on SIGTERM with its own code, not by the kernel."""
    port, file, log = free_port(), tmp_path / "holdfast.yaml", tmp_path / "log"
    outer = Proc([*unshare, holdfast, "run", "--config", file], log=log, env={"HOLDFAST_LISTEN": f"127.0.0.1:{port}", "PATH": "/usr/bin:/bin"})
    wait_for(lambda: ask(port, "/readyz")[0] == 503, "a reason", 30, outer)
    inner = child_of(outer.pid)
    assert Path(f"/proc/{inner}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    write_whole(file, f"version: 1\nlisten: 127.0.0.1:{port}\ndata: {tmp_path / 'data'}\n")
    wait_for(lambda: ask(port, "/readyz")[0] == 200, "ready", 120, outer)
    for _ in range(5):
        subprocess.run(["nsenter", "-t", str(inner), "-p", "-m", "sh", "-c", "(sleep 600 &) ; (sleep 601 &)"], check=True)
    wait_for(lambda: len(children(inner)) == 10, "the orphans are its children", 120, outer)
    for orphan in children(inner):
        os.kill(int(orphan), signal.SIGKILL)
    wait_for(lambda: not children(inner), "all reaped", 120, outer)
    for number in (signal.SIGQUIT, signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM):
        os.kill(inner, number)  # no handler: none of PID 1's business
    time.sleep(0.2)
    assert ask(port, "/healthz") == (200, "ok\n")
    os.kill(inner, signal.SIGTERM)
    assert outer.wait(60) == 0
    assert "msg=stopped" in log.read_text()


# --- confined

def tasks(pid: int) -> list[dict[str, str]]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found.append(dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line))
    return found


LAYERS = ("core_dumps", "no_new_privs", "capabilities", "landlock", "seccomp")
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2


def test_every_thread_is_confined(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.url])
    hub.start()
    hub.wait_snapshot()
    threads = tasks(hub.proc.pid)
    assert len(threads) >= 4
    for thread in threads:
        assert thread["NoNewPrivs"] == "1"
        for name in ("CapEff", "CapPrm", "CapBnd") if os.geteuid() == 0 else ("CapEff", "CapPrm"):
            assert int(thread[name], 16) & ~CAP_DAC_READ_SEARCH == 0, (name, thread[name])
        assert int(thread["CapInh"], 16) == 0 and int(thread["CapAmb"], 16) == 0
    in_force = {name: hub.metric("holdfast_confinement", layer=name) for name in LAYERS}
    assert in_force["core_dumps"] == in_force["no_new_privs"] == in_force["capabilities"] == 1
    if in_force["seccomp"]:
        assert all(thread["Seccomp"] == "2" for thread in threads)
    lacking = [name for name, value in in_force.items() if not value]
    assert ("this kernel cannot confine us wholly" in hub.log_text()) == bool(lacking)
    limits = Path(f"/proc/{hub.proc.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
    if lacking:
        pytest.skip(f"this kernel lacks {', '.join(lacking)}; the rest is in force")


def test_what_a_kubeconfig_names_may_lie_anywhere(tmp_path_factory, make_hub):
    authority = Ca(tmp_path_factory.mktemp("elsewhere"))
    login = Login("x", "https://127.0.0.1:1", authority.cert, cert=authority.client("client"))
    hub = make_hub(endpoints=["http://127.0.0.1:1"])
    hub.config["kubernetes"] = {"kubeconfig": str(write_kubeconfig(tmp_path_factory.mktemp("kube") / "config", [login]))}
    hub.config["ingest"] = {"enabled": True}
    hub.start()
    wait_for(lambda: "connecting to 127.0.0.1:1" in hub.log_text(), "a try to connect, with the certificates read", 30, hub.proc)
    assert "permission" not in hub.log_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's folder takes root to make")
def test_another_users_folder_keeps_the_capability_to_write_it(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.url])
    os.chown(hub.backups, 65534, 65534)
    hub.backups.chmod(0o700)
    hub.start()
    check_file(hub.wait_snapshot())
    assert all(int(thread["CapEff"], 16) == CAP_DAC_READ_SEARCH | CAP_DAC_OVERRIDE for thread in tasks(hub.proc.pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's folder takes root to make")
def test_a_capability_that_was_given_up_needs_a_restart(etcd, make_hub):
    hub = make_hub(endpoints=[etcd.url])
    hub.start()
    file = hub.wait_snapshot()
    more = hub.backups / "more"
    more.mkdir(mode=0o700)
    os.chown(more, 65534, 65534)
    hub.config["backup"]["destinations"].append({"name": "more", "type": "directory", "path": str(more)})
    reload(hub)
    words = f"restart needed: {more} is another user's, and the capability to write there was given up"
    wait_for(lambda: words in hub.log_text(), words, 30, hub.proc)
    assert hub.snapshots() == [file]
    hub.stop()
    hub.start()
    wait_for(lambda: list(more.glob("*.db")), "the new destination, after a restart", 30, hub.proc)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_as_an_unprivileged_user(etcd, make_hub, client_cert, tmp_path):
    """No capability to begin with; its own numbers are still read from /proc/self, which now belongs to root."""
    hub = make_hub(endpoints=[etcd.url])
    copies = Path("/tmp") / f"holdfast-life-{os.getpid()}"
    copies.mkdir(mode=0o755)
    try:
        hub.folder = hub.folder.rename(copies / "hub")
        hub.backups = hub.folder / "backups"
        for name, path in (("ca", client_cert.ca), ("cert", client_cert.cert), ("key", client_cert.key)):
            shutil.copy(path, copies / name)
            hub.config["backup"]["etcd"][name] = str(copies / name)
        hub.config["data"] = str(hub.folder / "data")
        hub.config["backup"]["destinations"][0]["path"] = str(hub.backups)
        shutil.copy(hub.binary, copies / "holdfast")
        file = hub.write_config()
        for path in (copies, *copies.rglob("*")):
            os.chown(path, 65534, 65534)
        hub.proc = Proc(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copies / "holdfast", "run", "--config", file],
                        log=hub.folder / "holdfast.log", env={})
        check_file(hub.wait_snapshot())
        assert hub.metric("process_resident_memory_bytes") > MIB and hub.metric("process_open_fds") > 3
        assert {hub.metric("holdfast_confinement", layer=name) for name in LAYERS[:3]} == {1.0}
        assert hub.proc.stop() == 0
    finally:
        if hub.proc:
            hub.proc.stop()
        shutil.rmtree(copies)


def test_unconfined_gives_up_nothing(make_hub):
    hub = make_hub(args=["--unconfined"])
    del hub.config["backup"]
    hub.start()
    own = Path("/proc/self/status").read_text()
    for thread in tasks(hub.proc.pid):
        assert thread["NoNewPrivs"] == "0" and thread["Seccomp"] == re.search(r"^Seccomp:\t(\d)", own, re.M)[1]
    assert {hub.metric("holdfast_confinement", layer=name) for name in LAYERS} == {0.0}
