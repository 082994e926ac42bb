"""sigv4: AWS Signature Version 4 for S3, both ways, written from AWS' description ("Authenticating Requests (AWS Signature
Version 4)", Amazon S3 API reference). Proven by its published example and by real servers (tests/e2e/test_s3_peers.py).

    headers = sign(Keys("AK", "SK"), "PUT", "/bucket/key%20x", "", {"Host": …}, sha256_hex(body), region, when)
    signature(secret, scope, string_to_sign(…)), canonical(method, path, query, headers, names, payload)
"""
from __future__ import annotations

import hashlib
import hmac
import time
import urllib.parse
from dataclasses import dataclass
from typing import Iterable, Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
UNRESERVED = "-._~"  # besides letters and digits


@dataclass(frozen=True)
class Keys:
    access: str
    secret: str
    token: str = ""  # of temporary credentials


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quote(text: str | bytes, safe: str = "") -> str:
    """UriEncode() of the description: every byte but the unreserved ones, in upper case."""
    return urllib.parse.quote(text, safe=UNRESERVED + safe)


def canonical_query(query: str) -> str:
    """Of a raw query: names and values encoded once, sorted; a name alone has an empty value."""
    pairs = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        pairs.append((quote(urllib.parse.unquote_to_bytes(name)), quote(urllib.parse.unquote_to_bytes(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical(method: str, path: str, query: str, headers: Mapping[str, str], names: Iterable[str], payload: str) -> str:
    """The canonical request. path: as sent, encoded once (S3 does not encode twice); headers: names in lower case."""
    names = list(names)
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    path = quote(urllib.parse.unquote_to_bytes(path), "/")
    return "\n".join([method, path, canonical_query(query), lines, ";".join(names), payload])


def string_to_sign(when: str, scope: str, request: str) -> str:
    return "\n".join([ALGORITHM, when, scope, sha256_hex(request.encode())])


def signature(secret: str, scope: str, text: str) -> str:
    """scope: DATE/REGION/s3/aws4_request."""
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def sign(keys: Keys, method: str, path: str, query: str, headers: Mapping[str, str], payload: str, region: str,
         at: float | None = None) -> dict[str, str]:
    """All headers to send: those given (Host among them), x-amz-date, x-amz-content-sha256, Authorization. Signs what is there."""
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if at is None else at))
    scope = f"{when[:8]}/{region}/s3/aws4_request"
    sent = {**headers, "x-amz-date": when, "x-amz-content-sha256": payload}
    if keys.token:
        sent["x-amz-security-token"] = keys.token
    lower = {name.lower(): value for name, value in sent.items()}
    names = sorted(lower)
    made = signature(keys.secret, scope, string_to_sign(when, scope, canonical(method, path, query, lower, names, payload)))
    sent["Authorization"] = f"{ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={';'.join(names)}, Signature={made}"
    return sent
