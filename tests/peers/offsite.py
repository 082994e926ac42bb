"""offsite: an S3 server as a destination of a hub, and what must be true of what lies there.

    hub.config["backup"]["destinations"] = [destination(server, hub.folder, key)]
    plain = assert_whole(server, record, key, folder)      # the object, its record beside it, opened by the stock age and zstd
    bytes_in(server.data)                                  # of everything that a real server has on its disk, parts of uploads too
"""
from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from .agebox import AgeKey, opened

PREFIX = "cluster/a/"
NAME = "off-site"


def destination(server, folder: Path, key: AgeKey | None = None, **more) -> dict:
    """The credentials go into files in `folder`; with a key it is sealed; `more` takes the place of what is here."""
    for name, word in (("access", server.keys.access), ("secret", server.keys.secret)):
        (folder / name).write_text(word + "\n")
        (folder / name).chmod(0o600)
    made = {"name": NAME, "type": "s3", "endpoint": server.url, "bucket": "backups", "prefix": PREFIX, "region": server.region,
            "access_key_file": str(folder / "access"), "secret_key_file": str(folder / "secret")}
    if server.tls:
        made["ca"] = str(server.tls.ca)
    if key:
        made["encrypt"] = {"recipients": [key.recipient]}
    return {**made, **more}


def stored(server, prefix: str = PREFIX) -> list[str]:
    """Names of the backups there; each must have its record, and nothing else may be there."""
    keys = sorted(key.removeprefix(prefix) for key in server.client().keys_of(prefix))
    names = [key for key in keys if not key.endswith(".json")]
    assert keys == sorted([*names, *(name + ".json" for name in names)]), keys
    return names


def assert_whole(server, record: dict, key: AgeKey | None, folder: Path, prefix: str = PREFIX) -> Path:
    """The plain snapshot that stock tools make of it."""
    content = server.client().read(prefix + record["name"])
    assert record["verdict"] == "good" and record["errors"] == [], record
    assert record["stored_bytes"] == len(content) and record["stored_sha256"] == hashlib.sha256(content).hexdigest()
    assert json.loads(server.client().read(prefix + record["name"] + ".json")) == record
    (folder / record["name"]).write_bytes(content)
    plain = opened(folder / record["name"], folder, key)
    whole = plain.read_bytes()
    assert hashlib.sha256(whole[:-32]).digest() == whole[-32:] and record["sha256"] == whole[-32:].hex()
    return plain


def bytes_in(folder: Path) -> int:
    done = subprocess.run(["du", "-sb", "--apparent-size", str(folder)], capture_output=True, check=False)  # files come and go
    return int(done.stdout.split()[0])
