"""bigdb: a big etcd database, made once and kept in the cache.

    big = bigdb.get()                                  # 2 GiB, 1,000,000 live keys; some minutes at most, once
    etcd = big.open(folder, tls=ca.server("etcd")).start()
    big.live, big.revision, big.bytes

The data is put through a real etcd 3.7 by etcd37/fill, with fsync off, then restored by the stock etcdutl, so that
the kept folder holds no long log. The cluster suite only: it needs Go.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import gobuild
from .etcd import Etcd, restore
from .proc import cache_folder, made_once, run

_FLAGS = ["--unsafe-no-fsync", "--max-txn-ops", "4096", "--compaction-batch-limit", "200000",
          "--backend-batch-limit", "100000", "--snapshot-count", "1000000"]


@dataclass(frozen=True)
class BigDb:
    """A kept database: `folder`/data, and what it holds."""
    folder: Path
    live: int
    revision: int
    bytes: int
    facts: dict

    def open(self, folder: Path, **how) -> Etcd:
        """A member on a copy of the data (2 GiB: some seconds), not started. `how` goes to Etcd."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run(["cp", "-r", "--reflink=auto", "--sparse=never", self.folder / "data", folder / "data"], seconds=1800)
        return Etcd(folder, how.pop("version", "3.7"), **how)


def get(total_bytes: int = 2 << 30, keys: int = 1_000_000, big: int = 32, seed: int = 1) -> BigDb:
    """From the cache, else made. The key is the parameters and the filler's source."""
    source = (gobuild.HERE / "etcd37" / "fill" / "main.go").read_bytes()
    name = f"{total_bytes >> 20}M-{keys}-{big}-{seed}-{hashlib.sha256(source).hexdigest()[:12]}"
    folder = cache_folder("bigdb") / name
    with made_once(folder, "facts.json") as missing:
        if missing:
            _make(folder, ["-bytes", str(total_bytes), "-keys", str(keys), "-big", str(big), "-seed", str(seed)])
    facts = json.loads((folder / "facts.json").read_text())
    return BigDb(folder, facts["live"], facts["revision"], facts["db_bytes"], facts)


def _make(folder: Path, options: list[str]) -> None:
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    try:
        with Etcd(building / "source", "3.7", flags=_FLAGS) as etcd:
            etcd.start()
            done = run([gobuild.etcd37() / "fill", "-endpoint", f"127.0.0.1:{etcd.back_port}", *options],
                       seconds=1200)
        database = etcd.data / "member" / "snap" / "db"
        restored = restore(database, building / "restored", "3.7", skip_hash=True)  # not a snapshot: it has no digest
        restored.data.rename(building / "data")
        shutil.rmtree(building / "source")
        shutil.rmtree(building / "restored")
        (building / "facts.json").write_bytes(done.stdout)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
