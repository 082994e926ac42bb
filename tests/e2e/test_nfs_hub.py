"""holdfast as PID 1 of a machine mounts what a real nfs-ganesha exports and backs up into it a real etcd, both on the host; and
what becomes of it when the server stops answering in the middle."""
from __future__ import annotations

import json
import os
import time

import pytest

from boot import machine
from boot.machine import Machine
from peers import nfs, prom
from peers.config import to_yaml
from peers.etcd import restore
from peers.nfs import Ganesha
from peers.proc import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="ganesha opens files by handle: only root can")


def config_of(etcd, server, **destination) -> str:
    to = {"name": "nas", "type": "nfs", "server": nfs.GUEST_HOST, "port": server.port, "export": server.export, "path": "/mnt/nas",
          "retention": {"last": 20}, **destination}
    return to_yaml({"version": 1, "data": "/data", "listen": ":9464", "backup": {
        "etcd": {"endpoints": [f"http://{nfs.GUEST_HOST}:{etcd.back_port}"]}, "every": "10s", "idle_timeout": "20s",
        "destinations": [to]}})


HEALTH_S_MAX = 20  # on a busy machine; what a stuck server holds up, it holds up for as long as it is stuck


@pytest.fixture
def boot(holdfast, tmp_path):
    init = holdfast.parent / "boot" / "init"
    assert init.exists(), f"{init} is not there: run `make VARIANT=x86_64 probes`"
    assert not machine.missing(), machine.missing()
    return lambda config: Machine(holdfast, init, tmp_path, config=config, modules=nfs.MODULES)


@pytest.fixture
def etcd(start_etcd):
    """Plaintext on the host's loopback, which the machine reaches."""
    member = start_etcd("system", tls=None)
    member.fill(500)
    return member


def records(server) -> list[dict]:
    found = []
    for path in sorted(server.files.glob("*.json")):
        try:
            found.append(json.loads(path.read_text()))
        except (ValueError, OSError):  # half written, or pruned meanwhile
            pass
    return [record for record in found if record["verdict"] == "good"]


def metric(booted, name: str) -> float:
    return sum(prom.parse(booted.get("/metrics")[1]).get(name, {}).values())


def test_it_mounts_and_backs_up(boot, etcd, tmp_path):
    with Ganesha(tmp_path / "nfs") as server, boot(config_of(etcd, server)) as booted:
        wait_for(lambda: len(records(server)) >= 2, "two good backups", 600, booted.proc, every=0.5)
        console = booted.console()
        assert "msg=mounted destination=nas" in console and "it forbids mounting" in console
        text = booted.get("/metrics")[1]
        assert 'holdfast_confinement{layer="landlock"} 0\n' in text and 'holdfast_confinement{layer="seccomp"} 1\n' in text
        booted.witness("end")
        assert booted.proc.wait(300) == 0
        assert "cannot unmount" not in booted.console()
        newest = records(server)[-1]
        with restore(server.files / newest["name"], tmp_path / "again").start() as again:
            assert again.count() == etcd.count()
        assert not list(server.files.glob("*.part-*"))


def test_nothing_is_written_below_where_nothing_is_mounted(boot, etcd, tmp_path):
    with Ganesha(tmp_path / "nfs") as server, boot(config_of(etcd, server, mount=False)) as booted:
        booted.wait_console("no NFS is mounted on /mnt/nas")
        assert booted.wait_answer("/healthz", 200) == "ok\n"
        assert not list(server.files.iterdir())


def test_no_such_export(boot, etcd, tmp_path):
    with Ganesha(tmp_path / "nfs") as server, boot(config_of(etcd, server, export="/other")) as booted:
        booted.wait_console("the server has no such export")
        assert booted.wait_answer("/healthz", 200) == "ok\n"


def watch_health(booted, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        assert booted.get("/healthz")[0] == 200
        assert time.monotonic() - start < HEALTH_S_MAX
        time.sleep(0.5)


@pytest.mark.cluster  # three minutes: the kernel's patience with a server
@pytest.mark.parametrize("how", ["stopped", "killed", "unplugged"])
def test_the_server_goes_away_while_it_is_written_to(boot, etcd, tmp_path, how):
    etcd.fill(2000, big=30)
    with Ganesha(tmp_path / "nfs") as server, boot(config_of(etcd, server)) as booted:
        goes, comes = {"stopped": (server.pause, server.resume), "killed": (server.kill, server.start),
                       "unplugged": (lambda: booted.link(False), lambda: booted.link(True))}[how]
        wait_for(lambda: records(server), "a good backup", 600, booted.proc, every=0.5)
        failed = metric(booted, "holdfast_backup_failures_total")
        wait_for(lambda: list(server.files.glob("*.part-*")), "one being written", 300, booted.proc, every=0.01)
        goes()
        if how == "unplugged":  # etcd is out of reach too, and so are the metrics
            booted.wait_console("whether it is there")
        else:
            watch_health(booted, 15)
            wait_for(lambda: metric(booted, "holdfast_backup_failures_total") > failed, "the failure is told", 600, booted.proc, every=1)
        if how == "stopped":  # it would hold a thread for as long as it likes
            booted.wait_console("unmounted by force, its server does not answer")
        known = len(records(server))
        comes()
        wait_for(lambda: len(records(server)) > known, "the next good backup", 600, booted.proc, every=1)
        wait_for(lambda: metric(booted, "holdfast_pool_written_off") == 0, "the threads are back", 300, booted.proc, every=0.5)
        assert booted.wait_answer("/healthz", 200) == "ok\n"
        newest = records(server)[-1]
        with restore(server.files / newest["name"], tmp_path / "again").start() as again:
            assert again.count() == etcd.count()
