"""talos: the machine API of a Talos control plane node, in front of a real etcd, played by grpcio (talosapi/server.py).

    talos = Talos(folder, etcd).start()            # over the unix socket talos.socket, as in an extension service
    talos = Talos(folder, etcd, tls=ca.server("node"), client_ca=ca).start()      # over TCP: talos.endpoint
    talos.set(fault="stalls"); talos.calls()
    talosconfig(folder / "config", [talos.endpoint], ca.cert, client)

Roles are checked exactly as Talos does: over the socket the caller must ask for the least one, over TCP its
certificate's is taken (Talos reads the organization, this the common name).

set(): fault      "wrong-trailer", "ends-early", "breaks", "stalls", "tells-in-band", "huge-chunk"; "" is none
       chunks     sizes in turn (Talos: 1024);  worker, unavailable;  deny: names of calls;  metadata_error
"""
from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from .ca import Cert
from .etcd import ETCDCTL_PATIENT, Etcd, _ctl_env
from .proc import Proc, free_port, wait_for
from .pyvenv import interpreter

SERVER = Path(__file__).resolve().parent / "talosapi/server.py"


class Talos:
    def __init__(self, folder: Path, etcd: Etcd, tls: Cert | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = self.folder / "machine.sock"
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.log = self.folder / "calls.jsonl"
        self.proc: Proc | None = None
        self.plan = {"listen": self.endpoint if tls else f"unix:{self.socket}", "etcd": etcd.back_door,
                     "etcdctl": [str(etcd.programs.etcdctl), *ETCDCTL_PATIENT, "--endpoints", etcd.back_door], "log": str(self.log),
                     "ready": str(self.folder / "ready")}
        if tls:
            self.plan |= {"cert": str(tls.cert), "key": str(tls.key), "ca": str(tls.ca)}

    def set(self, **changes: object) -> "Talos":
        """From the next call on; None takes a setting back."""
        self.plan = {key: value for key, value in {**self.plan, **changes}.items() if value is not None}
        new = self.folder / "plan.new"
        new.write_text(json.dumps(self.plan))
        new.rename(self.folder / "plan.json")
        return self

    def start(self) -> "Talos":
        self.set()
        ready = Path(self.plan["ready"])
        ready.unlink(missing_ok=True)
        env = {**_ctl_env(), "no_proxy": "127.0.0.1,localhost", "PYTHONDONTWRITEBYTECODE": "1"}
        self.proc = Proc([interpreter("talosapi"), SERVER, self.folder / "plan.json"], log=self.folder / "talos.log", env=env)
        wait_for(ready.exists, "Talos' machine API", 60, self.proc)
        return self

    def calls(self) -> list[dict]:
        """Those that ended: method, asked (roles), shown (the certificate's), ended."""
        told = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in told.rpartition("\n")[0].splitlines()]

    def stop(self) -> None:
        if self.proc:
            self.proc.stop(2)
        if self.socket.exists():
            os.unlink(self.socket)

    def __enter__(self) -> "Talos":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def talosconfig(file: Path, endpoints: list[str], ca: Path, client: Cert, context: str = "lab") -> Path:
    """As talosctl writes it."""
    def inner(path: Path) -> str:
        return base64.b64encode(Path(path).read_bytes()).decode()
    lines = [f"context: {context}", "contexts:", "    other:", "        endpoints: []", f"    {context}:",
             "        endpoints:", *(f"            - {one}" for one in endpoints), "        nodes:", "            - 10.9.8.7",
             f"        ca: {inner(ca)}", f"        crt: {inner(client.cert)}", f"        key: {inner(client.key)}"]
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)
    return file
