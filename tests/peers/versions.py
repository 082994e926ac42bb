"""versions: where the programs of each etcd version come from.

    3.4   Debian 12's packages          3.5   Debian 13's packages
          (the machine's own, or the other release's unpacked into the cache: peers.apt)
    3.7   built from Go modules pinned in peers/etcd37 (peers.gobuild); the cluster suite only

What they can do: TLS 1.3-only and TLS 1.2-only listeners need --tls-min-version and --tls-max-version, which 3.5
has since 3.5.8 and 3.7 has; 3.4 as packaged has neither (it always offers 1.2 and 1.3).
"""
from __future__ import annotations

import functools
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import apt, gobuild
from .proc import PeerError, run

DEBIAN = {"3.4": "bookworm", "3.5": "trixie"}
GO = ("3.7",)


@dataclass(frozen=True)
class Programs:
    """`version` is the full one, like 3.5.16; `etcdutl` is etcdctl itself where there is none (3.4)."""
    version: str
    server: Path
    etcdctl: Path
    etcdutl: Path
    has_tls_range: bool


def _examine(server: Path, etcdctl: Path, etcdutl: Path) -> Programs:
    text = run([server, "--version"]).stdout.decode()
    found = re.search(r"etcd Version: (\S+)", text)
    if not found:
        raise PeerError(f"{server} does not say its version: {text}")
    shown = run([server, "--help"], check=False)
    return Programs(found[1], server, etcdctl, etcdutl, b"--tls-min-version" in shown.stdout + shown.stderr)


def _in_folder(folder: Path) -> Programs:
    utl = folder / "etcdutl"
    ctl = folder / "etcdctl"
    return _examine(folder / "etcd", ctl, utl if utl.exists() else ctl)


def _system() -> Programs | None:
    server, ctl = shutil.which("etcd"), shutil.which("etcdctl")
    if not server or not ctl:
        return None
    return _examine(Path(server), Path(ctl), Path(shutil.which("etcdutl") or ctl))


@functools.cache
def programs(version: str) -> Programs:
    """Programs of "3.4", "3.5" or "3.7", or of "system": whichever this machine has installed.
    PeerError when they cannot be had."""
    system = _system()
    if version == "system":
        if system is None:
            raise PeerError("etcd and etcdctl are not installed; see tools/setup")
        return system
    if system is not None and system.version.startswith(version + "."):
        return system
    if version in GO:
        folder = gobuild.etcd37()
        return _examine(folder / "server", folder / "etcdctl", folder / "etcdutl")
    if version not in DEBIAN:
        raise PeerError(f"no way is known to get etcd {version}")
    found = _in_folder(apt.unpacked(DEBIAN[version], ["etcd-server", "etcd-client"]) / "usr/bin")
    if not found.version.startswith(version + "."):
        raise PeerError(f"{DEBIAN[version]} has etcd {found.version}, not {version}")
    return found
