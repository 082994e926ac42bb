"""clientgo: the ingest bench's opponent, a small program with client-go (tests/bench/ingest).

    with ClientGo(folder, plane, platform, rate=5000, burst=5000).start() as rival:
        rival.synced(), rival.pid; rival.stop() tells {"sent": …, "waiting": …, "cpu_s": …, "rss_kib_max": …}
"""
from __future__ import annotations

import re
from pathlib import Path

from . import gobuild
from .kube import ControlPlane
from .platform import Platform
from .proc import PeerError, Proc, wait_for


class ClientGo:
    """rate, burst, initial, kinds: flags of the program; kinds other than Pod need platform.expect(lenient=True)."""

    def __init__(self, folder: Path, plane: ControlPlane, platform: Platform, *, rate: float = 10, burst: int = 20,
                 initial: bool = False, kinds: str = "", cluster_uid: str = "bench"):
        self.log = Path(folder) / "clientgo.log"
        ca = platform.tls.ca if platform.tls else ""
        self.line = [gobuild.client_go(), f"-kubeconfig={plane.admin_config}", f"-platform={platform.url}", f"-ca={ca}",
                     f"-client-id={platform.client_id}", f"-key={platform.keys.pkcs8}", f"-rate={rate}", f"-burst={burst}",
                     f"-initial={str(initial).lower()}", f"-kinds={kinds}", f"-cluster-uid={cluster_uid}"]
        self.proc: Proc | None = None

    @property
    def pid(self) -> int:
        if self.proc is None:
            raise PeerError("not started")
        return self.proc.pid

    def start(self) -> "ClientGo":
        self.proc = Proc(self.line, log=self.log)
        return self

    def synced(self, seconds: float = 120) -> float:
        """Waits for all first lists; the seconds they took."""
        found = wait_for(lambda: self.proc and re.search(r"synced after ([0-9.]+) s", self.proc.log_text()), "client-go's lists", seconds, self.proc)
        return float(found[1])  # type: ignore[index]

    def stop(self) -> dict[str, float]:
        """Its own account of the run; empty when it runs no more."""
        if self.proc is None or not self.proc.alive():
            return {}
        self.proc.stop()
        found = re.search(r"sent (\d+), waiting (\d+), cpu ([0-9.]+) s, resident at most (\d+) KiB", self.proc.log_text())
        if not found:
            raise PeerError(f"client-go said nothing at its end:\n{self.proc.log_tail()}")
        return dict(zip(("sent", "waiting", "cpu_s", "rss_kib_max"), map(float, found.groups())))

    def __enter__(self) -> "ClientGo":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
