"""The shipped binary as PID 1 of a machine: a kernel, an initramfs, holdfast. `make boot` shows the console."""
from __future__ import annotations

from pathlib import Path

import pytest

from boot import machine
from boot.machine import Machine
from peers import prom
from peers.hub import PROFILE_BYTES
from peers.proc import wait_for

MIB = 1 << 20
CONFIG = "version: 1\nlisten: :9464\ndata: /data\n"


@pytest.fixture
def start(holdfast, tmp_path):
    """start(config=TEXT): a machine, with what boots it beside the binary (`make probes`)."""
    init: Path = holdfast.parent / "boot" / "init"
    assert init.exists(), f"{init} is not there: run `make VARIANT=x86_64 probes`"
    assert not machine.missing(), machine.missing()
    return lambda **how: Machine(holdfast, init, tmp_path, **how)


def test_without_a_configuration(start):
    with start() as booted:
        console = booted.wait_console("waiting for a configuration")
        assert f'msg=budget profile=hub32 total_bytes={PROFILE_BYTES["hub32"]}' in console
        assert console.count('msg="budget of a task"') >= 3
        assert booted.wait_answer("/healthz", 200) == "ok\n"
        assert "/etc/holdfast.yaml: not there" in booted.wait_answer("/readyz", 503)
        assert "cannot mount" not in console


def test_with_a_configuration(start):
    with start(config=CONFIG) as booted:
        assert booted.wait_answer("/readyz", 200) == "ready\n"
        text = booted.get("/metrics")[1]
        seen = prom.parse(text)
        assert text.startswith("# HELP ") and seen["holdfast_build_info"]
        assert PROFILE_BYTES["hub32"] / 2 < seen["process_resident_anon_bytes"][()] <= PROFILE_BYTES["hub32"]
        assert seen["process_resident_memory_bytes"][()] <= PROFILE_BYTES["hub32"] + 4 * MIB
        assert all(value == 1 for value in seen["holdfast_confinement"].values())  # Linux 6.12 has all of it
        for _ in range(5):
            booted.witness("orphan")
        wait_for(lambda: booted.witness("zombies") == 0, "all orphans reaped", 120, booted.proc, every=0.2)
        booted.witness("end")  # SIGTERM
        assert booted.proc.wait(300) == 0  # qemu ends when the machine is off
        console = booted.console()
        assert "msg=stopped" in console and "Power down" in console and "panic" not in console
