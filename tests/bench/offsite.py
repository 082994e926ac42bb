"""offsite: one backup, compressed, encrypted and in S3, beside what people put together for it.

Ours     `holdfast backup now` into an S3 destination with age recipients, zstd, no scratch: nothing touches a disk.
Theirs   `etcdctl snapshot save` into a pipe | zstd -1 | age -r … | rclone rcat. etcdctl writes NAME.part and syncs it at the end,
         which a pipe cannot do: by then all bytes are through, and that one error is let pass.
Both read the same etcd over mutual TLS and write to the same versitygw over TLS, in turns. CPU is of all processes of a side,
without etcd and the server; memory the sum of their peaks. What ours left is decrypted and decompressed by the real tools once,
and its SHA-256 compared.
"""
from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Sequence

from peers.limits import Watch
from peers.proc import PeerError


class Side:
    """Processes of one side: waited for, their CPU and memory added up."""

    def __init__(self) -> None:
        self.cpu = self.anon = self.rss = 0.0
        self.began = time.monotonic()
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, usage, peak) -> None:
        with self._lock:
            self.cpu += usage.ru_utime + usage.ru_stime
            self.anon += peak.anon_peak
            self.rss += peak.rss_peak


def _wait(side: Side, child: subprocess.Popen, watch: Watch, failed: list[str], allowed: bytes) -> None:
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    side.add(usage, watch.stop())
    if child.returncode != 0 and not (allowed and allowed in said):
        failed.append(f"{child.args}: exit {child.returncode}\n{said.decode(errors='replace')}")


def run_together(lines: Sequence[Sequence[object]], envs: Sequence[dict[str, str]], feed: Path | None = None,
                 allowed: bytes = b"") -> Side:
    """Each line's stdout is the next one's stdin; the first's is not connected. `feed`: a FIFO the second reads from. `allowed`:
    words in the first one's error that are let pass."""
    side, failed, threads = Side(), [], []
    before = None
    for at, (line, env) in enumerate(zip(lines, envs)):
        stdin = before
        if at == 1 and feed:
            stdin = os.open(feed, os.O_RDONLY)  # waits for the writer
        last = at + 1 == len(lines)
        silent = last or (at == 0 and feed)
        child = subprocess.Popen([str(word) for word in line], env=env, stdin=stdin or subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL if silent else subprocess.PIPE, stderr=subprocess.PIPE)
        if stdin is not None:
            os.close(stdin) if isinstance(stdin, int) else stdin.close()
        before = None if silent else child.stdout
        thread = threading.Thread(target=_wait, args=(side, child, Watch(child.pid, every=0.01), failed, allowed if at == 0 else b""))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    side.seconds = time.monotonic() - side.began
    if failed:
        raise PeerError("\n".join(failed))
    return side
