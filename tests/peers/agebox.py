"""agebox: the real `age`, `age-keygen` and `zstd`: they must read what holdfast writes, and the other way round.

    key = AgeKey(folder / "key.txt")              # key.recipient ("age1…") for the configuration, key.file for --identity
    key.decrypt(path, folder / "plain"); encrypt(path, out, [key.recipient, other.recipient])
    compress(path, out, level=3); decompress(path, out); opened(path, folder, key)    # .zst, .age and .zst.age, by its name
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import Sequence

from .proc import PeerError, run

SECONDS = 600


class AgeKey:
    """A key pair, made by age-keygen when the file is not there."""

    def __init__(self, file: Path):
        self.file = Path(file)
        if not self.file.exists():
            run(["age-keygen", "-o", self.file])
            self.file.chmod(0o600)
        text = self.file.read_text()
        found = re.search(r"^# public key: (age1[0-9a-z]+)$", text, re.M)
        secret = re.search(r"^(AGE-SECRET-KEY-1[0-9A-Z]+)$", text, re.M)
        if not found or not secret:
            raise PeerError(f"{self.file} is no file of age-keygen")
        self.recipient, self.secret = found[1], secret[1]

    def decrypt(self, source: Path, out: Path) -> Path:
        """PeerError with age's words when it refuses."""
        run(["age", "-d", "-i", self.file, "-o", out, source], seconds=SECONDS)
        return Path(out)


def encrypt(source: Path, out: Path, recipients: Sequence[str], armor: bool = False) -> Path:
    words = [word for recipient in recipients for word in ("-r", recipient)]
    run(["age", *words, *(["-a"] if armor else []), "-o", out, source], seconds=SECONDS)
    return Path(out)


def compress(source: Path, out: Path, level: int = 3, *options: str) -> Path:
    run(["zstd", "-q", "-f", f"-{level}", *options, "-o", out, source], seconds=SECONDS)
    return Path(out)


def decompress(source: Path, out: Path) -> Path:
    """PeerError when a frame is cut, damaged, or its checksum is wrong."""
    run(["zstd", "-q", "-d", "-f", "-o", out, source], seconds=SECONDS)
    return Path(out)


def zstd_facts(source: Path) -> str:
    """What `zstd -lv` says: window, checksum, frames."""
    return run(["zstd", "-lv", source]).stdout.decode()


def opened(source: Path, folder: Path, key: AgeKey | None = None) -> Path:
    """The plain file of NAME.db, NAME.db.zst, NAME.db.age or NAME.db.zst.age, in `folder`."""
    path = Path(source)
    while path.suffix in (".age", ".zst"):
        out = Path(folder) / path.stem
        if path.suffix == ".zst":
            decompress(path, out)
        elif key:
            key.decrypt(path, out)
        else:
            raise PeerError(f"{path} is encrypted, and no key was given")
        path = out
    return path
