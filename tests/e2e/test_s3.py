"""Our S3 client (tests/e2e/s3.c: e2e/s3 beside the binary under test) against the pretended server with its faults, and, in the
cluster suite, two real ones; plain and with TLS."""
from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
import time
from dataclasses import dataclass

import pytest

from peers import s3
from peers.s3fake import CONFLICT, EXPIRED, EXPIRED_403, INTERNAL, NOT_PUT, SLOW_DOWN, SLOW_DOWN_WAIT, TIMED_OUT, S3Fake
from peers.s3store import Refusal
from peers.sigv4 import Keys

MIB = 1 << 20
ID = "x-amz-meta-holdfast-id"
BIG = random.Random(5).randbytes(11 * MIB + 7)
REAL = [pytest.param((kind, tls), marks=pytest.mark.cluster) for kind in s3.KINDS if kind != "fake" for tls in ("plain", "tls")]


@dataclass
class Done:
    code: int
    out: bytes
    told: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def error(self) -> str:
        return self.told.partition(" ")[0] if self.code else ""


class Client:
    """The program, for one server and bucket."""

    def __init__(self, program, server, bucket: str = "backups", **env):
        self.program, self.server, self.bucket = program, server, bucket
        self.env = {"S3_ACCESS_KEY": server.keys.access, "S3_SECRET_KEY": server.keys.secret, "S3_REGION": server.region, **env}
        if server.tls:
            self.env.setdefault("S3_CA", str(server.tls.ca))

    def __call__(self, *words, **env) -> Done:
        all_env = {**self.env, **{name: str(value) for name, value in env.items()}}
        done = subprocess.run([self.program, self.server.url, self.bucket, *map(str, words)], env=all_env, capture_output=True, timeout=300)
        told = done.stderr.decode()
        assert all_env["S3_SECRET_KEY"] not in told and "Signature=" not in told and all_env.get("S3_TOKEN", "no token") not in told
        return Done(done.returncode, done.stdout, told)

    def good(self, *words, **env) -> Done:
        done = self(*words, **env)
        assert done.code == 0, done.told
        return done


@pytest.fixture(scope="session")
def program(holdfast):
    path = holdfast.parent / "e2e" / "s3"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"
    return path


@pytest.fixture(scope="session")
def s3_cert(ca):
    return ca.server("s3", names=s3.VIRTUAL_NAMES)


@pytest.fixture(scope="module", params=[("fake", "plain"), ("fake", "tls"), *REAL], ids=lambda p: "-".join(p))
def served(request, tmp_path_factory, s3_cert):
    kind, tls = request.param
    with s3.KINDS[kind](tmp_path_factory.mktemp(kind), tls=s3_cert if tls == "tls" else None) as running:
        running.kind = kind
        yield running


@pytest.fixture
def ask(program, served, request):
    """Our client, for a bucket of the test's own."""
    bucket = "b-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    served.client(bucket).make_bucket()
    return Client(program, served, bucket)


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(BIG)
    return path


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"hello\n")
    return path


def inspect(ask):
    return ask.server.client(ask.bucket)


def pending(ask) -> list:
    """Uploads that were neither completed nor aborted."""
    if ask.server.kind == "s3s-fs":  # does not list them
        assert ask("uploads", "").error == "E_UNSUPPORTED"
        return []
    return inspect(ask).uploads()


# --- every server

def test_an_object_comes_and_goes(ask, small):
    done = ask.good("put-new", "a/b", small, "--", "head", "a/b", "--", "get", "a/b", "--", "get", "a/b", 4, "--", "list", "")
    put, head, first, rest, item = done.lines[0], done.lines[1], done.lines[2], done.lines[3], done.lines[4]
    assert put == head and put.startswith("a/b 6 ") and put.endswith(" confirmed")
    assert (first, rest) == ("hello", "o") and item.startswith("a/b 6 ")
    assert abs(int(item.split()[2]) - time.time()) < 100
    assert inspect(ask).read("a/b") == b"hello\n"
    assert ask.good("delete", "a/b", "--", "delete", "a/b", "--", "list", "").out == b""


