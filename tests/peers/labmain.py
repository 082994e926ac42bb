"""lab: the etcd behind `make run`.

    tests/peers/lab --state DIR [--keys 5000] [--version system] [--listen 127.0.0.1:9464] [--every 1h]

Makes a throwaway CA, starts a real etcd that wants client certificates on a free loopback port, fills it, and runs
until SIGTERM, SIGINT or the death of its parent; then etcd is ended and the exit code is 0. Exit 1 with the reason
on stderr when it could not start, or when etcd ended by itself.

In DIR it leaves, each written whole once etcd is ready (wait for etcd.json):
    etcd.json      endpoint, ca, cert, key (paths), version, pid, keys, revision
    etcd.env       the same for a shell: ETCD_ENDPOINT, ETCD_CA, ETCD_CERT, ETCD_KEY
    age.txt        a key pair of age-keygen
    holdfast.yaml  a configuration that backs it up to DIR/backups and, compressed and encrypted, to DIR/sealed, with DIR/data, looks
                   after etcd, and tells us: webhooks and pings are printed
DIR/etcd and DIR/ca are made anew at each start; DIR/backups, DIR/sealed and DIR/data are holdfast's and stay.
"""
from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

from .agebox import AgeKey
from .ca import Ca, Cert
from .config import hub_config, to_yaml
from .etcd import Etcd
from .proc import PR_SET_PDEATHSIG, PeerError, _libc
from .receiver import Receiver


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lab", description="a filled etcd with client-certificate authentication")
    parser.add_argument("--state", type=Path, required=True, help="folder for all files")
    parser.add_argument("--keys", type=int, default=5000)
    parser.add_argument("--version", default="system", help="3.4, 3.5, 3.7 or system")
    parser.add_argument("--listen", default="127.0.0.1:9464", help="for holdfast.yaml")
    parser.add_argument("--every", help="for holdfast.yaml, instead of its schedule: the third minute of each hour")
    return parser.parse_args()


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.rename(path)


def _start(options: argparse.Namespace) -> tuple[Etcd, Cert]:
    state = options.state
    for name in ("etcd", "ca"):
        shutil.rmtree(state / name, ignore_errors=True)
    (state / "etcd.json").unlink(missing_ok=True)
    ca = Ca(state / "ca", "holdfast lab CA")
    client = ca.client("holdfast")
    return Etcd(state / "etcd", options.version, ca.server("etcd")).start(), client


def _describe(options: argparse.Namespace, etcd: Etcd, client: Cert, receiver: Receiver, keys: int, revision: int) -> None:
    state = options.state
    paths = {"ca": str(client.ca), "cert": str(client.cert), "key": str(client.key)}
    env = {"ETCD_ENDPOINT": etcd.url, **{f"ETCD_{name.upper()}": path for name, path in paths.items()}}
    _write(state / "etcd.env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in env.items()))
    config = hub_config(data=state / "data", listen=options.listen, endpoints=[etcd.url], client=client,
                        every=options.every or "", destination=state / "backups")
    backup = config["backup"]
    if not options.every:
        del backup["every"]
        backup["schedule"] = "3 * * * *"
    backup.update(timezone="UTC", max_age="90m")
    backup["destinations"][0]["retention"] = {"last": 3, "hourly": 12, "daily": 7}
    key = AgeKey(state / "age.txt")
    backup["destinations"].append({"name": "sealed", "type": "directory", "path": str(state / "sealed"), "compress": "zstd",
                                   "encrypt": {"recipients": [key.recipient]}})
    backup["rehearse"] = {"schedule": "@daily", "identity_file": str(key.file)}
    backup["verify"] = {"scratch": str(state / "scratch")}
    backup["etcd"]["guardian"] = True
    config["notify"] = {"webhook": receiver.webhook, "ping_url": receiver.ping}
    _write(state / "holdfast.yaml", "# written by tests/peers/lab at each start\n" + to_yaml(config))
    _write(state / "etcd.json", json.dumps({"endpoint": etcd.url, **paths, "version": etcd.version, "pid": etcd.pid,
                                            "keys": keys, "revision": revision}, indent=1) + "\n")


def _tell(receiver: Receiver, told: tuple[int, int]) -> tuple[int, int]:
    """What the hub has told since: a line each. `told` counts webhooks and pings."""
    events, pings = receiver.events[told[0]:], receiver.pings[told[1]:]
    for event in events:
        print(f"webhook: {json.dumps(event.body)}", flush=True)
    for _ in pings:
        print("ping: a backup is good", flush=True)
    return told[0] + len(events), told[1] + len(pings)


def main() -> int:
    options = _arguments()
    stop: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if stop:
            return
        stop.append(number)
        if not ready:
            raise SystemExit(0)  # atexit ends etcd

    ready = False
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    options.state = options.state.resolve()
    options.state.mkdir(parents=True, exist_ok=True)
    parent = os.getppid()
    try:
        began = time.monotonic()
        etcd, client = _start(options)
        etcd.fill(options.keys - 1)
        etcd.gateway().put_many([(b"/registry/lab", b"newer than the compaction, so that HashKV can be compared")])
        keys, revision = etcd.gateway().count(), etcd.gateway().revision()
        receiver = Receiver()
        _describe(options, etcd, client, receiver, keys, revision)
    except PeerError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    ready = True
    print(f"etcd {etcd.version} at {etcd.url}: {keys} keys, client certificates required "
          f"(ready in {time.monotonic() - began:.1f} s)", flush=True)
    told = (0, 0)
    while not stop and etcd.proc.alive() and os.getppid() == parent:
        time.sleep(0.1)
        told = _tell(receiver, told)
    if not stop and not etcd.proc.alive():
        print(f"lab: etcd ended by itself ({etcd.proc.code()})\n{etcd.proc.log_tail()}", file=sys.stderr)
        return 1
    etcd.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
