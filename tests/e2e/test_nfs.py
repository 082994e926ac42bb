"""NFS from inside a virtual machine: its kernel mounts what a real nfs-ganesha on the host exports. No holdfast takes part yet."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from boot import machine
from boot.machine import Machine
from peers import nfs
from peers.nfs import Ganesha

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="ganesha opens files by handle: only root can")
BYTES = 3 << 20  # tests/boot/nfs.c
OPTIONS = "vers=4.{minor},proto=tcp,port={port},soft,timeo=100,retrans=2,addr={host}"  # as hal/mount_table.c has them


@pytest.fixture
def probes(holdfast) -> Path:
    """What boots the machine, beside the binary (`make probes`)."""
    folder = holdfast.parent / "boot"
    assert (folder / "nfs").exists(), f"{folder}/nfs is not there: run `make VARIANT=x86_64 probes`"
    assert not machine.missing(), machine.missing()
    return folder


@pytest.mark.parametrize("minor", [0, 1])  # ganesha before 6.2 fails the reads of 4.2 from Linux since 6.6 (READ_PLUS)
def test_the_machine_mounts_it(probes, holdfast, tmp_path, minor):
    with Ganesha(tmp_path / "nfs") as server:
        options = OPTIONS.format(minor=minor, port=server.port, host=nfs.GUEST_HOST)
        files = {"before": (probes / "nfs").read_bytes(), "etc/nfs": f"nas:{server.export}\nnfs4\n{options}\n".encode()}
        with Machine(holdfast, probes / "init", tmp_path, modules=nfs.MODULES, files=files) as booted:
            console = booted.wait_console("boot: before ended with")
    assert f"nfs: mounted nas:{server.export} as nfs4 with {options}, wrote and read {BYTES} bytes" in console, console
    assert [path.name for path in server.files.iterdir()] == ["from-guest"]
    assert (server.files / "from-guest").read_bytes() == bytes((i * 31 + i // 251) & 255 for i in range(BYTES))