def test_an_empty_object(ask, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert ask.good("put", "e", tmp_path / "empty", "--", "head", "e", "--", "get", "e").lines[1].startswith("e 0 ")
    assert ask("get", "e", 1).error == "E_RANGE"


def test_nothing_is_overwritten(ask, small, big):
    ask.good("put-new", "k", small)
    for words in (("put-new", "k", big), ("upload-new", "k", big, 5 * MIB)):
        done = ask(*words)
        assert done.error == "E_EXISTS" and ask.bucket in done.told and "k" in done.told
    assert inspect(ask).read("k") == b"hello\n"
    assert pending(ask) == []
    assert ask.good("put", "k", big, "--", "head", "k").lines[1].split()[1] == str(len(BIG))


@pytest.mark.parametrize("call", ["upload", "upload-new"])
def test_an_upload_in_parts(ask, big, call):
    done = ask.good(call, "dir/big", big, 5 * MIB, "--", "stats")
    etag = hashlib.md5(b"".join(hashlib.md5(BIG[at:at + 5 * MIB]).digest() for at in range(0, len(BIG), 5 * MIB))).hexdigest()
    key, size, _, told, confirmed = done.lines[0].split()
    assert (key, size, confirmed) == ("dir/big", str(len(BIG)), "confirmed")
    assert told == f'"{etag}-3"'
    assert ask.good("get", "dir/big").out == BIG
    assert ask.good("get", "dir/big", 5 * MIB - 3).out == BIG[5 * MIB - 3:]
    print(ask.server.kind, "tls" if ask.server.tls else "plain", done.lines[1])


def test_what_was_left_behind_is_found_and_aborted(ask, big):
    first = ask.good("upload-leave", "l/a", big, 5 * MIB).lines[0]
    second = ask.good("upload-leave", "l/b", big, 5 * MIB).lines[0]
    ask.good("upload-leave", "m", big, 5 * MIB)
    assert inspect(ask).keys_of() == []
    if ask.server.kind == "s3s-fs":  # does not list them
        assert ask("uploads", "l/").error == "E_UNSUPPORTED"
        ask.good("abort", "l/a", first)
        assert ask("abort", "l/a", first).error == "E_DENIED"  # instead of NoSuchUpload
        return
    found = [line.split() for line in ask.good("uploads", "l/").lines]
    assert [(key, upload) for key, upload, _ in found] == [("l/a", first), ("l/b", second)]
    assert all(abs(int(line[2]) - time.time()) < 100 for line in found)
    ask.good("abort", "l/a", first, "--", "abort", "l/a", first)
    assert [line.split()[0] for line in ask.good("uploads", "").lines] == ["l/b", "m"]


KEYS = ["a", "a b", "a+b", "dir/b", "dir/c/d", "a%20b", "a&b", "a<b>", "a'b", 'a"b', "a=b?c#d", "ä", "€", "~x-._", "1(2)*3!", "x;y,z:@$", " a ", "k" * 100]


def test_keys_of_any_kind(ask, small):
    for key in KEYS:
        ask.good("put", key, small)
    assert sorted(line.rsplit(" ", 3)[0] for line in ask.good("list", "").lines) == sorted(KEYS)
    assert inspect(ask).keys_of() == sorted(KEYS, key=str.encode)
    for key in KEYS:
        assert ask.good("get", key, "--", "delete", key).out == b"hello\n"
    assert inspect(ask).keys_of() == []


def test_many_keys_page_by_page(ask):
    writer, names = inspect(ask), [f"p/{number:05}" for number in range(1105)]
    for name in [*names, "o", "q"]:
        writer.put(name, b"x")
    done = ask.good("list", "p/", "--", "stats")
    assert [line.split()[0] for line in done.lines[:-1]] == names
    assert [line.split()[0] for line in ask.good("list", "p/", "p/01000").lines] == names[1001:]
    ask.good("prune", "p/")  # removes each while the list is read
    assert writer.keys_of() == ["o", "q"]


def test_virtual_host_addressing(ask, program, small):
    if ask.server.tls or ask.server.kind != "fake":
        ask = Client(program, ask.server)  # the certificate, and the real servers' domain, have the name of this one
        if not ask.server.client().call("HEAD").status == 200:
            ask.server.client().make_bucket()
    ask.good("put", "v/k", small, "--", "list", "v/", "--", "get", "v/k", "--", "delete", "v/k", S3_VIRTUAL=1)


WRONG = [  # name, environment, words, error, and what is told
    ("no such key", {}, ("get", "none"), "E_ABSENT", "NoSuchKey"),
    ("no such key, head", {}, ("head", "none"), "E_ABSENT", "404"),
    ("a wrong secret", {"S3_SECRET_KEY": "a-wrong-one"}, ("list", ""), "E_DENIED", "check the secret key"),
    ("a wrong secret, head", {"S3_SECRET_KEY": "a-wrong-one"}, ("head", "none"), "E_DENIED", "check keys"),
    ("nobody's key", {"S3_ACCESS_KEY": "NOBODY"}, ("list", ""), "E_DENIED", "does not know the access key"),
]


@pytest.mark.parametrize("env, words, error, told", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_refusals_say_what_to_do(ask, env, words, error, told):
    done = ask(*words, **env)
    assert done.error == error and told in done.told and f"{ask.server.url}/{ask.bucket}" in done.told


def test_a_wrong_region_is_named(ask):
    done = ask("list", "", S3_REGION="eu-west-1")
    if ask.server.kind == "s3s-fs":  # takes any
        assert done.code == 0
        return
    assert done.error == "E_INVALID" and "region us-east-1" in done.told


def test_no_such_bucket(ask, program, small):
    done = Client(program, ask.server, "no-such-bucket")("put", "a", small)
    if ask.server.kind == "s3s-fs":  # makes it
        assert done.code == 0
        return
    assert done.error == "E_ABSENT" and "no such bucket" in done.told


def test_an_unknown_authority_is_refused(ask, other_ca):
    if ask.server.tls:
        assert ask("list", "", S3_CA=other_ca.cert).error == "E_CERT_UNTRUSTED"


# --- the pretended server's faults

@pytest.fixture
def fake(tmp_path):
    with S3Fake(tmp_path / "s3") as running:
        running.client().make_bucket()
        running.requests.clear()
        yield running


@pytest.fixture
def ask_fake(program, fake):
    return Client(program, fake)


LOST = {"done": True}
FAULTS = [  # name, the faults, what is asked, the error or "", what the server saw
    ("500 is tried again", [("PutObject", 1, INTERNAL)], "put-new", "", "PutObject PutObject HeadObject"),
    ("500 five times is told", [("PutObject", 0, INTERNAL)], "put-new", "E_REMOTE", " ".join(["PutObject"] * 5) + " HeadObject"),
    ("503 without a wait", [("PutObject", 1, SLOW_DOWN)], "put-new", "", "PutObject PutObject HeadObject"),
    ("400 RequestTimeout", [("PutObject", 1, TIMED_OUT)], "put-new", "", "PutObject PutObject HeadObject"),
    ("409 of a condition", [("PutObject", 1, CONFLICT)], "put-new", "E_EXISTS", "PutObject"),
    ("an expired token", [("PutObject", 0, EXPIRED)], "put-new", "E_DENIED", "PutObject"),
    ("an expired token, 403", [("PutObject", 0, EXPIRED_403)], "put-new", "E_DENIED", "PutObject"),
    ("a put whose answer is lost", [("PutObject", 1, None, LOST)], "put-new", "", "PutObject PutObject HeadObject HeadObject"),
    ("a put that was done, and 500", [("PutObject", 1, INTERNAL, LOST)], "put-new", "", "PutObject PutObject HeadObject HeadObject"),
    ("reset in the middle of a part", [("UploadPart", 2, None, {"reset_after": 3 * MIB})], "upload-new", "",
     "CreateMultipartUpload UploadPart UploadPart UploadPart UploadPart CompleteMultipartUpload HeadObject"),
    ("500 to a part", [("UploadPart", 1, INTERNAL)], "upload-new", "",
     "CreateMultipartUpload UploadPart UploadPart UploadPart UploadPart CompleteMultipartUpload HeadObject"),
    ("500 to every part", [("UploadPart", 0, INTERNAL)], "upload-new", "E_REMOTE",
     "CreateMultipartUpload " + "UploadPart " * 5 + "AbortMultipartUpload"),
    ("a part's ETag is wrong", [("UploadPart", 2, None, {"etag": '"00000000000000000000000000000000"'})], "upload-new", "E_CORRUPT",
     "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload AbortMultipartUpload"),
    ("complete: 200 with an error", [("CompleteMultipartUpload", 1, INTERNAL, {"late": True})], "upload-new", "",
     "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload CompleteMultipartUpload HeadObject"),
    ("complete: done, and its answer lost", [("CompleteMultipartUpload", 1, None, LOST)], "upload-new", "",
     "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload CompleteMultipartUpload HeadObject HeadObject"),
    ("complete: done, and its answer lost, unconditional", [("CompleteMultipartUpload", 1, None, LOST)], "upload", "",
     "CreateMultipartUpload UploadPart UploadPart UploadPart CompleteMultipartUpload CompleteMultipartUpload HeadObject HeadObject"),
    ("quota", [("UploadPart", 2, Refusal(403, "QuotaExceeded", "x"))], "upload-new", "E_NOSPACE",
     "CreateMultipartUpload UploadPart UploadPart AbortMultipartUpload"),
    ("a proxy's 502", [("PutObject", 1, Refusal(502, "", ""))], "put-new", "", "PutObject PutObject HeadObject"),
    ("a code that nobody knows", [("PutObject", 0, Refusal(400, "OddCode", "odd words"))], "put-new", "E_REMOTE", "PutObject"),
]


@pytest.mark.parametrize("faults, call, error, seen", [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault(ask_fake, fake, big, small, faults, call, error, seen):
    for op, n, refusal, *how in faults:
        fake.fault(op, n, refusal, **(how[0] if how else {}))
    words = (call, "k", small) if call.startswith("put") else (call, "k", big, 5 * MIB)
    done = ask_fake(*words)
    assert done.error == error, done.told
    assert " ".join(fake.ops()) == seen.strip()
    if not error:
        assert fake.client().read("k") == (b"hello\n" if call.startswith("put") else BIG)
    assert fake.client().uploads() == []


def test_retry_after_is_honoured(ask_fake, fake, small):
    fake.fault("PutObject", 1, SLOW_DOWN_WAIT)
    began = time.monotonic()
    ask_fake.good("put", "k", small)
    assert 2 <= time.monotonic() - began
    fake.fault("PutObject", 1, Refusal(503, "SlowDown", headers={"Retry-After": "40"}))
    began = time.monotonic()
    assert ask_fake("put", "k", small, S3_MS=30_000).error == "E_REMOTE"  # no use in waiting for what comes too late
    assert time.monotonic() - began < 35  # not the 40 s that were asked for


def test_a_lost_answer_is_not_taken_for_success_when_another_wrote(ask_fake, fake, small):
    fake.client().put("k", b"theirs")
    fake.fault("PutObject", 1, INTERNAL)
    assert ask_fake("put-new", "k", small).error == "E_EXISTS"
    assert fake.client().read("k") == b"theirs"


@pytest.mark.parametrize("clock_s", [1200, -1200, 86400 * 400])
def test_the_clock_is_learned_from_the_server(ask_fake, fake, small, clock_s):
    fake.clock_s = clock_s
    done = ask_fake.good("put", "k", small, "--", "get", "k", "--", "stats")
    assert abs(int(done.lines[-1].split()[-1]) - clock_s * 1000) < 60_000  # less what the answer took
    assert fake.ops() == ["PutObject", "PutObject", "HeadObject", "GetObject"] and "signing by it" in done.told


def test_the_clock_is_learned_from_an_answer_without_reason(ask_fake, fake):
    fake.client().put("k", b"x")
    fake.requests.clear()
    fake.clock_s = 1200
    assert ask_fake.good("head", "k").lines[0].startswith("k 1 ")
    assert fake.ops() == ["HeadObject", "HeadObject"]


def test_credentials_that_became_others_are_used(program, fake, small, tmp_path):
    """The old pair is refused; while it is, the file changes."""
    keys = tmp_path / "keys"
    ask = Client(program, fake, S3_KEYS_FILE=str(keys))
    keys.write_text(f"{fake.keys.access}\nthe-old-secret\n")
    assert ask("put", "k", small).error == "E_DENIED" and fake.ops() == ["PutObject"]
    fake.fault("PutObject", 1, INTERNAL)
    turn = threading.Timer(0, keys.write_text, [f"{fake.keys.access}\n{fake.keys.secret}\n"])
    turn.start()
    turn.join()
    ask.good("put", "k", small)


def test_write_only_credentials(ask_fake, fake, small, big):
    fake.denied = NOT_PUT
    done = ask_fake.good("put-new", "k", small, "--", "upload-new", "u", big, 5 * MIB)
    assert [line.split()[-1] for line in done.lines] == ["unconfirmed", "unconfirmed"]
    assert ask_fake("get", "k").error == ask_fake("list", "").error == ask_fake("delete", "k").error == "E_DENIED"


def test_no_conditional_writes(ask_fake, fake, small, big):
    fake.conditional = "refused"
    done = ask_fake("put-new", "k", small)
    assert done.error == "E_UNSUPPORTED" and "conditional" in done.told
    assert ask_fake("upload-new", "k", big, 5 * MIB).error == "E_UNSUPPORTED"
    ask_fake.good("put", "k", small)


def test_a_read_goes_on_where_it_broke(ask_fake, fake):
    fake.client().put("big", BIG)
    fake.requests.clear()
    fake.fault("GetObject", 1, reset_after=3 * MIB)
    fake.fault("GetObject", 2, reset_after=1 * MIB)
    assert ask_fake.good("get", "big").out == BIG
    begun = [seen for seen in fake.requests if seen.status]
    assert [seen.headers.get("range") for seen in begun] == [None, f"bytes={3 * MIB}-", f"bytes={4 * MIB}-"]
    assert all(seen.headers["if-match"] == f'"{hashlib.md5(BIG).hexdigest()}"' for seen in begun[1:])


def test_a_read_does_not_go_on_in_another_object(ask_fake, fake):
    """It is another from the first answer on, at once: while one is being put, the reader may have asked for the rest of the old one."""
    fake.client().put("big", BIG)
    fake.client().put("another", BIG[::-1])
    fake.fault("GetObject", 1, reset_after=3 * MIB)
    original, objects = fake.seen, fake.store.buckets["backups"].objects

    def seen(op, *rest):
        original(op, *rest)
        if op == "GetObject":
            objects["big"] = objects["another"]
    fake.seen = seen
    done = ask_fake("get", "big")
    assert done.error == "E_CORRUPT", (done.told, len(done.out), [(one.op, one.status, one.headers.get("range")) for one in fake.requests])


def test_a_refusal_costs_no_part(ask_fake, fake, big):
    """Expect: 100-continue: what the head alone forbids is refused before the bytes."""
    fake.denied = frozenset({"UploadPart"})
    began = time.monotonic()
    fake.uplink_bytes_s = MIB // 4  # the whole takes 44 s
    assert ask_fake("upload", "k", big, 5 * MIB).error == "E_DENIED"
    assert time.monotonic() - began < 35


def test_the_clients_own_limits(ask_fake, small):
    assert ask_fake("put", "k" * 1025, small).error == "E_RANGE"
    assert ask_fake("put", "", small).error == "E_RANGE"
    assert ask_fake("list", "k" * 1025).error == "E_RANGE"
    ask_fake.bucket = "no/bucket"
    assert ask_fake("list", "").error == "E_INVALID"
    ask_fake.bucket = "dotted.name"
    assert ask_fake("list", "", S3_VIRTUAL=1).error == "E_ABSENT"  # plain: dots are no matter
