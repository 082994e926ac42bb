"""streaming: a hub that streams a control plane to a platform: what the tests of the ingest agent stand on.

    with Stream(holdfast, folder, plane, ca, source="config", profile="edge16") as s:
        s.hub.start(); s.law.holds(); s.platform.count("events")
        s.agent("oslo", clusterName="oslo")        # source: crd
        s.status()["agents"][0]["spool"]

Each Stream has a platform and an account of its own; the plane is shared. What tests print begins with "ingest:".
"""
from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Callable, Iterable

from .ca import Ca
from .hub import Hub
from .kube import ControlPlane
from .kube_law import Law
from .kubefill import VERSION_LABEL, make
from .kubekinds import KINDS
from .platform import Platform
from .proc import wait_for

SPACE = "holdfast"
SECRET = "obsyk-credentials"
_accounts = itertools.count()


class Stream:
    """source   config or crd
    kinds       what the account may list and watch
    platform    one to use in place of a new one
    ingest      more of the section `ingest`
    limited     the profile's memory and no more (peers.hub)"""

    def __init__(self, binary: Path, folder: Path, plane: ControlPlane, ca: Ca, *, source: str = "config", profile: str = "hub32",
                 limited: bool = True, kinds: Iterable[str] = KINDS, platform: Platform | None = None, **ingest: object):
        folder.mkdir(parents=True, exist_ok=True)
        self.plane, self.source, self.folder = plane, source, folder
        self.account = f"agent-{next(_accounts)}"
        self.user = f"system:serviceaccount:{SPACE}:{self.account}"
        self.platform = platform or Platform(folder / "platform", tls=ca.server("platform"))
        token = plane.agent_account(self.account, SPACE, kinds)
        self.hub = Hub(binary, folder / "hub", profile=profile, limited=limited)
        self.id_file, self.key_file = folder / "client-id", folder / "key.pem"
        self.hub.config = {"version": 1, "data": str(folder / "hub" / "data"), "listen": self.hub.config["listen"],
                           "kubernetes": {"kubeconfig": str(plane.kubeconfig(self.account, token=token))},
                           "ingest": {"enabled": True, "source": source, "ca": str(ca.cert), **self._settled(source), **ingest}}
        self.law = Law(plane, self.platform)

    def _settled(self, source: str) -> dict:
        if source != "config":
            return {}
        return {"platform_url": self.platform.url, "cluster_name": "oslo", "rate_limit": {"events_per_second": 5000, "burst_size": 5000},
                "credentials": {"client_id_file": str(self.id_file), "private_key_file": str(self.key_file)}}

    @property
    def settings(self) -> dict:
        return self.hub.config["ingest"]

    def __enter__(self) -> "Stream":
        self.platform.start()
        self.id_file.write_text(self.platform.client_id + "\n")
        self.key_file.write_bytes(self.platform.private_key.read_bytes())
        if self.source == "crd":
            self.plane.kubectl("apply", "-f", "-", data=subprocess.run([self.hub.binary, "crd"], capture_output=True, text=True, check=True).stdout)
            self.plane.wait_crd()
            self.secret()
        return self

    def __exit__(self, *_: object) -> None:
        self.hub.close()
        self.platform.stop()
        if self.source == "crd":
            self.plane.kubectl("delete", "obsykagents", "--all", "-n", SPACE, check=False)
            self.plane.kubectl("delete", "secret", SECRET, "-n", SPACE, "--ignore-not-found", check=False)
            self.plane.kubectl("delete", "leases", "--all", "-A", check=False)

    # --- the cluster's side ---

    def secret(self, key: bytes | None = None, name: str = SECRET) -> None:
        """The credentials, made or replaced by stock kubectl."""
        file = self.folder / f"{name}.pem"
        file.write_bytes(key or self.platform.private_key.read_bytes())
        made = self.plane.kubectl("create", "secret", "generic", name, "-n", SPACE, f"--from-literal=client_id={self.platform.client_id}",
                                  f"--from-file=private_key={file}", "--dry-run=client", "-o", "yaml")
        self.plane.kubectl("apply", "-f", "-", data=made.stdout.decode())

    def agent(self, name: str = "oslo", **spec: object) -> None:
        """An ObsykAgent, made or changed by stock kubectl."""
        limit = {"eventsPerSecond": 5000, "burstSize": 5000}
        body = {"platformURL": self.platform.url, "clusterName": "oslo", "credentialsSecretRef": {"name": SECRET}, "rateLimit": limit, **spec}
        self.plane.kubectl("apply", "-f", "-", data={"apiVersion": "obsyk.io/v1", "kind": "ObsykAgent", "spec": body,
                                                     "metadata": {"name": name, "namespace": SPACE}})

    def resource(self, name: str = "oslo") -> dict:
        return self.plane.client.get("ObsykAgent", name, SPACE)

    def condition(self, kind: str, name: str = "oslo") -> tuple[str, str, str]:
        """status, reason, message; empty when there is none."""
        for one in self.resource(name).get("status", {}).get("conditions") or ():
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def wait_reason(self, reason: str, name: str = "oslo", seconds: float = 120) -> str:
        """Until a condition has this reason; its message."""
        def look() -> str | None:
            conditions = self.resource(name).get("status", {}).get("conditions") or ()
            return next((one["message"] or "-" for one in conditions if one["reason"] == reason), None)
        return wait_for(look, f"condition {reason} of {name}", seconds, self.hub.proc, every=0.1)  # type: ignore[return-value]

    # --- the hub's ---

    def status(self) -> dict:
        done = self.hub.command("ingest", "status", "-o", "json")
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def count(self, name: str, agent: str = "config") -> float:
        """A counter of the platform's, holdfast_ingest_NAME; 0 while there is none."""
        try:
            return self.hub.metric(f"holdfast_ingest_{name}", agent=agent if self.source == "config" else f"{SPACE}/{agent}")
        except KeyError:
            return 0

    def wait(self, check: Callable[[], object], what: str, seconds: float = 120) -> object:
        return wait_for(check, what, seconds, self.hub.proc, every=0.05)

    def settle(self, seconds: float = 120) -> float:
        """The law; then nothing waits any more."""
        took = self.law.holds(seconds)
        self.wait(lambda: not self.status()["agents"][0]["spool"]["events"], "the spool empty", seconds)
        return took

    def tell(self, what: str, **more: object) -> None:
        """One line for the run's record."""
        counts = self.platform.stats()["counts"]
        told = {name: counts.get(name, 0) for name in ("events", "snapshots", "repeats", "older", "problems")}
        print(f"ingest: {what}: " + ", ".join(f"{name} {value}" for name, value in {**more, **told}.items()))


