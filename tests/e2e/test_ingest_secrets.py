"""Values of Secrets and ConfigMaps, and of environment variables, are nowhere: not in the process's memory (so not in a core of it),
not in the spool, the store, the logs, nor at the platform; 1 s after the first list and after 100 updates. A binary that wipes
nothing (`make VARIANT=x86_64-unwiped binary`) shows that the search would find them.

A core is what is searched, but not one by the kernel: the hub forbids it (PR_SET_DUMPABLE 0, RLIMIT_CORE 0; hal/confine.h), so there is none to be
had of what ships. What it would hold, every mapping that can be read, is copied out of /proc/PID/mem in place of it, as gcore does."""
from __future__ import annotations

import base64
import itertools
import os
import re
import time
from pathlib import Path

import pytest

from peers.kube import ControlPlane
from peers.kubefill import bump, fill
from peers.proc import wait_for
from peers.streaming import Stream

pytestmark = pytest.mark.cluster
CHUNK = 1 << 20
KINDS = ("Secret", "ConfigMap", "Pod")
BOTH_FORMS = ("plain", "base64+0")


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with ControlPlane(tmp_path_factory.mktemp("plane"), manager=False, kwok=False, nodes=1) as made:
        yield made


@pytest.fixture(scope="module")
def filled(plane):
    return fill(plane, 200, running=False)


def needles(planted: str) -> dict[str, bytes]:
    """The text, and what of its base64 no neighbour changes, at each alignment."""
    found = {"plain": planted.encode()}
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + planted.encode())
        found[f"base64+{shift}"] = text[4 if shift else 0:-4]
    return found


def count_in(data: bytes, wanted: dict[str, bytes], into: dict[str, int]) -> None:
    for name, needle in wanted.items():
        into[name] += data.count(needle)


def in_core(pid: int, wanted: dict[str, bytes], file) -> dict[str, int]:
    """All that a core would hold: every mapping that can be read, written to `file` one after the other, and searched there."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory, open(file, "wb") as core:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not found or "[v" in line:  # vvar, vsyscall
                continue
            start, end = (int(part, 16) for part in found.groups())
            for at in range(start, end, CHUNK):
                try:
                    memory.seek(at)
                    core.write(memory.read(min(CHUNK, end - at)))
                except OSError:
                    break  # guard pages
    total = dict.fromkeys(wanted, 0)
    data = file.read_bytes()
    assert len(data) > 8 << 20, "that is no whole process"
    count_in(data, wanted, total)
    file.unlink()
    return total


def in_files(folders, wanted: dict[str, bytes]) -> dict[str, int]:
    total = dict.fromkeys(wanted, 0)
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                count_in(file.read_bytes(), wanted, total)
    return total


def count_up(into: dict[str, int], found: dict[str, int]) -> None:
    for name, count in found.items():
        into[name] += count


def wait_spooled(s, events: int) -> None:
    s.wait(lambda: s.status()["agents"][0]["spool"]["events"] >= events, f"{events} in the spool")


def until_found(plane, filled, look, found: dict[str, int]) -> None:
    """What nobody wipes stays until something else is put in its place: mostly there is some, and after some more changes there is."""
    versions = itertools.count(2000)

    def once_more() -> bool:
        if not all(found[name] for name in BOTH_FORMS):
            bump(plane, "Secret", filled.named["Secret"][:5], next(versions))
            look()
        return all(found[name] for name in BOTH_FORMS)
    wait_for(once_more, "what was not wiped", 90, every=0.2)


@pytest.mark.parametrize("kind", ["shipped", "unwiped"])
def test_values_are_nowhere(holdfast, tmp_path, plane, filled, ca, kind):
    binary = holdfast if kind == "shipped" else holdfast.parents[1] / f"{holdfast.parent.name}-unwiped" / "holdfast"
    assert os.access(binary, os.X_OK), f"{binary} is not there: run `make VARIANT=x86_64-unwiped binary`"
    wanted = needles(filled.planted)
    with Stream(binary, tmp_path, plane, ca) as s:
        s.platform.expect(keep_bodies=True)
        s.hub.start()
        s.hub.wait_log("the cluster was listed")
        assert re.search(r"Max core file size +0 +0 ", Path(f"/proc/{s.hub.proc.pid}/limits").read_text()), "no core by the kernel"
        time.sleep(1)  # as the issue has it
        listed = in_core(s.hub.proc.pid, wanted, tmp_path / "core")
        s.law.holds()
        s.platform.down()  # so that the spool has something to show
        version = 2 if kind == "shipped" else 1000
        for at in range(100):
            bump(plane, KINDS[at % 3], [filled.named[KINDS[at % 3]][at // 3]], version + at)
        updated = dict.fromkeys(wanted, 0)
        for at, name in enumerate(KINDS, 100):  # each was the last one once: no next one took its place
            wait_spooled(s, at)
            bump(plane, name, [filled.named[name][-1]], version + at)
            wait_spooled(s, at + 1)
            time.sleep(1)
            count_up(updated, in_core(s.hub.proc.pid, wanted, tmp_path / "core"))
        if kind == "unwiped":
            until_found(plane, filled, lambda: count_up(updated, in_core(s.hub.proc.pid, wanted, tmp_path / "core")), updated)
        files = in_files([s.hub.folder], wanted)
        assert any(file.stat().st_size > 1000 for file in s.hub.folder.rglob("*.spool"))
        s.platform.up()
        s.settle(180)
        sent = dict.fromkeys(wanted, 0)
        for one in s.platform.journal() + s.platform.snapshots():
            count_in(one.get("body", "").encode(), wanted, sent)
        assert any(one.get("body") for one in s.platform.journal()), "bodies were kept"
    print(f"ingest: {kind}: planted values in memory after the list {listed}, after 100 updates {updated}, in files {files}, sent {sent}")
    nothing = dict.fromkeys(wanted, 0)
    assert files == sent == nothing
    if kind == "shipped":
        assert listed == updated == nothing
    else:
        assert all(updated[name] for name in BOTH_FORMS)
