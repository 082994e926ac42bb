"""etcd: real etcd servers on loopback.

    etcd = Etcd(folder, version="3.5", tls=ca.server("etcd")).start()     # client certificates required
    etcd.url, etcd.gateway().count(), etcd.stop()

A member has two client listeners: `url`, the one under test (https when `tls` is given), and `back_door`, plaintext
on another port, through which the harness fills and counts whatever the state of the certificates is.
"""
from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Sequence

from .ca import Cert
from .gate import Gate
from .gateway import Filled, Gateway, fill
from .proc import PeerError, Proc, free_port, run, wait_for
from .versions import programs

QUOTA_BYTES = 8 << 30
REQUEST_BYTES = 8 << 20
ETCDCTL_PATIENT = ["--dial-timeout=60s", "--command-timeout=60s"]  # 2 s and 5 s by default


class Etcd:
    """One member. Nothing runs before start(); after stop() or kill(), start() starts it again on the same data.

    version       "3.4", "3.5", "3.7" or "system" (peers.versions)
    tls           the server's certificate; None is plaintext
    client_ca     who must have issued the clients' certificates (default: the server's own CA); client_auth=False
                  takes any client
    tls_min/max   "1.2" or "1.3"; PeerError where the version cannot (peers.versions)
    data          an existing data folder, as restore() makes; default folder/data
    flags         more flags of etcd, last
    """

    def __init__(self, folder: Path, version: str = "system", tls: Cert | None = None, *, client_auth: bool = True,
                 client_ca: Path | None = None, tls_min: str | None = None, tls_max: str | None = None,
                 data: Path | None = None, flags: Sequence[str] = (), name: str = "default"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.programs = programs(version)
        self.version = self.programs.version
        self.tls, self.client_auth, self.client_ca = tls, client_auth, client_ca
        self.tls_min, self.tls_max = tls_min, tls_max
        self.data = Path(data) if data else self.folder / "data"
        self.flags = list(flags)
        self.name = name
        self.proc: Proc | None = None
        self.port, self.peer_port = free_port(), free_port()
        self.back_port, self.metrics_port = free_port(), free_port()
        self.gate: Gate | None = None  # before its peer port, where the others go
        self.initial_cluster = f"{name}={self.peer_url}"
        self._gateway: Gateway | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def back_door(self) -> str:
        return f"http://127.0.0.1:{self.back_port}"

    @property
    def peer_url(self) -> str:
        """Where the other members find it."""
        return f"http://127.0.0.1:{self.gate.port if self.gate else self.peer_port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self, wait: bool = True) -> "Etcd":
        """Starts it and, with wait, returns when it serves (about 0.3 s for a single member)."""
        if self.proc is not None and self.proc.alive():
            raise PeerError("etcd runs already")
        self._close_gateway()
        env = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        self.proc = Proc(self._command(), log=self.folder / "etcd.log", env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 900) -> None:  # of two gibibytes on a disk that others use too
        wait_for(self._healthy, f"etcd {self.version} ready", seconds, self._running())

    def _healthy(self) -> bool:
        try:
            return self.gateway().revision() > 0
        except PeerError:
            return False

    def _command(self) -> list[str]:
        line = [str(self.programs.server), "--name", self.name, "--data-dir", str(self.data),
                "--listen-client-urls", f"{self.url},{self.back_door}", "--advertise-client-urls", self.url,
                "--listen-peer-urls", f"http://127.0.0.1:{self.peer_port}", "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", self.initial_cluster, "--listen-metrics-urls",
                f"http://127.0.0.1:{self.metrics_port}", "--quota-backend-bytes", str(QUOTA_BYTES),
                "--max-request-bytes", str(REQUEST_BYTES)]
        return line + self._tls_flags() + self.flags

    def _tls_flags(self) -> list[str]:
        if self.tls is None:
            return []
        line = ["--cert-file", str(self.tls.cert), "--key-file", str(self.tls.key)]
        if self.client_auth:
            line += ["--client-cert-auth", "--trusted-ca-file", str(self.client_ca or self.tls.ca)]
        for flag, value in (("--tls-min-version", self.tls_min), ("--tls-max-version", self.tls_max)):
            if value and not self.programs.has_tls_range:
                raise PeerError(f"etcd {self.version} has no {flag}")
            if value:
                line += [flag, f"TLS{value}"]
        return line

    def _running(self) -> Proc:
        if self.proc is None:
            raise PeerError("etcd was not started")
        return self.proc

    def gateway(self) -> Gateway:
        """The back door's keys; one connection, kept."""
        if self._gateway is None:
            self._gateway = Gateway(self.back_port)
        return self._gateway

    def _close_gateway(self) -> None:
        if self._gateway:
            self._gateway.close()
        self._gateway = None

    def fill(self, keys: int = 5000, **how: int) -> Filled:
        return fill(self.gateway(), keys, **how)

    def count(self) -> int:
        return self.gateway().count()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def kill(self) -> int:
        """SIGKILL, in the middle of whatever it does."""
        self._close_gateway()
        return self._running().kill()

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM, then SIGKILL; idempotent."""
        self._close_gateway()
        return self.proc.stop(seconds, signal.SIGTERM) if self.proc else 0

    def __enter__(self) -> "Etcd":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def snapshot_save(self, file: Path, client: Cert | None = None) -> Path:
        """`etcdctl snapshot save`: through the listener under test with a client's certificate, else the back door."""
        self.etcdctl("snapshot", "save", file, client=client)
        return Path(file)

    def etcdctl(self, *args: object, client: Cert | None = None, check: bool = True, seconds: float = 300):
        """The stock client of the same version; its finished process (stdout, stderr, returncode)."""
        line = [self.programs.etcdctl, *ETCDCTL_PATIENT, "--endpoints", self.url if client else self.back_door]
        if client:
            ca = self.tls.ca if self.tls else client.ca
            line += ["--cacert", ca, "--cert", client.cert, "--key", client.key]
        return run([*line, *map(str, args)], env=_ctl_env(), check=check, seconds=seconds)


def _ctl_env() -> dict[str, str]:
    keep = {key: value for key, value in os.environ.items() if not key.startswith("ETCDCTL_")}
    return {**keep, "ETCDCTL_API": "3"}  # 3.4 still speaks version 2 by default for some builds


def snapshot_status(file: Path, version: str = "system") -> dict:
    """What the stock tool says of a snapshot: hash, revision, totalKey, totalSize."""
    text = run([programs(version).etcdutl, "snapshot", "status", file, "-w", "json"], env=_ctl_env(), seconds=900).stdout
    return json.loads(text)


def restore(file: Path, folder: Path, version: str = "system", *, skip_hash: bool = False, **how) -> Etcd:
    """Restores the snapshot with the stock tool into folder/restored, and gives the member that would serve it,
    not started. The tool refuses a file whose digest is wrong, unless skip_hash. `how` goes to Etcd."""
    etcd = Etcd(folder, version, data=Path(folder) / "restored", **how)
    line = [etcd.programs.etcdutl, "snapshot", "restore", file, "--data-dir", etcd.data, "--name", etcd.name,
            "--initial-cluster", etcd.initial_cluster, "--initial-advertise-peer-urls", etcd.peer_url]
    run([*line, *(["--skip-hash-check"] if skip_hash else [])], env=_ctl_env(), seconds=1800)
    return etcd


# Members that compete for a CPU and a disk are late by more than the second after which etcd elects another leader by default.
PATIENT = ["--heartbeat-interval", "300", "--election-timeout", "3000"]


class Cluster:
    """`size` members of one cluster; .members; options as for Etcd. gated: members can be cut off (peers.gate)."""

    def __init__(self, folder: Path, size: int = 3, version: str = "system", tls: Cert | None = None, *, gated: bool = False,
                 flags: Sequence[str] = (), **how):
        self.kind = version
        self.members = [Etcd(Path(folder) / f"m{i}", version, tls, name=f"m{i}", flags=[*PATIENT, *flags], **how) for i in range(size)]
        for member in self.members if gated else ():
            member.gate = Gate(member.peer_port)
            member.initial_cluster = f"{member.name}={member.peer_url}"
        together = ",".join(member.initial_cluster for member in self.members)
        for member in self.members:
            member.initial_cluster = together

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self.members]

    def start(self) -> "Cluster":
        for member in self.members:
            member.start(wait=False)
        for member in self.members:
            member.wait_ready()
        return self

    def leader(self) -> Etcd:
        """The member that leads now; PeerError when none does within 10 s."""
        def found() -> "Etcd | None":
            for member in self.members:
                if member.proc is None or not member.proc.alive():
                    continue
                status = member.gateway().status()
                if status.get("leader") == status["header"]["member_id"]:
                    return member
            return None
        return wait_for(found, "an etcd leader", 60)  # type: ignore[return-value]

    def followers(self) -> "list[Etcd]":
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def fragment(self, mib: int, keep: int = 8) -> None:
        """Writes `mib` MiB of noise, deletes all but `keep` keys and compacts: the files stay as large as they were."""
        gateway = self.members[0].gateway()
        gateway.put_many((b"noise/%06d" % i, os.urandom(64 << 10)) for i in range(mib * 16))
        gateway.delete_many(b"noise/%06d" % i for i in range(keep, mib * 16))
        gateway.compact()

        def small() -> bool:
            gateway.put_many([(b"touch", b"pages that a compaction freed are told of after the next writes")])
            return all(in_use < size // 2 for size, in_use in self.sizes())
        wait_for(small, "all members compacted", 180, every=0.3)

    def sizes(self) -> list[tuple[int, int]]:
        """(size, in use) of each member, as etcdctl tells them."""
        def one(member: "Etcd") -> tuple[int, int]:
            status = json.loads(member.etcdctl("endpoint", "status", "-w", "json").stdout)[0]["Status"]
            return status["dbSize"], status["dbSizeInUse"]
        return [one(member) for member in self.members]

    def add_learner(self, folder: Path) -> "Etcd":
        """A fourth member that is a learner, started."""
        first = self.members[0]
        learner = Etcd(folder, self.kind, first.tls, name="learner", flags=[*PATIENT, "--initial-cluster-state", "existing"])
        words = ("member", "add", "learner", "--learner", f"--peer-urls={learner.peer_url}")
        def added() -> bool:
            done = first.etcdctl(*words, check=False)
            return done.returncode == 0 or b"already exist" in done.stderr  # it was, and the answer came too late
        wait_for(added, "a cluster that takes members", 120, every=0.5)
        learner.initial_cluster = f"{first.initial_cluster},{learner.initial_cluster}"
        self.members.append(learner)
        learner.start(wait=False)
        return learner

    def cut_off(self, gone: "Etcd | None") -> None:
        """No member hears this one any more, nor it them; clients still reach all. None: all are together again."""
        ids = frozenset([f"{int(gone.gateway().status()['header']['member_id']):x}"] if gone else [])
        for member in self.members:
            if member.gate:
                member.gate.set(member is gone, ids)

    def stop(self) -> None:
        for member in self.members:
            if member.proc and member.proc.alive():
                member.resume()
        for member in self.members:
            member.stop()
            if member.gate:
                member.gate.close()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
