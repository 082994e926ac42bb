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
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Sequence

from peers import agebox, gobuild
from peers.backup import check_file
from peers.ca import Ca
from peers.hub import Hub
from peers.limits import Watch
from peers.proc import PeerError
from peers.s3 import VIRTUAL_NAMES, Versitygw

MIB = 1 << 20
GOAL_CPU = 0.5


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


# --- the two sides

def _ours(options, folder: Path, etcd, client, s3, key) -> tuple[list[object], dict[str, str]]:
    hub = Hub(options.binary, folder / "hub", endpoints=[etcd.url], client=client)
    (folder / "access").write_text(s3.keys.access)
    (folder / "secret").write_text(s3.keys.secret)
    hub.config["backup"]["destinations"] = [{
        "name": "offsite", "type": "s3", "endpoint": s3.url, "bucket": "backups", "prefix": "ours/", "region": s3.region,
        "access_key_file": str(folder / "access"), "secret_key_file": str(folder / "secret"), "ca": str(s3.tls.ca),
        "encrypt": {"recipients": [key.recipient]}, "compress": "zstd"}]
    return [options.binary, "backup", "now", "--config", hub.write_config()], {"PATH": "/usr/bin:/bin"}


def _theirs(folder: Path, etcd, client, s3, key) -> tuple[list[list[object]], list[dict[str, str]]]:
    rclone = gobuild.rclone()
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    remote = {**plain, "RCLONE_CONFIG": "", "RCLONE_CONFIG_S_TYPE": "s3", "RCLONE_CONFIG_S_PROVIDER": "Other",
              "RCLONE_CONFIG_S_ENDPOINT": s3.url, "RCLONE_CONFIG_S_REGION": s3.region, "RCLONE_CONFIG_S_FORCE_PATH_STYLE": "true",
              "RCLONE_CONFIG_S_ACCESS_KEY_ID": s3.keys.access, "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": s3.keys.secret}
    lines = [[etcd.programs.etcdctl, "--endpoints", etcd.url, "--cacert", client.ca, "--cert", client.cert, "--key", client.key,
              "snapshot", "save", folder / "pipe"],
             ["zstd", "-1", "-c"], ["age", "-r", key.recipient],
             [rclone, "rcat", "--ca-cert", s3.tls.ca, "--s3-no-check-bucket", "S:backups/theirs/etcd.db.zst.age"]]
    return lines, [{**plain, "ETCDCTL_API": "3"}, plain, plain, remote]


def _turn(name: str, folder: Path, ours, theirs) -> Side:
    if name == "holdfast":
        return run_together([ours[0]], [ours[1]])
    pipe = folder / "pipe.part"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    try:
        return run_together(*theirs, feed=pipe, allowed=b"invalid argument")
    finally:
        pipe.unlink(missing_ok=True)


def _check(folder: Path, s3, key) -> int:
    """What lies there is what the real tools open, and its trailer is right. Its size in the bucket."""
    client = s3.client()
    (name,) = [item.key for item in client.list("ours/") if item.key.endswith(".age")]
    sealed = folder / "sealed"
    sealed.write_bytes(client.read(name))
    plain = folder / Path(name).name.removesuffix(".zst.age")
    agebox.decompress(key.decrypt(sealed, folder / "packed"), plain).chmod(0o600)
    check_file(plain)
    return sealed.stat().st_size


def bench(table, folder: Path, options, etcd, client, bare_seconds: float) -> None:
    """Medians of rounds in which both take turns; the first is not counted."""
    key = agebox.AgeKey(folder / "key.txt")
    (folder / "s3").mkdir(parents=True, exist_ok=True)
    with Versitygw(folder / "s3", tls=Ca(folder / "s3ca").server("s3", names=VIRTUAL_NAMES)) as s3:
        s3.client().make_bucket()
        ours, theirs = _ours(options, folder, etcd, client, s3, key), _theirs(folder, etcd, client, s3, key)
        print(f"offsite: {' '.join(map(str, ours[0]))}\n  beside {' | '.join(' '.join(map(str, line)) for line in theirs[0])}", flush=True)
        sides: dict[str, list[Side]] = {"holdfast": [], "pipeline": []}
        for number in range(options.rounds + 1):
            for name in (list(sides) if number % 2 else list(sides)[::-1]):
                side = _turn(name, folder, ours, theirs)
                if number:
                    sides[name].append(side)
                    print(f"  round {number} {name}: {side.seconds:.2f} s, {side.cpu:.2f} s CPU, RssAnon {side.anon / MIB:.1f} MiB", flush=True)
            if number == 0:
                size = _check(folder, s3, key)
            for item in list(s3.client().list("")):
                s3.client().delete(item.key)
    tell(table, size, *(sides[name] for name in sides), bare_seconds)


def tell(table, size: int, ours: list[Side], theirs: list[Side], bare_seconds: float) -> None:
    def both(field: str) -> tuple[float, float]:
        return tuple(statistics.median(getattr(side, field) for side in sides) for sides in (ours, theirs))

    (seconds, their_seconds), (cpu, their_cpu), (anon, their_anon) = both("seconds"), both("cpu"), both("anon")
    table.add(f"zstd, age, S3: {size / MIB:.0f} MiB there, s", f"{seconds:.2f}", f"{their_seconds:.2f}", f"{their_seconds / seconds:.2f} x pace",
              "> 1 x", seconds < their_seconds)
    table.add("  CPU, s", f"{cpu:.2f}", f"{their_cpu:.2f}", f"{cpu / their_cpu:.2f} x", f"<= {GOAL_CPU} x", cpu <= GOAL_CPU * their_cpu)
    table.add("  peak RssAnon, MiB", f"{anon / MIB:.1f}", f"{their_anon / MIB:.1f}", f"1/{their_anon / anon:.1f}")
    table.add("  beside etcdctl snapshot save alone, s", f"{seconds:.2f}", f"{bare_seconds:.2f}", f"{bare_seconds / seconds:.2f} x pace")
