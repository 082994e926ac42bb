"""gobuild: peers built from Go modules, into the cache, once per content of the module.

A module is a folder beside this file with go.mod, go.sum and sources; its programs are keyed by the digest of those
files, so a fresh clone on the same machine builds nothing. Needs Go >= 1.26 on the path.
"""
from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Sequence

from .proc import PeerError, cache_folder, made_once, run

HERE = Path(__file__).resolve().parent


BUILD_SECONDS_MAX = 3000  # a control plane on two cores that others use too


def _digest(module: Path, packages: Sequence[str], stamps: Sequence[str]) -> str:
    sums = hashlib.sha256(" ".join([*packages, *stamps]).encode())
    for path in sorted([*module.glob("go.*"), *module.rglob("*.go")]):
        sums.update(path.relative_to(module).as_posix().encode() + b"\0" + path.read_bytes())
    return sums.hexdigest()[:16]


def build(module: str, packages: Sequence[str], stamps: Sequence[str] = ()) -> Path:
    """The folder with one binary per package, named by the last part of its path (less a version). `stamps` are
    variable=value of the linker: some programs learn their version so."""
    source = (HERE / module).resolve()
    target = cache_folder("go") / f"{source.name}-{_digest(source, packages, stamps)}"
    with made_once(target) as missing:
        if missing:
            _build(module, source, target, packages, stamps)
    return target


def _build(module: str, source: Path, target: Path, packages: Sequence[str], stamps: Sequence[str]) -> None:
    if not shutil.which("go"):
        raise PeerError(f"{module} cannot be built: no Go on the path; see tools/setup cluster")
    building = target.with_name(f"{target.name}.{os.getpid()}")
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"}
    link = " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps)])
    run(["go", "build", "-trimpath", "-ldflags", link, "-o", f"{building}/", *packages], env=env, cwd=source,
        seconds=BUILD_SECONDS_MAX)
    (building / ".complete").touch()
    building.rename(target)


def etcd37() -> Path:
    """Folder of server (etcd itself), etcdctl, etcdutl, bbolt and our own fill. One minute cold on 2 cores."""
    return build("etcd37", ["go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3",
                            "go.etcd.io/bbolt/cmd/bbolt", "./fill"])


def rclone() -> Path:
    """The program, with S3 only. One to three minutes cold on 2 cores."""
    return build("rclone", ["."]) / "rclone"


def versitygw() -> Path:
    """Folder of versitygw, an S3 server. Two minutes cold on 2 cores."""
    return build("versitygw", ["github.com/versity/versitygw/cmd/versitygw"])


KUBERNETES = "1.36.3"


def kubernetes() -> Path:
    """Folder of kube-apiserver, kube-controller-manager, kubectl, kwok and kwok's stages/. Seven minutes cold on 2 cores."""
    major, minor, _ = KUBERNETES.split(".")
    stamps = [f"k8s.io/component-base/version.{name}={value}"
              for name, value in (("gitVersion", f"v{KUBERNETES}"), ("gitMajor", major), ("gitMinor", minor))]
    commands = [f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kubectl")]
    folder = build("kubernetes", [*commands, "sigs.k8s.io/kwok/cmd/kwok"], stamps)
    with made_once(folder / "stages") as missing:
        if missing:
            _copy_stages(folder / "stages")
    return folder


def _copy_stages(target: Path) -> None:
    """kwok's rules of how nodes and pods live are files of its module."""
    where = run(["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"], cwd=HERE / "kubernetes").stdout.decode().strip()
    target.mkdir(exist_ok=True)
    for stage in Path(where, "kustomize/stage").glob("*/*/*.yaml"):
        if stage.name != "kustomization.yaml":
            shutil.copy(stage, target / stage.name)
    (target / ".complete").touch()


def helm() -> Path:
    """The program. Two minutes cold on 2 cores."""
    return build("helm", ["helm.sh/helm/v4/cmd/helm"]) / "helm"


def platform() -> Path:
    """The strict platform double (peers.platform). Ten seconds cold."""
    return build("platform", ["."]) / "platform"


def client_go() -> Path:
    """The ingest bench's opponent (tests/bench/ingest). Ten seconds after kubernetes(), with which it shares its libraries."""
    return build("../bench/ingest", ["."]) / "ingest"
