"""backup: `holdfast backup now` as tests see it, and what must be true of the files it leaves.

    done = now(hub)                          # Outcome: code, said (stderr), took; -o json's records
    check_file(path)                         # name, mode, length, SHA-256 trailer
    before = Folder(hub.backups) … before.is_untouched()
    unshared(hub, "tmpfs", "size=3m")        # the command on a small or read-only file system of its own
"""
from __future__ import annotations

import calendar
import hashlib
import json
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from .hub import Hub
from .proc import PeerError, Proc, run, wait_for

NAME = re.compile(r"etcd-snapshot-(\d{8})-(\d{6})\.db")


def name_time(path: Path) -> float:
    """When the snapshot of this name was begun."""
    return calendar.timegm(time.strptime("".join(NAME.fullmatch(path.name).groups()), "%Y%m%d%H%M%S"))


@dataclass(frozen=True)
class Outcome:
    code: int
    said: str  # stderr
    out: str
    took: float

    @property
    def record(self) -> dict:
        """The one record of -o json; PeerError when there are none or more. `failures`: the rest of the array."""
        records = [item for item in json.loads(self.out) if "name" in item]
        if len(records) != 1:
            raise PeerError(f"{len(records)} records, not one: {self.out}")
        return records[0]

    @property
    def failures(self) -> list[dict]:
        return [item for item in json.loads(self.out) if "name" not in item]


def now(hub: Hub, *args: str, seconds: float = 60) -> Outcome:
    """`holdfast backup now ARGS` to its end."""
    began = time.monotonic()
    done = hub.command("backup", "now", *args, seconds=seconds)
    took = time.monotonic() - began
    return Outcome(done.returncode, done.stderr.decode(), done.stdout.decode(), took)


def check_file(path: Path) -> bytes:
    """Asserts all that a snapshot's file must be; the SHA-256 in its trailer."""
    stat = path.stat()
    assert NAME.fullmatch(path.name), path.name
    assert stat.st_mode & 0o7777 == 0o600, oct(stat.st_mode)
    assert stat.st_size > 32 and stat.st_size % 512 == 32, stat.st_size
    total, left = hashlib.sha256(), stat.st_size - 32
    with open(path, "rb") as file:
        while left:
            piece = file.read(min(left, 1 << 20))
            total.update(piece)
            left -= len(piece)
        trailer = file.read()
    assert trailer == total.digest()
    return trailer


class Folder:
    """What lay in a folder: names, times, modes and bytes."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.seen = self._look()

    def _look(self) -> dict[str, tuple]:
        found = {}
        for path in sorted(self.folder.iterdir()):
            stat = path.stat()
            found[path.name] = (stat.st_mtime_ns, stat.st_ino, stat.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        return found

    def assert_untouched(self) -> None:
        """The same files, byte by byte, and not one more."""
        assert self._look() == self.seen


class Unshared:
    """`holdfast backup now` where hub.backups is a file system of its own: `mount` is shell text with $at for that
    folder. Works as root and, where the kernel lets users have namespaces, as anybody. `inside` is the folder as
    the command sees it, while it runs; `left` what lay there in the end."""

    def __init__(self, hub: Hub, mount: str, *args: str):
        hub.write_config()
        self.hub = hub
        self.listing = hub.folder / "unshared-listing"
        self.errors = hub.folder / "unshared-stderr"
        command = [str(hub.binary), "backup", "now", "--config", str(hub.config_file), *args]
        script = (f"at={shlex.quote(str(hub.backups))}; {mount} || exit 111; {shlex.join(command)} 2> "
                  f"{shlex.quote(str(self.errors))}; code=$?; ls -A \"$at\" > {shlex.quote(str(self.listing))}; exit $code")
        user = [] if run(["id", "-u"]).stdout.strip() == b"0" else ["-r"]
        self.proc = Proc(["unshare", "-m", *user, "sh", "-c", script], log=hub.folder / "unshared.log", env=hub.env)

    @property
    def inside(self) -> Path:
        return Path(f"/proc/{self.proc.pid}/root{self.hub.backups}")

    def wait_part(self, seconds: float = 10) -> Path:
        """Until an unfinished file lies there."""
        return wait_for(lambda: next(iter(self.inside.glob("*.part-*")), None), "an unfinished file", seconds, self.proc)

    def wait(self, seconds: float = 60) -> Outcome:
        began = time.monotonic()
        code = self.proc.wait(seconds)
        if code == 111:
            raise PeerError(f"cannot mount here: {self.proc.log_tail()}")
        return Outcome(code, self.errors.read_text(), self.proc.log_text(), time.monotonic() - began)

    @property
    def left(self) -> list[str]:
        return self.listing.read_text().split()
