"""kube_law: after quiet, what the platform has equals what the API server has, per kind and uid.

    took = Law(plane, platform).holds(seconds=60)     # waits for it; the seconds it took
    Law(plane, platform).differences()                # now: texts, empty when it holds
    assert not preview_differences(holdfast, "Pod", plane.objects("Pod"))
"""
from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Iterable, Sequence

from .infos import go_json, info
from .kube import ControlPlane
from .kubeclient import Refused
from .kubekinds import KINDS
from .platform import Platform
from .proc import PeerError, run

TOLD = 10  # differences in an error's text


class Law:
    """The expected Infos come from peers.infos, written from the specification alone."""

    def __init__(self, plane: ControlPlane, platform: Platform, kinds: Iterable[str] = KINDS):
        self.plane, self.platform, self.kinds = plane, platform, list(kinds)

    def expected(self, kind: str) -> dict[str, dict]:
        return {body["metadata"]["uid"]: info(kind, body) for body in self.plane.objects(kind)}

    def differences(self, kinds: Sequence[str] | None = None) -> list[str]:
        return [text for kind in kinds or self.kinds for text in self._kind(kind)]

    def _kind(self, kind: str) -> list[str]:
        try:
            there, here = self.expected(kind), self.platform.state(kind)
        except (OSError, Refused) as error:  # an API server that comes back, or is busy
            return [f"{kind} cannot be compared: {error}"]
        found = [f"{kind} {uid} ({there[uid]['name']}) is missing" for uid in there.keys() - here.keys()]
        found += [f"{kind} {uid} ({here[uid].get('name')}) is there still" for uid in here.keys() - there.keys()]
        found += [f"{kind} {uid}: {_first(there[uid], here[uid])}" for uid in there.keys() & here.keys() if there[uid] != here[uid]]
        return found

    def holds(self, seconds: float = 120, clean: bool = True) -> float:
        """Waits until it holds; PeerError tells what differs. With clean, nothing malformed came and no object went back
        to an older state. Kinds that agreed once are looked at again at the end: all agree at one time."""
        began = time.monotonic()
        open_kinds, together = list(self.kinds), True  # together: all were looked at in one pass
        while True:
            looked = len(open_kinds)
            open_kinds = [kind for kind in open_kinds if self._kind(kind)]
            if not open_kinds and together and looked == len(self.kinds):
                break
            together = not open_kinds
            if not open_kinds:
                open_kinds = list(self.kinds)
                continue
            if time.monotonic() - began > seconds:
                found = self.differences(open_kinds)
                if not found:
                    continue
                raise PeerError(f"after {seconds} s {len(found)} differences:\n" + "\n".join(found[:TOLD]))
            time.sleep(0.1)
        if clean:
            self.platform.assert_clean()
        return time.monotonic() - began


def _first(there: dict, here: dict) -> str:
    """The first member that differs."""
    for name in [*there, *(name for name in here if name not in there)]:
        if there.get(name) != here.get(name):
            return f"{name}: platform {json.dumps(here.get(name))[:200]}, cluster {json.dumps(there.get(name))[:200]}"
    return "order"


def preview(holdfast: Path, lines: Iterable[dict], *flags: object) -> list[bytes]:
    """What `holdfast ingest preview` makes of one line of input each; PeerError when it refuses any."""
    data = b"\n".join(json.dumps(line).encode() for line in lines) + b"\n"
    return run([holdfast, "ingest", "preview", *map(str, flags)], data=data, seconds=120).stdout.splitlines()


def preview_differences(holdfast: Path, kind: str, objects: Sequence[dict]) -> list[str]:
    """Where the binary and peers.infos do not agree, byte for byte."""
    told = preview(holdfast, ({"kind": kind, "object": body} for body in objects))
    if len(told) != len(objects):
        return [f"{kind}: {len(told)} lines for {len(objects)} objects"]
    pairs = ((line, go_json(info(kind, body))) for line, body in zip(told, objects))
    return [f"{kind}: holdfast {line.decode()}\n  expected {wanted.decode()}" for line, wanted in pairs if line != wanted]
