"""s3http: a request to the pretended S3: its address, signature, body and answer. `fake` is s3fake.S3Fake."""
from __future__ import annotations

import base64
import calendar
import hashlib
import http.server
import os
import re
import socket
import struct
import time
import urllib.parse
from email.utils import formatdate
from typing import Any, NoReturn
from xml.sax.saxutils import escape

from . import s3ops, sigv4
from .s3store import Object, Refusal

SKEW_S_MAX = 900  # Amazon S3: RequestTimeTooSkewed
PIECE = 64 << 10
XML_MAX = 2 << 20
KEY_BYTES_MAX = 1024
PUT_BYTES_MAX = 5 << 30
DRAIN_S = 30  # of silence; who was answered goes
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
LINGER_RESET = struct.pack("ii", 1, 0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1

    def log_message(self, *_: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        return True  # told when the body is wanted: what the head alone forbids is refused before it

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass

    # --- one request

    def _serve(self) -> None:
        self.fake: Any = self.server.fake
        self.sent_headers = {name.lower(): value for name, value in self.headers.items()}
        self.left = int(self.headers.get("Content-Length") or 0) if (self.headers.get("Content-Length") or "0").isdigit() else 0
        self.op, self.key, self.fault = "Unknown", "", None
        try:
            self._perform()
        except Refusal as no:
            self._refuse(no)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def reset(self) -> NoReturn:
        """RST, without TLS' goodbye."""
        self._seen(0, "")
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        os.close(self.connection.detach())
        self.close_connection = True
        raise ConnectionResetError("as a fault says")

    def _perform(self) -> None:
        path, _, self.query_text = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.query_text, keep_blank_values=True))
        self.bucket, self.key = self._address(path)
        self.op, act = self._operation()
        _authorize(self, path)
        if len(self.key.encode()) > KEY_BYTES_MAX:
            raise Refusal(400, "KeyTooLongError", "Your key is too long", Size=str(len(self.key.encode())), MaxSizeAllowed=str(KEY_BYTES_MAX))
        self.fault = self.fake.meet(self.op)
        fault = self.fault
        if fault and not fault.done and not fault.late and fault.refusal:
            raise fault.refusal
        if self.op in self.fake.denied:
            raise Refusal(403, "AccessDenied", "Access Denied")
        if "transfer-encoding" in self.sent_headers:
            raise Refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented", Header="Transfer-Encoding")
        act()

    def _address(self, path: str) -> tuple[str, str]:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        path = path[1:]
        if host.endswith(".localhost"):
            bucket = host[:-len(".localhost")]
        else:
            bucket, _, path = path.partition("/")
        try:
            return urllib.parse.unquote(bucket), urllib.parse.unquote(path, errors="strict")
        except UnicodeDecodeError:
            raise Refusal(400, "InvalidURI", "Couldn't parse the specified URI.") from None

    def _operation(self):
        """By method, place and the names in the query: more of them than an operation knows is refused."""
        place = "object" if self.key else "bucket" if self.bucket else "service"
        names = frozenset(self.query) - {"x-id"}
        for method, where, needed, allowed, op, act in s3ops.OPERATIONS:
            if (method, where) == (self.command, place) and needed <= names <= needed | allowed:
                if op == "ListObjectsV2" and self.query["list-type"] != "2":
                    continue
                return op, lambda: act(self)
        if self.command not in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            raise Refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        raise Refusal(501, "NotImplemented", f"{self.command} of a {place} with {sorted(names)} is not known here")

    def meta(self) -> dict[str, str]:
        return {name: value for name, value in self.sent_headers.items() if name.startswith("x-amz-meta-")}

    # --- answers

    def _seen(self, status: int, code: str) -> None:
        self.fake.seen(self.op, self.key, status, code, self.sent_headers)

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, code: str = "", length: int | None = None) -> None:
        """Whole; with length: the head of one whose body follows."""
        if self.left:  # a body that nobody read would be taken for the next request
            self.close_connection = True
        fault, self.fault = self.fault, None
        if fault and fault.another:
            self.fake.store.buckets[self.bucket].objects[self.key].meta["x-amz-meta-holdfast-id"] = "another's"
        if fault and fault.done:
            if not fault.refusal:
                self.reset()
            self._refuse(fault.refusal)
            return
        self._seen(status, code)
        self.send_response(status)
        for name, value in {"x-amz-request-id": "0123456789ABCDEF", **(headers or {})}.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        if self.left:
            self._drain()

    def _drain(self) -> None:
        """Closing on what was not read would reset the connection, perhaps before the answer is read."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(DRAIN_S)
        while self.left > 0 and (piece := self.rfile.read1(PIECE)):
            self.left -= len(piece)

    def date_time_string(self, timestamp=None) -> str:
        return formatdate(self.fake.now() if timestamp is None else timestamp, usegmt=True)

    def _refuse(self, no: Refusal) -> None:
        fields = {"Code": no.code, "Message": no.message, **no.more, "Resource": self.path.partition("?")[0], "RequestId": "0123456789ABCDEF"}
        lines = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{lines}</Error>'
        self.fault = None
        self.answer(no.status, text.encode(), {"Content-Type": "application/xml", **no.headers}, no.code)

    def answer_xml(self, name: str, inside: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}">{inside}</{name}>'
        self.answer(200, text.encode(), {"Content-Type": "application/xml"})

    def etag(self, right: str) -> str:
        return self.fault.etag if self.fault and self.fault.etag else right

    # --- bodies

    def pieces(self):
        """The request's body, as it comes; checked for its length, and for its digest at the end."""
        length = self.headers.get("Content-Length")
        if length is None or not length.isdigit():
            raise Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if self.left > PUT_BYTES_MAX:
            raise Refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        taken = 0
        while self.left:
            rate, reset = self.fake.uplink_bytes_s, self.fault.reset_after if self.fault else None
            if reset is not None and taken >= reset:
                self.reset()
            want = min(self.left, PIECE, max(1, rate // 20) if rate else PIECE, PIECE if reset is None else reset - taken)
            piece = self.rfile.read(want)
            if len(piece) < want:
                self.close_connection = True
                raise ConnectionResetError("the client went in the middle of its body")
            taken += len(piece)
            self.left -= len(piece)
            yield piece
            if rate:
                time.sleep(len(piece) / rate)
        if self.fault and self.fault.reset_after is not None:
            self.reset()

    def take_in(self) -> Object:
        incoming = self.fake.store.incoming()
        try:
            for piece in self.pieces():
                incoming.add(piece)
            self.check_body(incoming.sha256.hexdigest(), incoming.md5.digest())
        except BaseException:
            incoming.drop()
            raise
        return incoming.object()

    def check_body(self, sha256: str, md5: bytes) -> None:
        said = self.headers["x-amz-content-sha256"]
        if said not in (sha256, sigv4.UNSIGNED):
            raise Refusal(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.",
                          ClientComputedContentSHA256=said, S3ComputedContentSHA256=sha256)
        if self.headers.get("Content-MD5", base64.b64encode(md5).decode()) != base64.b64encode(md5).decode():
            raise Refusal(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")

    def small_body(self) -> bytes:
        if self.left > XML_MAX:
            raise Refusal(400, "MalformedXML", "The XML you provided was not well-formed")
        body = b"".join(self.pieces())
        self.check_body(sigv4.sha256_hex(body), hashlib.md5(body).digest())
        return body

    def condition(self) -> tuple[bool, str]:
        """(only where there is none, only in place of this ETag)"""
        none, match = self.headers.get("If-None-Match", ""), self.headers.get("If-Match", "")
        if self.fake.conditional == "ignored":
            return False, ""
        if (none and none != "*") or ((none or match) and self.fake.conditional == "refused"):
            raise Refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented",
                          Header="If-None-Match" if none else "If-Match")
        return none == "*", match


# --- signatures

_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 +Credential=([^/, ]+)/(\d{8})/([^/]+)/s3/aws4_request, *SignedHeaders=([a-z0-9;-]+), *"
                            r"Signature=([0-9a-f]{64})")


def _authorize(h: Handler, path: str) -> None:
    said = h.headers.get("Authorization", "")
    if not said:
        raise Refusal(403, "AccessDenied", "Access Denied")
    found = _AUTHORIZATION.fullmatch(said)
    if not found:
        raise Refusal(400, "AuthorizationHeaderMalformed", "The authorization header is malformed")
    access, date, region, names, made = found.groups()
    _check_who(h, access, region)
    payload, when = h.headers.get("x-amz-content-sha256"), h.headers.get("x-amz-date", "")
    if not payload:
        raise Refusal(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if payload != sigv4.UNSIGNED and not re.fullmatch("[0-9a-f]{64}", payload):
        raise Refusal(400, "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.")
    _check_time(h.fake, when, date)
    signed = names.split(";")
    unsigned = [name for name in h.sent_headers if (name.startswith("x-amz-") or name == "host") and name not in signed]
    if unsigned or signed != sorted(signed):
        raise Refusal(403, "AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(unsigned))
    request = sigv4.canonical(h.command, path, h.query_text, h.sent_headers, signed, payload)
    scope = f"{date}/{region}/s3/aws4_request"
    if sigv4.signature(h.fake.keys.secret, scope, sigv4.string_to_sign(when, scope, request)) != made:
        raise Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check "
                      "your key and signing method.", CanonicalRequest=request)


def _check_who(h: Handler, access: str, region: str) -> None:
    keys = h.fake.keys
    if access != keys.access:
        raise Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", AWSAccessKeyId=access)
    if h.headers.get("x-amz-security-token", "") != keys.token:
        raise Refusal(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if region != h.fake.region:
        raise Refusal(400, "AuthorizationHeaderMalformed", f"The authorization header is malformed; the region '{region}' is wrong; expecting "
                      f"'{h.fake.region}'", Region=h.fake.region)


def _check_time(fake: Any, when: str, date: str) -> None:
    try:
        at = calendar.timegm(time.strptime(when, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refusal(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from None
    if date != when[:8]:
        raise Refusal(400, "AuthorizationHeaderMalformed", "Invalid credential date in Authorization: it is not that of x-amz-date")
    if abs(at - fake.now()) > SKEW_S_MAX:
        raise Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", RequestTime=when,
                      ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fake.now())), MaxAllowedSkewMilliseconds=str(SKEW_S_MAX * 1000))
