"""s3: real S3 servers by others, and the pretended one, behind one interface; the first two belong to the cluster suite.

    with Versitygw(folder, tls=ca.server("s3")) as s3:          # or S3sFs(…), or s3fake.S3Fake(…)
        s3.client().make_bucket()                               # bucket "backups"; see s3client.S3Client
        s3.url, s3.keys, s3.region                              # for holdfast's configuration; BUCKET.localhost works too

Loopback, free port, private folder; ended with the block. With tls the certificate must name localhost (and *.localhost for
virtual-host addressing: VIRTUAL_NAMES).
"""
from __future__ import annotations

from pathlib import Path
from typing import Callable

from . import cargobuild, gobuild
from .ca import LOOPBACK, Cert
from .nginx import Nginx
from .proc import Proc, free_port, port_open, wait_for
from .s3client import S3Client
from .s3fake import S3Fake
from .sigv4 import Keys

REGION = "us-east-1"  # s3s-fs has no other
VIRTUAL_NAMES = (*LOOPBACK, "backups.localhost")


class _Served:
    """A server as a process; `listens` is its own port, `port` the one to use."""

    def __init__(self, folder: Path, *, tls: Cert | None = None, keys: Keys = Keys("HOLDFAST", "a-secret/of+its=own")):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.tls, self.keys, self.region = tls, keys, REGION
        self.listens = self.port = free_port()
        self.proc: Proc | None = None
        self.start()

    def start(self) -> "_Served":
        self.proc = Proc(self._argv(), log=self.folder / "log", env={"PATH": "/usr/bin:/bin", **self._env()}, cwd=self.folder)
        wait_for(lambda: port_open(self.listens), f"{self.proc.name} answers", 120, self.proc)
        return self

    def _argv(self) -> list:
        raise NotImplementedError

    def _env(self) -> dict[str, str]:
        return {}

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def client(self, bucket: str = "backups", **how) -> S3Client:
        return S3Client(self.url, self.keys, bucket=bucket, region=self.region, ca=self.tls.ca if self.tls else None, **how)

    def kill(self) -> None:
        self.proc.kill()

    def close(self) -> None:
        if self.proc and self.proc.alive():
            self.proc.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Versitygw(_Served):
    """versitygw on a folder. It needs extended attributes there."""

    def _argv(self) -> list:
        tls = ["--cert", self.tls.cert, "--key", self.tls.key] if self.tls else []
        return [gobuild.versitygw() / "versitygw", "--port", f"127.0.0.1:{self.listens}", "--keep-alive", "--quiet", "--region", self.region,
                "--virtual-domain", f"localhost:{self.listens}", *tls, "posix", self.data]

    def _env(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": self.keys.access, "ROOT_SECRET_KEY": self.keys.secret}


class S3sFs(_Served):
    """s3s-fs on a folder; it has no TLS of its own, so nginx is in front of it."""

    def __init__(self, folder: Path, **how):
        self.front: Nginx | None = None
        super().__init__(folder, **how)

    def start(self) -> "_Served":
        if self.tls and not self.front:
            self.front = Nginx(self.folder / "nginx", tls=self.tls, stream=f"127.0.0.1:{self.listens}")
            self.port = self.front.port
        return super().start()

    def _argv(self) -> list:
        return [cargobuild.s3s_fs() / "s3s-fs", "--host", "127.0.0.1", "--port", str(self.listens), "--domain", f"localhost:{self.port}",
                "--access-key", self.keys.access, "--secret-key", self.keys.secret, self.data]

    def close(self) -> None:
        if self.front:
            self.front.stop()
        super().close()


KINDS: dict[str, Callable] = {"fake": S3Fake, "versitygw": Versitygw, "s3s-fs": S3sFs}
