"""The S3 peers agree: a table of calls has the same answers from the pretended server and from two real ones, so that the pretended
one is not lenient; and its faults are what they say. No holdfast takes part."""
from __future__ import annotations

import hashlib
import random
import socket
import time
import urllib.parse

import pytest

from peers import s3, sigv4
from peers.s3client import S3Client, child, parts_xml
from peers.s3fake import EXPIRED_403, INTERNAL, NOT_PUT, SLOW_DOWN, SLOW_DOWN_WAIT, S3Fake
from peers.sigv4 import Keys

MIB = 1 << 20
BODY = b"0123456789"
REAL = [pytest.param(kind, marks=pytest.mark.cluster) for kind in s3.KINDS if kind != "fake"]


@pytest.fixture(scope="module", params=["fake", *REAL])
def server(request, tmp_path_factory):
    """One a module: the rows of the table use keys of their own."""
    with s3.KINDS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        running.kind = request.param
        c = running.client()
        c.make_bucket()
        c.put("there", BODY)
        c.put("empty", b"")
        yield running


def other(c: S3Client, **changed) -> S3Client:
    """The same server, asked otherwise."""
    how = {"keys": c.keys, "bucket": c.bucket, "region": c.region, "skew_s": c.skew_s, **changed}
    return S3Client(f"http://{c.host}:{c.port}", how.pop("keys"), **how)


def part_of(c: S3Client, key: str, sizes: list[int], pairs=None, headers=None):
    """An upload of parts of these sizes, completed; pairs: from the right (number, ETag) to what is named."""
    upload = c.begin(key)
    right = [(i, c.part(key, upload, i, bytes(size))) for i, size in enumerate(sizes, 1)]
    named = right if pairs is None else pairs(right)
    return c.call("POST", key, headers, query=f"uploadId={sigv4.quote(upload)}", body=parts_xml(named))


def aborted(c: S3Client, key: str) -> str:
    upload = c.begin(key)
    assert c.abort(key, upload).status == 204
    return upload


def raw_put(c: S3Client, key: str, **changed: str | None):
    """A signed PUT of nothing with headers taken out (None) or replaced after signing."""
    host, path = c.target(key)
    headers = sigv4.sign(c.keys, "PUT", path, "", {"Host": host}, sigv4.EMPTY, c.region) | {"Content-Length": "0"}
    for name, value in changed.items():
        name = name.replace("_", "-")
        headers.pop(name, None)
        if value is not None:
            headers[name] = value
    return c.raw("PUT", path, headers)


