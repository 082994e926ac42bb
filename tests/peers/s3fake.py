"""s3fake: a small, strict S3 server with faults on request. It plays what real servers do not do when asked; that it is otherwise
like them is proven call by call in tests/e2e/test_s3_peers.py.

    with S3Fake(folder, tls=ca.server("s3")) as s3:
        s3.client().make_bucket()
        s3.fault("UploadPart", 2, SLOW_DOWN)              # the second one from now; n=0: every one
        s3.fault("PutObject", reset_after=100_000)        # RST in the middle of the body
        s3.denied = NOT_PUT                               # credentials that may only write
        s3.uplink_bytes_s, s3.clock_s, s3.conditional = 100_000, 1200, "refused"
        s3.requests                                       # Seen: op, key, status, in the order of their answers

Strict: signatures are verified (every x-amz-* header must be signed), x-amz-content-sha256 is required and compared with the body,
a length is required, queries that mean nothing here are refused. Bytes lie in `folder`. Path and virtual-host addressing
(BUCKET.localhost). Loopback, free port, threads of this process.
"""
from __future__ import annotations

import http.server
import socket
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .ca import Cert
from .s3client import S3Client
from .s3http import Handler
from .s3store import PART_BYTES_LEAST, Refusal, Store
from .sigv4 import Keys

RECEIVE_BYTES = 64 << 10  # of the socket, where the uplink is slow

INTERNAL = Refusal(500, "InternalError", "We encountered an internal error. Please try again.")
SLOW_DOWN = Refusal(503, "SlowDown", "Please reduce your request rate.")
SLOW_DOWN_WAIT = Refusal(503, "SlowDown", "Please reduce your request rate.", {"Retry-After": "2"})
EXPIRED = Refusal(400, "ExpiredToken", "The provided token has expired.")  # Amazon S3: 400
EXPIRED_403 = Refusal(403, "ExpiredToken", "The security token included in the request is expired")  # others: 403
TIMED_OUT = Refusal(400, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
CONFLICT = Refusal(409, "ConditionalRequestConflict", "A conflicting operation occurred. Try again.")
NOT_PUT = frozenset({"GetObject", "HeadObject", "DeleteObject", "ListObjectsV2", "ListMultipartUploads", "HeadBucket"})


@dataclass
class Fault:
    """Of one kind of request. refusal: answered so. reset_after: so many bytes of the body (of the answer, for GetObject) pass, then
    RST. done: the request is carried out first, its answer is what is lost. etag: in place of the right one. late: HTTP 200, and
    the refusal in the body, as CompleteMultipartUpload may. another: another's object is put over what was put, at once."""
    op: str
    n: int
    refusal: Refusal | None = None
    reset_after: int | None = None
    done: bool = False
    etag: str = ""
    late: bool = False
    another: bool = False
    times: int = 1
    met: int = 0

    def hits(self, op: str) -> bool:
        if self.op not in ("*", op):
            return False
        self.met += 1
        return self.n == 0 or self.n <= self.met < self.n + self.times


@dataclass(frozen=True)
class Seen:
    op: str
    key: str
    status: int  # 0: reset
    code: str
    headers: dict[str, str] = field(repr=False, default_factory=dict)


class S3Fake:
    """conditional  "yes", "refused" (501 NotImplemented), "ignored" (as servers that are older than it)
    region       the only one that is signed for;  keys  who may; changed at any time
    denied       names of operations that are answered 403;  part_least  bytes of every part but the last
    clock_s      what its clock is ahead of ours;  uplink_bytes_s  at most so much is taken in; 0: no limit"""

    def __init__(self, folder: Path, *, tls: Cert | None = None, keys: Keys = Keys("HOLDFAST", "a-secret/of+its=own"),
                 region: str = "us-east-1", part_least: int = PART_BYTES_LEAST):
        self.store, self.keys, self.region, self.part_least = Store(folder), keys, region, part_least
        self.denied: frozenset[str] = frozenset()
        self.conditional = "yes"
        self.clock_s = 0.0
        self.uplink_bytes_s = 0
        self.requests: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.tls = tls
        self._context = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.cert, tls.key)
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def client(self, bucket: str = "backups", **how) -> S3Client:
        return S3Client(self.url, self.keys, bucket=bucket, region=self.region, ca=self.tls.ca if self.tls else None, **how)

    def fault(self, op: str, n: int = 1, refusal: Refusal | None = None, **how) -> Fault:
        """The n-th request of this operation from now ("*" any; n=0 every one, until clear()). What happens: see Fault."""
        made = Fault(op, n, refusal, **how)
        with self._lock:
            self._faults.append(made)
        return made

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def ops(self) -> list[str]:
        return [seen.op for seen in self.requests]

    def seen(self, op: str, key: str, status: int, code: str, headers: dict[str, str]) -> None:
        self.requests.append(Seen(op, key, status, code, headers))

    def now(self) -> float:
        return time.time() + self.clock_s

    def meet(self, op: str) -> Fault | None:
        """The fault of this request: the first that hits; all of its kind are counted on."""
        with self._lock:
            hit = [fault for fault in self._faults if fault.hits(op)]
        return hit[0] if hit else None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "S3Fake":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 64
    block_on_close = False

    def __init__(self, fake: S3Fake):
        self.fake = fake
        super().__init__(("127.0.0.1", 0), Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's would ask for our host's name
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def finish_request(self, request, client_address) -> None:
        """On its thread: a handshake holds up nobody else."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.fake.uplink_bytes_s:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        if self.fake._context:
            request = self.fake._context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address) -> None:
        pass  # a client that went, or would not shake hands
