"""s3client: a small S3 client of the standard library: fills and inspects what holdfast wrote, and asks peers the same questions.

    s3 = S3Client(url, Keys("AK", "SK"), bucket="backups", ca=ca.cert)
    s3.make_bucket(); s3.put("a/b", b"…"); s3.read("a/b"); s3.keys("a/"); s3.uploads(); s3.delete("a/b")
    s3.call("PUT", "key", {"If-None-Match": "*"}, body=b"…")      # Answer, whatever it is

Helpers raise S3Error for an answer that is none of 2xx; call() never does. One connection, opened anew when it
has ended.
"""
from __future__ import annotations

import http.client
import select
import ssl
import time
import urllib.parse
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

from . import sigv4
from .sigv4 import Keys, quote, sha256_hex


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def code(self) -> str:
        """S3's error code, "" when there is none. Also of an error in the body of a 200."""
        try:
            root = xml.fromstring(self.body)
        except xml.ParseError:
            return ""
        return next((e.text or "" for e in root.iter() if _plain(e.tag) == "Code"), "") if _plain(root.tag) == "Error" else ""

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")

    def all(self, name: str) -> list[xml.Element]:
        """The elements of this name, at any depth, whatever their namespace."""
        return [e for e in xml.fromstring(self.body).iter() if _plain(e.tag) == name]

    def text(self, name: str) -> str:
        return next((e.text or "" for e in self.all(name)), "")


class S3Error(RuntimeError):
    def __init__(self, what: str, answer: Answer):
        super().__init__(f"{what}: {answer.status} {answer.code} {answer.body[:300]!r}")
        self.answer = answer


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def child(element: xml.Element, name: str) -> str:
    """The text of the child of this name, "" when there is none."""
    return next((e.text or "" for e in element if _plain(e.tag) == name), "")


@dataclass(frozen=True)
class Item:
    key: str
    bytes: int
    etag: str


class S3Client:
    """addressing  "path", or "virtual": the bucket before the host's name;  ca  whom to trust with https
    skew_s       what our clock is wrong by, in what is signed"""

    def __init__(self, url: str, keys: Keys, *, bucket: str = "", region: str = "us-east-1", addressing: str = "path",
                 ca: Path | None = None, seconds: float = 60, skew_s: float = 0):
        parts = urllib.parse.urlsplit(url)
        self.https, self.host, self.port = parts.scheme == "https", parts.hostname or "", parts.port or 80
        self.keys, self.bucket, self.region, self.addressing = keys, bucket, region, addressing
        self.ca, self.seconds, self.skew_s = ca, seconds, skew_s
        self._connection: http.client.HTTPConnection | None = None

    # --- one request

    def _connect(self) -> http.client.HTTPConnection:
        """A name below localhost is loopback, whatever the resolver says of it (RFC 6761, 6.3)."""
        at = "127.0.0.1" if self.host.endswith("localhost") else self.host
        if not self.https:
            return http.client.HTTPConnection(at, self.port, timeout=self.seconds)
        return http.client.HTTPSConnection("localhost" if self.host.endswith("localhost") else self.host, self.port, timeout=self.seconds,
                                           context=ssl.create_default_context(cafile=str(self.ca) if self.ca else None))

    def target(self, key: str) -> tuple[str, str]:
        """Host and path."""
        host = f"{self.host}:{self.port}"
        if self.addressing == "virtual" and self.bucket:
            return f"{self.bucket}.{host}", "/" + quote(key, "/")
        return host, "/" + "/".join(part for part in (self.bucket, quote(key, "/")) if part)

    def call(self, method: str, key: str = "", headers: dict[str, str] | None = None, *, query: str = "", body: bytes = b"",
             payload: str | None = None, drop: str = "") -> Answer:
        """query: raw, encoded; payload: another x-amz-content-sha256 than the body's; drop: a header that is taken out after signing."""
        host, path = self.target(key)
        sent = sigv4.sign(self.keys, method, path, query, {"Host": host, **(headers or {})},
                          sha256_hex(body) if payload is None else payload, self.region, time.time() + self.skew_s)
        sent.pop(drop, None)
        if body or method in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body))
        return self.raw(method, path + ("?" + query if query else ""), sent, body)

    def raw(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """As it is, unsigned; ConnectionError when it breaks."""
        if self._connection and self._connection.sock and select.select([self._connection.sock], [], [], 0)[0]:
            self.close()  # ended since
        connection = self._connection = self._connection or self._connect()
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(f"{method} {target}: {error!r}") from error

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def must(self, *args, **how) -> Answer:
        answer = self.call(*args, **how)
        if answer.status // 100 != 2 or answer.code:
            raise S3Error(f"{self.bucket}: {args}", answer)
        return answer

    # --- what tests ask

    def make_bucket(self) -> None:
        self.must("PUT")

    def put(self, key: str, body: bytes, **headers: str) -> str:
        """Its ETag."""
        return self.must("PUT", key, headers, body=body).etag

    def read(self, key: str) -> bytes:
        return self.must("GET", key).body

    def exists(self, key: str) -> bool:
        return self.call("HEAD", key).status == 200

    def delete(self, key: str) -> None:
        self.must("DELETE", key)

    def list(self, prefix: str = "", page: int = 1000) -> list[Item]:
        """Every object that begins with prefix, in the server's order, page by page."""
        found, token = [], ""
        while True:
            query = f"list-type=2&max-keys={page}&prefix={quote(prefix)}" + (f"&continuation-token={quote(token)}" if token else "")
            answer = self.must("GET", query=query)
            found += [Item(child(e, "Key"), int(child(e, "Size")), child(e, "ETag")) for e in answer.all("Contents")]
            token = answer.text("NextContinuationToken")
            if answer.text("IsTruncated") != "true":
                return found

    def keys_of(self, prefix: str = "") -> list[str]:
        return [item.key for item in self.list(prefix)]

    def uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        """(key, upload id) of what was begun and neither completed nor aborted."""
        answer = self.must("GET", query="uploads=" + (f"&prefix={quote(prefix)}" if prefix else ""))
        return [(child(e, "Key"), child(e, "UploadId")) for e in answer.all("Upload")]

    def begin(self, key: str) -> str:
        """An upload in parts; its id."""
        return self.must("POST", key, query="uploads=").text("UploadId")

    def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """The part's ETag."""
        return self.must("PUT", key, query=f"partNumber={number}&uploadId={quote(upload)}", body=body).etag

    def complete(self, key: str, upload: str, etags: list[str], headers: dict[str, str] | None = None) -> Answer:
        """parts 1 to len(etags); the answer, whatever it is."""
        return self.call("POST", key, headers, query=f"uploadId={quote(upload)}", body=parts_xml(list(enumerate(etags, 1))))

    def abort(self, key: str, upload: str) -> Answer:
        return self.call("DELETE", key, query=f"uploadId={quote(upload)}")


def parts_xml(parts: list[tuple[int, str]]) -> bytes:
    lines = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{lines}</CompleteMultipartUpload>'.encode()
