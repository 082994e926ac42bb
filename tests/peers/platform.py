"""platform: the ingest platform, played strictly (the Go program in tests/peers/platform; 10 s to build, cold).

    with Platform(folder, tls=ca.server("platform")) as platform:
        platform.url, platform.client_id, platform.private_key   # what the agent is configured with
        platform.state("Pod")                                    # {uid: Info} that snapshots and events add up to
        platform.assert_clean()                                  # nothing malformed came

It refuses, and notes in problems(), what departs from the contract: token requests (form, ES256 assertion and its
claims), headers, field names, order, omission, types and escapes of every body. It keeps the state; journal() has every
arrival with the kernel's monotonic time; counts() tells repeats (a body that came before for that object), older (an
older state after a newer one, by a number in the label holdfast.test/version, or anything after `deleted`), added_known,
modified_unknown, deleted_unknown, unchanged, token_expired and so on. Faults are given by fault() and down().
"""
from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Iterable

from . import gobuild
from .ca import Cert
from .proc import PeerError, Proc, free_port, run, wait_for

VERSION_LABEL = "holdfast.test/version"
SNAPSHOT_KEYS = {"Namespace": "namespaces", "Pod": "pods", "Service": "services", "Node": "nodes", "Deployment": "deployments",
                 "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "Job": "jobs", "CronJob": "cronjobs",
                 "Ingress": "ingresses", "NetworkPolicy": "network_policies", "ConfigMap": "configmaps", "Secret": "secrets",
                 "PersistentVolumeClaim": "pvcs", "ServiceAccount": "service_accounts", "Role": "roles",
                 "ClusterRole": "cluster_roles", "RoleBinding": "role_bindings", "ClusterRoleBinding": "cluster_role_bindings",
                 "Event": "events"}


class Keys:
    """A client's P-256 key in both encodings: sec1, pkcs8, and public."""

    def __init__(self, folder: Path, name: str = "client"):
        self.sec1, self.pkcs8, self.public = (Path(folder) / f"{name}-{part}.pem" for part in ("sec1", "pkcs8", "public"))
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.sec1])
        run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", self.sec1, "-out", self.pkcs8])
        run(["openssl", "ec", "-in", self.sec1, "-pubout", "-out", self.public])
        for path in (self.sec1, self.pkcs8):
            path.chmod(0o600)


