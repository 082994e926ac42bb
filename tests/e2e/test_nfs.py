"""NFS from inside a virtual machine: its kernel mounts what a real nfs-ganesha on the host exports; then hal/mount.h does (the program
is tests/e2e/mount.c)."""
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from boot import machine
from boot.machine import Machine
from peers import nfs
from peers.nfs import Ganesha
from peers.proc import free_port

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="ganesha opens files by handle: only root can")
BYTES = 3 << 20  # tests/boot/nfs.c
OPTIONS = "vers=4.{minor},proto=tcp,port={port},soft,timeo={timeout},retrans=2,addr={host}"  # as hal/mount_table.c has them


@pytest.fixture
def probes(holdfast) -> Path:
    """What boots the machine, beside the binary (`make probes`)."""
    folder = holdfast.parent / "boot"
    assert (folder / "nfs").exists(), f"{folder}/nfs is not there: run `make VARIANT=x86_64 probes`"
    assert not machine.missing(), machine.missing()
    return folder


def to_mount(probes: Path, server: Ganesha, options: str, *outages: str) -> dict[str, bytes]:
    """What tests/boot/nfs.c needs."""
    lines = [f"nas:{server.export}", "nfs4", options, *outages]
    return {"before": (probes / "nfs").read_bytes(), "etc/nfs": "".join(f"{line}\n" for line in lines).encode()}


@pytest.mark.parametrize("minor", [pytest.param(0, marks=pytest.mark.cluster), 1])  # ganesha before 6.2 fails the reads of 4.2 from Linux since 6.6 (READ_PLUS)
def test_the_machine_mounts_it(probes, holdfast, tmp_path, minor):
    with Ganesha(tmp_path / "nfs") as server:
        options = OPTIONS.format(minor=minor, port=server.port, host=nfs.GUEST_HOST, timeout=100)
        with Machine(holdfast, probes / "init", tmp_path, modules=nfs.MODULES, files=to_mount(probes, server, options)) as booted:
            console = booted.wait_console("boot: before ended with")
    assert f"nfs: mounted nas:{server.export} as nfs4 with {options}, wrote and read {BYTES} bytes" in console, console
    assert [path.name for path in server.files.iterdir()] == ["from-guest"]
    assert (server.files / "from-guest").read_bytes() == bytes((i * 31 + i // 251) & 255 for i in range(BYTES))


@pytest.mark.cluster  # a minute of waiting
def test_a_dead_server_holds_nothing_up_for_ever(probes, holdfast, tmp_path, capsys):
    """What `soft` is worth, with timeo x (retrans + 1) = 3 s. One that is gone fails a write. One that is stuck, or out of reach, may hold
    it up: until it is unmounted by force, or, where the kernel's own question whether its session still lives waits too, which force does
    not reach (linux, fs/nfs/nfs4state.c, nfs4_wait_clnt_recover()), until the server is back. A process that is killed is never held."""
    with Ganesha(tmp_path / "nfs") as server:
        options = OPTIONS.format(minor=1, port=server.port, host=nfs.GUEST_HOST, timeout=10)
        files = to_mount(probes, server, options, "killed", "unplugged", "paused")
        with Machine(holdfast, probes / "init", tmp_path, modules=nfs.MODULES, files=files) as booted:
            outages = {"killed": (server.kill, server.start), "paused": (server.pause, server.resume),
                       "unplugged": (lambda: booted.link(False), lambda: booted.link(True))}
            for name in ("killed", "unplugged", "paused"):
                booted.wait_console(f"nfs: outage {name}")
                outages[name][0]()
                booted.wait_console(f"nfs: back after {name}")
                outages[name][1]()
            console = booted.wait_console("boot: before ended with 0")
    with capsys.disabled():
        print("\n" + "\n".join(line for line in console.splitlines() if " ms" in line))
    assert "nfs: killed failed after" in console, console
    for name in ("unplugged", "paused"):
        assert re.search(f"nfs: {name} (failed|was freed by force|let itself be killed) after", console), console
    assert "could not be killed" not in console and "still held" not in console, console


def test_our_own_mount(probes, holdfast, tmp_path):
    """Every answer of hal/mount.h by a real kernel; a stuck server costs a thread until it is unmounted."""
    with Ganesha(tmp_path / "nfs") as server:
        files = {"before": (probes.parent / "e2e/mount").read_bytes(),
                 "etc/mount": f"{nfs.GUEST_HOST}:{server.port} {server.export} {nfs.GUEST_HOST}:{free_port()}\n".encode()}
        with Machine(holdfast, probes / "init", tmp_path, modules=nfs.MODULES, files=files) as booted:
            booted.wait_console("mount: stop the server")
            server.pause()
            booted.wait_console("mount: start the server")
            server.resume()
            console = booted.wait_console("boot: before ended with 0")
    told: dict[str, list[str]] = {}
    for name, what in re.findall(r"^mount: ([^:\n]+): (.*)$", console, re.M):
        told.setdefault(name, []).append(what.rstrip())
    # By force the mount is gone at once. The call itself may wait for the stuck server to hear of it: the kernel ends its session.
    assert told.pop("removed, stuck")[0].split(":")[0] in ("OK", "E_TIMEOUT")
    assert {name: [what.split(":")[0] for what in lines] for name, lines in told.items()} == {
        "looked at, nothing there": ["OK", "nothing"], "nobody listens": ["E_REFUSED", "ours 0"], "no such export": ["E_ABSENT", "ours 0"],
        "mounted": ["OK", "ours 1"], "looked at, mounted": ["OK", "mounted nfs4 nas"], "once more": ["OK", "ours 0"],
        "another on top": ["E_BUSY", "ours 0"], "written": ["OK"], "a server that is stuck": ["E_TIMEOUT"], "on the same lane": ["E_BUSY"],
        "written off": ["1"], "looked at, stuck": ["OK", "mounted nfs4 nas"], "written off afterwards": ["0"],
        "looked at, removed": ["OK", "nothing"], "mounted again": ["OK", "ours 1"], "removed": ["OK"], "removed twice": ["E_ABSENT"]}, console
    assert told["looked at, mounted"][1] == f"mounted nfs4 nas:{server.export}"
    (written,) = server.files.iterdir()
    assert written.name == "from-holdfast" and set(written.read_bytes()) == {ord("h")}
