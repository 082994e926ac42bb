"""s3ops: what each operation of the pretended S3 does, and the table of them. `h` is the request: s3http.Handler."""
from __future__ import annotations

import fcntl
import re
import socket
import time
import xml.etree.ElementTree as xml
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from . import sigv4
from .s3client import child
from .s3store import Refusal

PIECE = 64 << 10
SIOCOUTQ = 0x5411  # linux, tcp(7): bytes sent and not acknowledged


def _quoted(etag: str) -> str:
    return escape(etag, {'"': "&quot;"})


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))


def _create_bucket(h: Any) -> None:
    h.small_body()
    h.fake.store.make(h.bucket)
    h.answer(200, headers={"Location": f"/{h.bucket}"})


def _head_bucket(h: Any) -> None:
    h.fake.store.bucket(h.bucket)
    h.answer(200, headers={"x-amz-bucket-region": h.fake.region})


def _put(h: Any) -> None:
    absent, match = h.condition()
    h.fake.store.bucket(h.bucket)
    made = replace(h.take_in(), meta=h.meta())
    h.fake.store.put(h.bucket, h.key, made, absent, match)
    h.answer(200, headers={"ETag": h.etag(made.etag)})


def _range(text: str, size: int) -> tuple[int, int] | None:
    """First and length; None: the whole. What is no range of one part is as if it were not there (RFC 9110, 14.2)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
    if not found or found.group(0) == "bytes=-" or (found[1] and found[2] and int(found[1]) > int(found[2])):
        return None
    first = int(found[1]) if found[1] else max(0, size - int(found[2]))
    last = min(size - 1, int(found[2])) if found[1] and found[2] else size - 1
    if first >= size or (not found[1] and int(found[2]) == 0):
        raise Refusal(416, "InvalidRange", "The requested range is not satisfiable", {"Content-Range": f"bytes */{size}"},
                      RangeRequested=text, ActualObjectSize=str(size))
    return first, last - first + 1


def _get(h: Any) -> None:
    try:
        found = h.fake.store.get(h.bucket, h.key)
    except Refusal as no:
        if no.code == "NoSuchKey" and "ListObjectsV2" in h.fake.denied:  # who may not list is not told what is there
            raise Refusal(403, "AccessDenied", "Access Denied") from None
        raise
    if h.headers.get("If-Match", found.etag).strip('"') not in ("*", found.etag.strip('"')):
        raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", Condition="If-Match")
    headers = {"ETag": h.etag(found.etag), "Last-Modified": formatdate(found.modified, usegmt=True), "Accept-Ranges": "bytes",
               "Content-Type": "binary/octet-stream", **found.meta}
    part = _range(h.headers["Range"], found.bytes) if "Range" in h.headers else None
    first, length = part or (0, found.bytes)
    if part:
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{found.bytes}"
    reset = h.fault.reset_after if h.fault else None
    h.answer(206 if part else 200, headers=headers, length=length)
    if h.command == "GET":
        _send(h, found.file, first, length, reset)


def _arrived(connection: socket.socket, seconds: float = 60) -> None:
    """Until the other side's kernel has all that was sent, of which RST would drop what waits here."""
    end, waiting = time.monotonic() + seconds, bytearray(4)
    while time.monotonic() < end:
        fcntl.ioctl(connection.fileno(), SIOCOUTQ, waiting)
        if not any(waiting):
            return
        time.sleep(0.002)


def _send(h: Any, file: Path, first: int, length: int, reset: int | None) -> None:
    with open(file, "rb") as source:
        source.seek(first)
        sent = 0
        while sent < length:
            if reset is not None and sent >= reset:
                h.wfile.flush()
                _arrived(h.connection)
                h.reset()
            sent += h.wfile.write(source.read(min(PIECE, length - sent, PIECE if reset is None else reset - sent)))
    h.wfile.flush()


def _delete(h: Any) -> None:
    h.fake.store.delete(h.bucket, h.key)
    h.answer(204)