class Platform:
    """One platform, its state in memory: it survives down(), not stop().

    tls      the server's certificate; None is plaintext
    http2    offer HTTP/2 by ALPN
    flags    more flags, last
    """

    def __init__(self, folder: Path, tls: Cert | None = None, *, http2: bool = True, client_id: str = "agent-1",
                 flags: Iterable[str] = ()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tls, self.http2, self.client_id, self.flags = tls, http2, client_id, list(flags)
        self.keys = Keys(self.folder)
        self.private_key = self.keys.sec1
        self.port, self.control_port = free_port(), free_port()
        self.proc: Proc | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self.proc is None:
            raise PeerError("the platform was not started")
        return self.proc.pid

    def start(self) -> "Platform":
        line = [gobuild.platform(), "--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}",
                "--client-id", self.client_id, "--public-key", self.keys.public, "--audience", self.url,
                f"--http2={str(self.http2).lower()}"]
        if self.tls:
            line += ["--cert", self.tls.cert, "--key", self.tls.key]
        self.proc = Proc([*line, *self.flags], log=self.folder / "platform.log")
        wait_for(self.stats, "the platform", 120, self.proc)
        return self

    def stop(self) -> None:
        if self.proc:
            self.proc.stop()

    def __enter__(self) -> "Platform":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask(self, path: str, body: object = None) -> object:
        """One command; OSError while the program is not there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise PeerError(f"platform {path}: {text[:400].decode(errors='replace')}")
        return json.loads(text)

    # --- what it knows ---

    def state(self, kind: str) -> dict[str, dict]:
        """{uid: Info} of one kind, as a database behind the platform would have it."""
        return self._ask(f"/state?kind={kind}")  # type: ignore[return-value]

    def stats(self) -> dict:
        """counts, objects per kind, connections (opened so far), connections_open, up, journal, now."""
        return self._ask("/stats")  # type: ignore[return-value]

    def count(self, name: str) -> int:
        """events, added, modified, deleted, snapshots, heartbeats, tokens, repeats, older, problems…"""
        return self.stats()["counts"].get(name, 0)

    def journal(self, since: int = 0) -> list[dict]:
        """Arrivals in order: seq, at (time.monotonic()), path, status (0: no answer), type, kind, uid, name, version,
        repeat, older, bytes, by (the agent_version that came with this token); and body with expect(keep_bodies=True)."""
        return self._ask(f"/journal?since={since}") or []  # type: ignore[return-value]

    def delivered(self, since: int = 0) -> list[dict]:
        """The events of the journal that were taken."""
        return [one for one in self.journal(since) if one["path"] == "events" and 200 <= one["status"] < 300]

    def snapshots(self) -> list[dict]:
        """at, bytes, said (the texts before the arrays), counts per kind; and body with expect(keep_bodies=True)."""
        return self._ask("/snapshots") or []  # type: ignore[return-value]

    def problems(self) -> list[str]:
        """What was refused as malformed, and why; the first 1000."""
        return self._ask("/problems") or []  # type: ignore[return-value]

    def assert_clean(self, older: bool = True) -> None:
        """Nothing malformed came and, with older, no object's older state after a newer one."""
        found = self.problems()
        assert not found, f"{len(found)} malformed requests, first: {found[0]}"
        late = [one for one in self.journal() if one.get("older")]
        assert not older or not late, f"{len(late)} older states after newer ones, first: {late[0]}"

    def clear(self, *what: str) -> None:
        """Any of journal, problems, counts, faults, state; default all but faults and state."""
        self._ask("/clear?what=" + ",".join(what or ("journal", "problems", "counts")))

    def wait_count(self, name: str, at_least: int, seconds: float = 90) -> int:
        return wait_for(lambda: (count := self.count(name)) >= at_least and count or None, f"{at_least} {name}", seconds, self.proc,
                        every=0.02)  # type: ignore[return-value]

    # --- what it does ---

    def fault(self, *rules: dict) -> None:
        """Replaces the rules; none: all is well. A rule has any of: path (token, snapshot, events, heartbeat or *; default *),
        kind, names (of the object), times (default for ever), status, headers, body, delay_ms, hang, reset, hold (of the body
        so many bytes are read, until other rules are given; counts tell `held`), and apply: it took
        effect all the same, the answer was lost. The first rule that matches and has times left is used.
            platform.fault({"path": "events", "status": 429, "headers": {"Retry-After": "2"}, "times": 3})"""
        self._ask("/faults", [{"path": "*", "times": -1, **rule} for rule in rules])

    def faults(self) -> list[dict]:
        """The rules with what is left (times) and what was used (used)."""
        return self._ask("/faults") or []  # type: ignore[return-value]

    def down(self, seconds: float | None = None) -> None:
        """Refuses connections and resets those there are, until up() or for so many seconds."""
        self._ask("/down" + (f"?seconds={seconds}" if seconds else ""))

    def up(self) -> None:
        self._ask("/up")

    def cut(self) -> None:
        """Resets all connections; new ones are taken."""
        self._ask("/cut")

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers; control neither, until resume()."""
        if self.proc:
            self.proc.pause()

    def resume(self) -> None:
        if self.proc:
            self.proc.resume()

    def expire_tokens(self, seconds: float = 0) -> None:
        """Every token given so far is worth nothing after so many seconds."""
        self._ask(f"/expire?seconds={seconds}")

    def client(self, **how: object) -> None:
        """Who may ask, and what is answered: client_id, public_key (a file), audience, expires_in (3600), valid_for
        (seconds the token really lives; 0: expires_in), clock_skew (60), token_bytes (64). What is not named stays."""
        self._ask("/client", {name: str(value) if isinstance(value, Path) else value for name, value in how.items()})

    def expect(self, **how: object) -> None:
        """More to hold requests against: cluster_uid, cluster_name, event_types (lower or upper), user_agent, ok_status,
        lenient (objects of any shape), keep_bodies. What is not named stays."""
        self._ask("/expect", how)