WRONG_ETAG = '"00000000000000000000000000000000"'
CALLS = [  # name, call, status, code
    ("put", lambda c: c.call("PUT", "a", body=BODY), 200, ""),
    ("put of nothing", lambda c: c.call("PUT", "b"), 200, ""),
    ("put where there is none", lambda c: c.call("PUT", "new", {"If-None-Match": "*"}, body=BODY), 200, ""),
    ("put where there is one", lambda c: c.call("PUT", "there", {"If-None-Match": "*"}, body=b"x"), 412, "PreconditionFailed"),
    ("put in place of another", lambda c: c.call("PUT", "there", {"If-Match": WRONG_ETAG}, body=b"x"), 412, "PreconditionFailed"),
    ("put into no bucket", lambda c: other(c, bucket="no-such-bucket").call("PUT", "a", body=BODY), 404, "NoSuchBucket"),
    ("put unsigned payload", lambda c: c.call("PUT", "u", body=BODY, payload=sigv4.UNSIGNED), 200, ""),
    ("put of another body", lambda c: c.call("PUT", "w", body=BODY, payload=sigv4.EMPTY), 400, "XAmzContentSHA256Mismatch"),
    ("put with a wrong MD5", lambda c: c.call("PUT", "w", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, body=BODY), 400, "BadDigest"),
    ("put without a length", lambda c: raw_put(c, "w", Content_Length=None), 411, "MissingContentLength"),
    ("put with a long key", lambda c: c.call("PUT", "/".join(["k" * 200] * 5) + "/" + "k" * 19, body=BODY), 200, ""),
    ("put with too long a key", lambda c: c.call("PUT", "/".join(["k" * 200] * 5) + "/" + "k" * 20, body=BODY), 400, "KeyTooLongError"),
    ("get", lambda c: c.call("GET", "there"), 200, ""),
    ("get of none", lambda c: c.call("GET", "none"), 404, "NoSuchKey"),
    ("get from no bucket", lambda c: other(c, bucket="no-such-bucket").call("GET", "a"), 404, "NoSuchBucket"),
    ("get the middle", lambda c: c.call("GET", "there", {"Range": "bytes=2-4"}), 206, ""),
    ("get the rest", lambda c: c.call("GET", "there", {"Range": "bytes=9-"}), 206, ""),
    ("get the end", lambda c: c.call("GET", "there", {"Range": "bytes=-3"}), 206, ""),
    ("get more than there is", lambda c: c.call("GET", "there", {"Range": "bytes=0-99"}), 206, ""),
    ("get behind the end", lambda c: c.call("GET", "there", {"Range": "bytes=10-"}), 416, "InvalidRange"),
    ("get if it is the same", lambda c: c.call("GET", "there", {"If-Match": f'"{hashlib.md5(BODY).hexdigest()}"'}), 200, ""),
    ("get if it is another", lambda c: c.call("GET", "there", {"If-Match": WRONG_ETAG}), 412, "PreconditionFailed"),
    ("head", lambda c: c.call("HEAD", "there"), 200, ""),
    ("head of none", lambda c: c.call("HEAD", "none"), 404, ""),
    ("head of the bucket", lambda c: c.call("HEAD"), 200, ""),
    ("head of no bucket", lambda c: other(c, bucket="no-such-bucket").call("HEAD"), 404, ""),
    ("delete", lambda c: [c.put("d", BODY), c.call("DELETE", "d")][1], 204, ""),
    ("delete of none", lambda c: c.call("DELETE", "none"), 204, ""),
    ("list", lambda c: c.call("GET", query="list-type=2"), 200, ""),
    ("list of no bucket", lambda c: other(c, bucket="no-such-bucket").call("GET", query="list-type=2"), 404, "NoSuchBucket"),
    ("list with a wrong number", lambda c: c.call("GET", query="list-type=2&max-keys=many"), 400, "InvalidArgument"),
    ("a wrong secret", lambda c: other(c, keys=Keys(c.keys.access, "wrong")).call("GET", "there"), 403, "SignatureDoesNotMatch"),
    ("nobody's key", lambda c: other(c, keys=Keys("NOBODY", "wrong")).call("GET", "there"), 403, "InvalidAccessKeyId"),
    ("no signature", lambda c: c.raw("GET", "/backups/there", {"Host": f"{c.host}:{c.port}"}), 403, "AccessDenied"),
    ("another region", lambda c: other(c, region="eu-west-1").call("GET", "there"), 400, "AuthorizationHeaderMalformed"),
    ("a clock 20 minutes ahead", lambda c: other(c, skew_s=1200).call("GET", "there"), 403, "RequestTimeTooSkewed"),
    ("a clock 20 minutes behind", lambda c: other(c, skew_s=-1200).call("GET", "there"), 403, "RequestTimeTooSkewed"),
    ("a clock 10 minutes behind", lambda c: other(c, skew_s=-600).call("GET", "there"), 200, ""),
    ("a header changed after signing", lambda c: raw_put(c, "w", x_amz_content_sha256="0" * 64), 403, "SignatureDoesNotMatch"),
    ("a query that was not signed", lambda c: c.raw("GET", "/backups/there?x-id=GetObject", sigv4.sign(
        c.keys, "GET", "/backups/there", "", {"Host": f"{c.host}:{c.port}"}, sigv4.EMPTY, c.region)), 403, "SignatureDoesNotMatch"),
    ("parts", lambda c: part_of(c, "p1", [5 * MIB, 5]), 200, ""),
    ("one small part", lambda c: part_of(c, "p2", [5]), 200, ""),
    ("parts where there is none", lambda c: part_of(c, "p3", [5], headers={"If-None-Match": "*"}), 200, ""),
    ("parts where there is one", lambda c: part_of(c, "there", [5], headers={"If-None-Match": "*"}), 412, "PreconditionFailed"),
    ("a first part too small", lambda c: part_of(c, "p4", [5, 5]), 400, "EntityTooSmall"),
    ("parts in the wrong order", lambda c: part_of(c, "p5", [5 * MIB] * 2, lambda right: right[::-1]), 400, "InvalidPartOrder"),
    ("a part with a wrong ETag", lambda c: part_of(c, "p6", [5], lambda right: [(1, WRONG_ETAG)]), 400, "InvalidPart"),
    ("a part that was not sent", lambda c: part_of(c, "p7", [5 * MIB], lambda right: [*right, (2, right[0][1])]), 400, "InvalidPart"),
    ("no parts at all", lambda c: part_of(c, "p8", [5], lambda right: []), 400, "MalformedXML"),
    ("no XML", lambda c: c.call("POST", "p9", query=f"uploadId={sigv4.quote(c.begin('p9'))}", body=b"nonsense"), 400, "MalformedXML"),
    ("part number 0", lambda c: c.call("PUT", "p10", query=f"partNumber=0&uploadId={sigv4.quote(c.begin('p10'))}", body=b"x"), 400, "InvalidArgument"),
    ("part number 10001", lambda c: c.call("PUT", "q", query=f"partNumber=10001&uploadId={sigv4.quote(c.begin('q'))}", body=b"x"), 400, "InvalidArgument"),
    ("a part of an aborted upload", lambda c: c.call("PUT", "r", query=f"partNumber=1&uploadId={sigv4.quote(aborted(c, 'r'))}", body=b"x"), 404, "NoSuchUpload"),
    ("completing an aborted upload", lambda c: c.complete("s", aborted(c, "s"), [WRONG_ETAG]), 404, "NoSuchUpload"),
    ("aborting twice", lambda c: c.abort("t", aborted(c, "t")), 404, "NoSuchUpload"),
]
# Where a real server is known to answer otherwise; what Amazon documents is above, and is what the pretended one says.
OTHERWISE: dict[tuple[str, str], tuple[int, str]] = {
    ("versitygw", "put without a length"): (200, ""),
    ("versitygw", "put with too long a key"): (200, ""),
    ("versitygw", "nobody's key"): (404, "XAdminUserNotFound"),
    ("s3s-fs", "put into no bucket"): (200, ""),  # a folder is made
    ("s3s-fs", "get from no bucket"): (200, ""),
    ("s3s-fs", "head of no bucket"): (200, ""),
    ("s3s-fs", "list of no bucket"): (200, ""),
    ("s3s-fs", "put of another body"): (500, "InternalError"),
    ("s3s-fs", "put without a length"): (200, ""),
    ("s3s-fs", "put with a long key"): (500, "InternalError"),  # a part of more than 255 bytes on its way to the disk
    ("s3s-fs", "get if it is another"): (200, ""),
    ("s3s-fs", "nobody's key"): (403, "NotSignedUp"),
    ("s3s-fs", "another region"): (200, ""),
    ("s3s-fs", "parts in the wrong order"): (400, "InvalidRequest"),
    ("s3s-fs", "a part with a wrong ETag"): (200, ""),
    ("s3s-fs", "a part that was not sent"): (500, "InternalError"),
    ("s3s-fs", "no parts at all"): (400, "InvalidPart"),
    ("s3s-fs", "part number 0"): (200, ""),
    ("s3s-fs", "a part of an aborted upload"): (403, "AccessDenied"),
    ("s3s-fs", "completing an aborted upload"): (403, "AccessDenied"),
    ("s3s-fs", "aborting twice"): (403, "AccessDenied"),
}


