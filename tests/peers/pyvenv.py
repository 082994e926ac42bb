"""pyvenv: Python packages of others, by pinned hashes, in an environment of their own in the cache.

    python = interpreter("talosapi")     # its packages: peers/talosapi/requirements.txt

Made once per content of the list and version of Python; the system is not changed, no root needed. pip asks whatever
index this machine is configured for; what comes must have one of the hashes.
"""
from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from .proc import cache_folder, run

HERE = Path(__file__).resolve().parent


def interpreter(name: str) -> Path:
    """The python of the environment of peers/NAME. About 20 s when it is made."""
    wanted = HERE / name / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    folder = cache_folder("python") / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", folder], seconds=120)
            run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
                 "--require-hashes", "-r", wanted], seconds=300)
            (folder / ".complete").touch()
    return folder / "bin/python"
