"""limits: hard memory limits for one process, and what it used.

    group = memory_group(48 << 20)        # None where no cgroup can be had (reason in memory_group.why)
    Proc(…, setup=group.enter) … group.peak(), group.oom_kills(), group.remove()
    watch = Watch(pid) … watch.stop().anon_peak
"""
from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_count = itertools.count()


class MemoryGroup:
    """A memory cgroup (version 2, or 1) with a hard limit and no swap. enter() is for the child, before exec."""

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit
        self.is_v2 = (folder / "memory.max").exists()
        (folder / ("memory.max" if self.is_v2 else "memory.limit_in_bytes")).write_text(str(limit))
        swap, amount = ("memory.swap.max", "0") if self.is_v2 else ("memory.memsw.limit_in_bytes", str(limit))
        with contextlib.suppress(OSError):
            (folder / swap).write_text(amount)

    def enter(self) -> None:
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        """Bytes at most so far, page cache included; 0 where the kernel does not say."""
        file = self.folder / ("memory.peak" if self.is_v2 else "memory.max_usage_in_bytes")
        return int(file.read_text()) if file.exists() else 0

    def oom_kills(self) -> int:
        text = (self.folder / ("memory.events" if self.is_v2 else "memory.oom_control")).read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def remove(self) -> None:
        """When its process has ended; idempotent."""
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)


def _parents() -> list[Path]:
    """Where a group might be made: below our own, below its parent, at the top."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own = _ROOT / path.lstrip("/")
            found += [own, own.parent, _ROOT] if own != _ROOT else [own]
        elif "memory" in controllers.split(","):
            found += [_ROOT / "memory" / path.lstrip("/"), _ROOT / "memory"]
    return found


def memory_group(limit: int) -> MemoryGroup | None:
    """A new group with this limit in bytes, or None, with the reason in memory_group.why."""
    reasons = []
    for parent in _parents():
        folder = parent / f"holdfast-{os.getpid()}-{next(_count)}"
        try:
            folder.mkdir()
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
            continue
        try:
            return MemoryGroup(folder, limit)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
            folder.rmdir()
    memory_group.why = "; ".join(reasons) or "no memory cgroup here"
    return None


memory_group.why = ""


@dataclass
class Usage:
    """Peaks in bytes, as sampled; rss_peak is the kernel's own VmHWM."""
    anon_peak: int = 0
    file_peak: int = 0
    rss_peak: int = 0
    samples: int = 0


def status_bytes(pid: int | str = "self") -> dict[str, int]:
    """The kB lines of /proc/PID/status, in bytes; empty when the process has gone."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                found[name] = int(value.split()[0]) * 1024
    return found


class Watch:
    """Samples a process's RssAnon and RssFile on a thread until stop() or its end."""

    def __init__(self, pid: int, every: float = 0.02):
        self.usage = Usage()
        self._pid, self._every = pid, every
        self._over = threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _sample(self) -> bool:
        now = status_bytes(self._pid)
        if "RssAnon" not in now:
            return False
        usage = self.usage
        usage.anon_peak = max(usage.anon_peak, now["RssAnon"])
        usage.file_peak = max(usage.file_peak, now["RssFile"])
        usage.rss_peak = max(usage.rss_peak, now.get("VmHWM", 0))
        usage.samples += 1
        return True

    def _run(self) -> None:
        while not self._over.wait(self._every) and self._sample():
            pass

    def stop(self) -> Usage:
        """Idempotent; with one last sample when it still runs."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            self._sample()
        return self.usage