@pytest.mark.parametrize("call, status, code", [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_call_is_answered_so(server, request, call, status, code):
    name = request.node.callspec.id.removeprefix(server.kind + "-")
    answer = call(server.client())
    assert (answer.status, answer.code) == OTHERWISE.get((server.kind, name), (status, code)), answer


# --- what the answers hold

KEYS = ["a", "a b", "a+b", "dir/b", "dir/c/d", "a%20b", "a&b", "a<b>", "a'b", "a=b?c#d", "ä", "€", "z" * 100, "~x-._", "A", "1(2)*3!", "x;y,z:@$"]


@pytest.fixture
def bucket(server, request):
    """A new and empty one."""
    name = "b-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    made = server.client(name)
    made.make_bucket()
    return made


def test_keys_of_any_kind_come_back(bucket, server):
    for key in KEYS:
        bucket.put(key, key.encode())
    assert {item.key: item.bytes for item in bucket.list()} == {key: len(key.encode()) for key in KEYS}
    assert bucket.keys_of() == sorted(KEYS, key=str.encode)
    assert [bucket.read(key) for key in KEYS] == [key.encode() for key in KEYS]
    encoded = bucket.must("GET", query="list-type=2&encoding-type=url")
    decode = urllib.parse.unquote_plus if encoded.text("EncodingType") == "url" and server.kind != "s3s-fs" else str  # which only says so
    assert [decode(child(e, "Key")) for e in encoded.all("Contents")] == bucket.keys_of()
    for key in KEYS:
        bucket.delete(key)
    assert bucket.list() == []


def test_a_list_is_paged(bucket):
    names = [f"p/{number:03}" for number in range(25)]
    for name in random.Random(1).sample(names, len(names)):
        bucket.put(name, b"x")
    bucket.put("q", b"")
    assert bucket.list("p/", page=7) == bucket.list("p/") and bucket.keys_of("p/") == names
    first = bucket.must("GET", query="list-type=2&max-keys=7&prefix=p%2F")
    assert (first.text("KeyCount"), first.text("IsTruncated"), len(first.all("Contents"))) == ("7", "true", 7)
    assert bucket.must("GET", query="list-type=2&max-keys=25&prefix=p%2F").text("IsTruncated") == "false"
    after = bucket.must("GET", query="list-type=2&start-after=p%2F022")
    assert [child(e, "Key") for e in after.all("Contents")] == ["p/023", "p/024", "q"]
    assert bucket.must("GET", query="list-type=2&prefix=none").text("KeyCount") == "0"


def test_parts_make_one_object(bucket, server):
    body = random.Random(2).randbytes(11 * MIB)
    pieces = [body[:5 * MIB], body[5 * MIB:10 * MIB], body[10 * MIB:]]
    upload = bucket.begin("whole")
    bucket.part("whole", upload, 3, pieces[2])
    bucket.part("whole", upload, 1, b"another one, sent before")
    etags = [bucket.part("whole", upload, number, piece) for number, piece in enumerate(pieces, 1)]
    assert etags == [f'"{hashlib.md5(piece).hexdigest()}"' for piece in pieces]
    assert not bucket.exists("whole")
    done = bucket.complete("whole", upload, etags)
    assert (done.status, done.code) == (200, "")
    sums = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()
    listed = "" if server.kind == "s3s-fs" else f'"{sums}-3"'  # whose lists have no ETag
    assert [done.text("ETag"), bucket.call("HEAD", "whole").etag, bucket.list()[0].etag] == [f'"{sums}-3"'] * 2 + [listed]
    assert bucket.read("whole") == body
    assert bucket.call("GET", "whole", {"Range": "bytes=5242879-5242881"}).body == body[5 * MIB - 1:5 * MIB + 2]


def test_uploads_are_listed_until_aborted(bucket, server):
    if server.kind == "s3s-fs":
        answer = bucket.call("GET", query="uploads=")
        assert (answer.status, answer.code) == (501, "NotImplemented")
        return
    begun = {key: bucket.begin(key) for key in ("u/1", "u/2", "v")}
    again = bucket.begin("u/1")
    assert sorted(bucket.uploads("u/")) == sorted([("u/1", begun["u/1"]), ("u/1", again), ("u/2", begun["u/2"])])
    for key, upload in bucket.uploads():
        assert bucket.abort(key, upload).status == 204
    assert bucket.uploads() == [] == bucket.list()


def test_heads_say_what_is_there(bucket):
    etag = bucket.put("key", BODY)
    for method in ("HEAD", "GET"):
        told = bucket.call(method, "key")
        assert (told.headers["content-length"], told.etag, etag) == ("10", etag, f'"{hashlib.md5(BODY).hexdigest()}"')
        assert told.headers["last-modified"].endswith("GMT") and told.headers["date"].endswith("GMT")
    part = bucket.call("GET", "key", {"Range": "bytes=-3"})
    assert (part.body, part.headers["content-range"], part.headers["content-length"]) == (b"789", "bytes 7-9/10", "3")


@pytest.mark.parametrize("kind", ["fake", *REAL])
def test_over_tls_and_with_the_bucket_as_host(kind, tmp_path, ca):
    with s3.KINDS[kind](tmp_path, tls=ca.server("s3", s3.VIRTUAL_NAMES)) as served:
        c = served.client()
        c.make_bucket()
        c.put("a/b c", BODY)
        assert served.url.startswith("https://") and c.read("a/b c") == BODY
        virtual = served.client(addressing="virtual")
        assert virtual.keys_of() == ["a/b c"] and virtual.read("a/b c") == BODY and virtual.put("d", b"") == c.call("HEAD", "d").etag


# --- the pretended one: faults

@pytest.fixture
def fake(tmp_path):
    with S3Fake(tmp_path / "fake") as made:
        made.client().make_bucket()
        made.requests.clear()
        yield made


def codes(c: S3Client, count: int) -> list[tuple[int, str]]:
    return [(answer.status, answer.code) for answer in (c.call("PUT", f"k{i}", body=BODY) for i in range(count))]


@pytest.mark.parametrize("refusal", [INTERNAL, SLOW_DOWN, SLOW_DOWN_WAIT, EXPIRED_403], ids=lambda refusal: refusal.code)
def test_the_nth_is_refused(fake, refusal):
    c, wrong = fake.client(), (refusal.status, refusal.code)
    fake.fault("PutObject", 2, refusal, times=2)
    assert codes(c, 4) == [(200, ""), wrong, wrong, (200, "")]
    assert c.keys_of() == ["k0", "k3"]
    fake.fault("PutObject", 0, refusal)
    assert codes(c, 2) == [wrong] * 2 and c.call("GET", "k0").status == 200
    assert refusal is not SLOW_DOWN_WAIT or c.call("PUT", "k").headers["retry-after"] == "2"
    fake.clear()
    assert codes(c, 1) == [(200, "")]
    assert fake.ops()[:4] == ["PutObject"] * 4 and [seen.code for seen in fake.requests[:3]] == ["", refusal.code, refusal.code]


def test_a_reset_in_the_middle(fake):
    c = fake.client()
    fake.fault("PutObject", reset_after=100_000)
    with pytest.raises(ConnectionError):
        c.put("k", bytes(10 * MIB))
    assert c.list() == [] and fake.requests[0].status == 0
    c.put("k", bytes(MIB))
    fake.fault("GetObject", reset_after=100_000)
    with pytest.raises(ConnectionError):
        c.read("k")
    assert c.read("k") == bytes(MIB)


def test_an_answer_that_is_lost(fake):
    """Done, and not told."""
    c = fake.client()
    fake.fault("PutObject", done=True)
    with pytest.raises(ConnectionError):
        c.put("k", BODY)
    assert c.read("k") == BODY
    fake.fault("PutObject", refusal=INTERNAL, done=True)
    assert c.call("PUT", "l", body=BODY).status == 500 and c.read("l") == BODY


def test_a_completion_that_fails_late(fake):
    c = fake.client()
    upload = c.begin("k")
    etag = c.part("k", upload, 1, BODY)
    fake.fault("CompleteMultipartUpload", refusal=INTERNAL, late=True)
    answer = c.complete("k", upload, [etag])
    assert (answer.status, answer.code) == (200, "InternalError") and not c.exists("k")
    assert c.complete("k", upload, [etag]).code == "" and c.read("k") == BODY


def test_a_wrong_etag(fake):
    fake.fault("PutObject", etag=WRONG_ETAG)
    assert fake.client().put("k", BODY) == WRONG_ETAG and fake.client().call("HEAD", "k").etag != WRONG_ETAG


@pytest.mark.parametrize("how, status", [("refused", 501), ("ignored", 200)])
def test_a_server_without_conditions(fake, how, status):
    c = fake.client()
    c.put("k", b"old")
    fake.conditional = how
    assert c.call("PUT", "k", {"If-None-Match": "*"}, body=b"new").status == status
    assert c.read("k") == (b"old" if how == "refused" else b"new")
    assert part_of(c, "k", [5], headers={"If-None-Match": "*"}).status == status


def test_credentials_that_may_only_write(fake):
    fake.denied = NOT_PUT
    c = fake.client()
    assert c.call("PUT", "k", {"If-None-Match": "*"}, body=BODY).status == 200 and part_of(c, "l", [5]).status == 200
    calls = [c.call("GET", "k"), c.call("DELETE", "k"), c.call("GET", query="list-type=2"), c.call("GET", query="uploads=")]
    assert [(answer.status, answer.code) for answer in calls] == [(403, "AccessDenied")] * 4
    assert c.call("HEAD", "k").status == 403 and c.abort("m", c.begin("m")).status == 204
    fake.denied = frozenset({"ListObjectsV2"})
    assert c.call("GET", "none").status == 403  # who may not list is not told what is there


def test_a_clock_that_differs(fake):
    fake.clock_s = 1200
    c = fake.client()
    answer = c.call("PUT", "k", body=BODY)
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    c.skew_s = 1200  # as its Date header says
    assert c.call("PUT", "k", body=BODY).status == 200


def test_keys_that_change_and_temporary_ones(fake):
    c = fake.client()
    fake.keys = Keys("OTHER", "secret", "the/token==")
    assert c.call("GET", "k").code == "InvalidAccessKeyId"
    assert other(c, keys=Keys("OTHER", "secret")).call("GET", "k").code == "InvalidToken"
    assert fake.client().call("PUT", "k").status == 200


def test_a_slow_uplink(fake):
    fake.uplink_bytes_s = 200_000
    began = time.monotonic()
    fake.client().put("k", bytes(200_000))
    assert 0.9 <= time.monotonic() - began


def test_a_head_that_is_refused_is_refused_before_its_body(fake):
    """With Expect: 100-continue nobody has to send what nobody wants."""
    c = fake.client()
    for keys, status in ((Keys(c.keys.access, "wrong"), b"403"), (c.keys, b"100")):
        host, path = c.target("k")
        headers = sigv4.sign(keys, "PUT", path, "", {"Host": host}, sigv4.sha256_hex(BODY), c.region)
        with socket.create_connection(("127.0.0.1", fake.port), 10) as sock:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            sock.sendall(f"PUT {path} HTTP/1.1\r\n{lines}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n".encode())
            assert sock.recv(1000).split()[1] == status


def test_headers_that_are_not_signed_are_refused(fake):
    c = fake.client()
    told = raw_put(c, "k", x_amz_acl="private")
    assert (told.status, told.code, told.text("HeadersNotSigned")) == (403, "AccessDenied", "x-amz-acl")
    assert (told := raw_put(c, "k", x_amz_content_sha256=None)).code == "InvalidRequest", told
    assert c.call("GET", query="acl=").status == 501 and c.call("GET", "k", query="tagging=").status == 501


# --- the signature: the example that Amazon publishes (Signature Calculations for the Authorization Header, GET Object)

def test_the_published_example():
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    made = sigv4.sign(keys, "GET", "/test.txt", "", {"Host": "examplebucket.s3.amazonaws.com", "Range": "bytes=0-9"}, sigv4.EMPTY, "us-east-1", 1369353600)
    assert made["Authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