class Herd:
    """Objects that are made, changed and deleted, each change one higher in the label the platform looks at. Retries what an API
    server that is just away refuses; so a change may be made twice, which nobody can tell."""

    KINDS = ("Pod", "ConfigMap", "Service", "Deployment")

    def __init__(self, plane: ControlPlane, prefix: str, space: str = "default"):
        self.plane, self.prefix, self.space = plane, prefix, space
        self.alive: list[tuple[str, str]] = []  # kind, name
        self.version = 1
        self.made = 0
        self.changes = 0

    def grow(self, count: int) -> None:
        for at in range(self.made, self.made + count):
            kind = self.KINDS[at % len(self.KINDS)]
            body = make(kind, at, self.space, prefix=self.prefix, nodes=["node-0"])
            self.plane.client.create(kind, body)
            self.alive.append((kind, body["metadata"]["name"]))
        self.made += count
        self.changes += count

    def change(self, which: Iterable[int] | None = None) -> None:
        self.version += 1
        chosen = self.alive if which is None else [self.alive[at] for at in which]
        for kind, name in chosen:
            self.plane.client.patch(kind, name, {"metadata": {"labels": {VERSION_LABEL: str(self.version)}}}, self.space)
        self.changes += len(chosen)

    def shrink(self, count: int) -> None:
        for kind, name in [self.alive.pop(0) for _ in range(count)]:
            self.plane.client.delete(kind, name, self.space)
        self.changes += count

    def turn(self) -> None:
        """Some of each."""
        self.grow(4)
        self.change()
        self.shrink(3)
