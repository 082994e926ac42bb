"""cargobuild: peers from Rust's registry, into the cache, once a version. Needs cargo on the path: the cluster suite only."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

from .proc import PeerError, cache_folder, made_once, run


def install(crate: str, version: str, features: str = "") -> Path:
    """The folder with the crate's programs, built with the lock file that it was published with."""
    target = cache_folder("cargo") / f"{crate}-{version}"
    with made_once(target) as missing:
        if missing:
            _build(target, crate, version, features)
    return target / "bin"


def _build(target: Path, crate: str, version: str, features: str) -> None:
    if not shutil.which("cargo"):
        raise PeerError(f"{crate} cannot be built: no cargo on the path; see tools/setup cluster")
    building = target.with_name(f"{target.name}.{os.getpid()}")
    run(["cargo", "install", crate, "--version", version, "--locked", "--root", building, *(["--features", features] if features else [])],
        seconds=1800)
    (building / ".complete").touch()
    building.rename(target)


S3S_FS = ("s3s-fs", "0.14.1")


def missing() -> str:
    """Why s3s-fs cannot be had here; "" when it can."""
    built = (cache_folder("cargo") / "-".join(S3S_FS) / ".complete").exists()
    return "" if built or shutil.which("cargo") else "s3s-fs is not built, and there is no cargo on the path"


def s3s_fs() -> Path:
    """Folder of s3s-fs, an S3 server. Two minutes cold on 2 cores."""
    return install(*S3S_FS, "binary")
