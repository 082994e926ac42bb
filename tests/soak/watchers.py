"""watchers: what a soak sees from outside while the hub runs: health, memory, descriptors, files; and who writes to etcd.

    watchers = Watchers(hub, etcd, places) … watchers.stop()
"""
from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from peers.backup import NAME
from peers.etcd import Etcd
from peers.gateway import Gateway
from peers.hub import Hub
from peers.limits import status_bytes
from peers.proc import PeerError

HEALTH_S_MAX = 1.0


@dataclass
class Place:
    """A destination: `full()` and `frozen()` need a file system of its own."""
    name: str
    path: Path
    seen: set[str] = field(default_factory=set)  # every good name that was ever there

    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if NAME.fullmatch(path.name))


class Watchers:
    """Threads that ask /healthz, sample memory and descriptors, write to etcd, and note what lies in the destinations."""

    def __init__(self, hub: Hub, etcd: Etcd, places: list[Place], patience: float = 1):
        self.hub, self.etcd, self.places = hub, etcd, places
        self.health_s_max = HEALTH_S_MAX * patience
        self.over = threading.Event()
        self.began = time.monotonic()
        self.health_ms: list[float] = []
        self.unwell: list[str] = []
        self.samples: list[tuple[float, int, int]] = []  # seconds, RssAnon, descriptors
        self.written = self.refused = 0
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._health, self._sample, self._write)]
        for thread in self.threads:
            thread.start()

    def _health(self) -> None:
        while not self.over.wait(0.2):
            began = time.monotonic()
            try:
                status, body = self.hub.get("/healthz", seconds=self.health_s_max)
            except OSError as error:
                self.unwell.append(f"at {began - self.began:.0f} s: {error}")
                continue
            took = time.monotonic() - began
            self.health_ms.append(took * 1000)
            if status != 200 or took > self.health_s_max:
                self.unwell.append(f"at {began - self.began:.0f} s: {status} {body[:80]!r} in {took * 1000:.0f} ms")

    def _sample(self) -> None:
        pid = self.hub.proc.pid
        while not self.over.wait(0.5):
            now = status_bytes(pid)
            if "RssAnon" not in now:
                return
            try:
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                return
            self.samples.append((time.monotonic() - self.began, now["RssAnon"], descriptors))
            for place in self.places:
                place.seen.update(place.files())

    def _write(self) -> None:
        """Overwrites 2,000 keys for ever, compacts now and then. Its own connection: a stopped member may hold it up."""
        rng = random.Random(1)
        while not self.over.is_set():
            gateway = Gateway(self.etcd.back_port, seconds=5)
            try:
                while not self.over.wait(0.05):
                    keys = rng.sample(range(2000), 8)
                    gateway.put_many((b"/soak/%04d" % key, rng.randbytes(rng.randrange(16, 1500))) for key in keys)
                    self.written += len(keys)
                    if self.written % 4000 == 0:
                        gateway.compact()
            except (OSError, PeerError, ValueError):
                self.refused += 1
                self.over.wait(0.2)
            finally:
                gateway.close()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def window(self, at: float, seconds: float) -> list[tuple[float, int, int]]:
        return [sample for sample in self.samples if at <= sample[0] < at + seconds]