def _number(h: Any, name: str, default: int, top: int) -> int:
    text = h.query.get(name, str(default))
    if not text.isdigit() or int(text) > 2147483647:
        raise Refusal(400, "InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text)
    return min(int(text), top)


def _encoder(h: Any):
    kind = h.query.get("encoding-type")
    if kind not in (None, "url"):
        raise Refusal(400, "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=kind)
    return (lambda key: sigv4.quote(key, "/").replace("%20", "+")) if kind else escape


def _token(h: Any) -> str:
    """What was given out as a token: the last key, in a form that nobody is tempted to read."""
    text = h.query.get("continuation-token")
    if text is None:
        return h.query.get("start-after", "")
    try:
        return bytes.fromhex(text.removeprefix("next-")).decode()
    except ValueError:
        raise Refusal(400, "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from None


def _list(h: Any) -> None:
    prefix, most, encode, after = h.query.get("prefix", ""), _number(h, "max-keys", 1000, 1000), _encoder(h), _token(h)
    keys = h.fake.store.keys(h.bucket, prefix, after)
    page, objects = keys[:most], h.fake.store.bucket(h.bucket).objects
    more = len(keys) > most > 0
    inside = f"<Name>{h.bucket}</Name><Prefix>{encode(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>"
    inside += f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
    if more:
        inside += f"<NextContinuationToken>next-{page[-1].encode().hex()}</NextContinuationToken>"
    if "encoding-type" in h.query:
        inside += "<EncodingType>url</EncodingType>"
    for key in page:
        found = objects.get(key)
        if found:
            inside += (f"<Contents><Key>{encode(key)}</Key><LastModified>{_iso(found.modified)}</LastModified><ETag>{_quoted(found.etag)}</ETag>"
                       f"<Size>{found.bytes}</Size><StorageClass>STANDARD</StorageClass></Contents>")
    h.answer_xml("ListBucketResult", inside)


def _begin(h: Any) -> None:
    h.small_body()
    begun = h.fake.store.begin(h.bucket, h.key, h.meta())
    h.answer_xml("InitiateMultipartUploadResult", f"<Bucket>{h.bucket}</Bucket><Key>{escape(h.key)}</Key><UploadId>{begun.id}</UploadId>")


def _part(h: Any) -> None:
    number = _number(h, "partNumber", 0, 1 << 30)
    if not 1 <= number <= 10000:
        raise Refusal(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive", ArgumentName="partNumber")
    h.fake.store.upload(h.bucket, h.key, h.query["uploadId"])
    made = h.take_in()
    h.fake.store.part(h.bucket, h.key, h.query["uploadId"], number, made)
    h.answer(200, headers={"ETag": h.etag(made.etag)})


def _named(body: bytes) -> list[tuple[int, str]]:
    try:
        root = xml.fromstring(body)
        if root.tag.rpartition("}")[2] != "CompleteMultipartUpload":
            raise ValueError(root.tag)
        return [(int(child(e, "PartNumber")), child(e, "ETag")) for e in root]
    except (xml.ParseError, ValueError):
        raise Refusal(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema") from None


def _complete(h: Any) -> None:
    absent, _ = h.condition()
    named = _named(h.small_body())
    if h.fault and h.fault.late and h.fault.refusal:
        no = h.fault.refusal
        h.answer(200, f'<?xml version="1.0" encoding="UTF-8"?>\n\n<Error><Code>{no.code}</Code><Message>{no.message}</Message></Error>'.encode(),
                 {"Content-Type": "application/xml"}, no.code)
        return
    made = h.fake.store.complete(h.bucket, h.key, h.query["uploadId"], named, absent, h.fake.part_least)
    etag = _quoted(h.etag(made.etag))
    h.answer_xml("CompleteMultipartUploadResult", f"<Location>{h.fake.url}/{h.bucket}/{escape(h.key)}</Location><Bucket>{h.bucket}</Bucket>"
                 f"<Key>{escape(h.key)}</Key><ETag>{etag}</ETag>")


def _abort(h: Any) -> None:
    h.fake.store.abort(h.bucket, h.key, h.query["uploadId"])
    h.answer(204)


def _list_uploads(h: Any) -> None:
    prefix, most, encode = h.query.get("prefix", ""), _number(h, "max-uploads", 1000, 1000), _encoder(h)
    marker = (h.query.get("key-marker", "").encode(), h.query.get("upload-id-marker", ""))
    found = [u for u in h.fake.store.uploads(h.bucket) if u.key.startswith(prefix)]
    if marker[0] and not marker[1]:
        found = [u for u in found if u.key.encode() > marker[0]]
    elif marker[0]:
        at = [u.id for u in found].index(marker[1]) + 1 if marker[1] in [u.id for u in found] else 0
        found = found[at:] if at else [u for u in found if u.key.encode() > marker[0]]
    page = found[:most]
    more = len(found) > most > 0
    inside = (f"<Bucket>{h.bucket}</Bucket><Prefix>{encode(prefix)}</Prefix><MaxUploads>{most}</MaxUploads>"
              f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>")
    if more:
        inside += f"<NextKeyMarker>{encode(page[-1].key)}</NextKeyMarker><NextUploadIdMarker>{page[-1].id}</NextUploadIdMarker>"
    for upload in page:
        inside += f"<Upload><Key>{encode(upload.key)}</Key><UploadId>{upload.id}</UploadId><Initiated>{_iso(upload.began)}</Initiated></Upload>"
    h.answer_xml("ListMultipartUploadsResult", inside)


_LISTING = frozenset({"prefix", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"})
_UPLOADS = frozenset({"prefix", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"})
_NONE: frozenset[str] = frozenset()
OPERATIONS = [  # method, place, names a query must have, names it may have, operation, function
    ("PUT", "bucket", _NONE, _NONE, "CreateBucket", _create_bucket),
    ("HEAD", "bucket", _NONE, _NONE, "HeadBucket", _head_bucket),
    ("GET", "bucket", frozenset({"list-type"}), _LISTING, "ListObjectsV2", _list),
    ("GET", "bucket", frozenset({"uploads"}), _UPLOADS, "ListMultipartUploads", _list_uploads),
    ("PUT", "object", _NONE, _NONE, "PutObject", _put),
    ("GET", "object", _NONE, _NONE, "GetObject", _get),
    ("HEAD", "object", _NONE, _NONE, "HeadObject", _get),
    ("DELETE", "object", _NONE, _NONE, "DeleteObject", _delete),
    ("POST", "object", frozenset({"uploads"}), _NONE, "CreateMultipartUpload", _begin),
    ("PUT", "object", frozenset({"partNumber", "uploadId"}), _NONE, "UploadPart", _part),
    ("POST", "object", frozenset({"uploadId"}), _NONE, "CompleteMultipartUpload", _complete),
    ("DELETE", "object", frozenset({"uploadId"}), _NONE, "AbortMultipartUpload", _abort),
]
