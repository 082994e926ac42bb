"""image: the container image, built for real: buildah reads images/container/Containerfile, no registry is asked.

    built = Image(holdfast, folder)          # less than 2 s
    built.config["User"]; built.root         # its files, as a container sees them
    built.remove()

The stage that takes authorities and time zones out of a Debian image is given instead as a folder of this machine's own: no
registry can be had everywhere. buildah and runc come as Debian packages unpacked into the cache (peers.apt): nothing is installed.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from . import apt
from .proc import run

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("buildah", "runc", "golang-github-containers-common", "libgpgme11", "libassuan0", "libdevmapper1.02.1")  # and what no Debian is without
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def tools() -> Path:
    """Where buildah, runc and the default seccomp profile are: usr/bin, usr/share/containers. 10 s, once."""
    return apt.unpacked("bookworm", PACKAGES)


def environment(folder: Path) -> dict[str, str]:
    """For their programs, which find what belongs to them nowhere else."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LD_LIBRARY_PATH": str(tools() / LIBRARIES), "TMPDIR": str(folder)}


def _parts(folder: Path) -> Path:
    """What the first stage makes, as images/container/Containerfile asks it for."""
    for path in ("etc/ssl/certs", "usr/share", "parts/var/lib/holdfast"):
        (folder / path).mkdir(parents=True)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", folder / "etc/ssl/certs")
    shutil.copytree("/usr/share/zoneinfo", folder / "usr/share/zoneinfo", symlinks=True)
    return folder


class Image:
    """Built at once, into `folder`, which holds all there is of it."""

    def __init__(self, binary: Path, folder: Path, name: str = "localhost/holdfast:test"):
        self.folder, self.name = folder, name
        (folder / "context").mkdir(parents=True)
        shutil.copy(binary, folder / "context/holdfast")
        self.log = self._buildah("build", "--isolation", "chroot", "--build-context", f"parts={_parts(folder / 'parts')}", "--build-arg", "BINARY=holdfast",
                                 "--file", ROOT / "images/container/Containerfile", "--tag", name, folder / "context").stderr.decode()
        self.manifest = json.loads(self._buildah("inspect", "--type", "image", name).stdout)
        self.config: dict = self.manifest["OCIv1"]["config"]
        self.container = self._buildah("from", "--pull-never", name).stdout.decode().strip()
        self.root = Path(self._buildah("mount", self.container).stdout.decode().strip())

    def _buildah(self, *words: object) -> subprocess.CompletedProcess:
        store = ["--root", self.folder / "store", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        policy = [] if words[0] in ("mount", "umount", "inspect", "rm", "run") else ["--signature-policy", tools() / "etc/containers/policy.json"]
        line = [tools() / "usr/bin/buildah", *store, words[0], *policy, *words[1:]]
        return run(list(map(os.fspath, line)), seconds=600, env=environment(self.folder))

    def remove(self) -> None:
        self._buildah("umount", self.container)
        shutil.rmtree(self.folder, ignore_errors=True)
