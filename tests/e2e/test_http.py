"""HTTP and TLS with others' clients and servers: curl, Python, openssl, wrk and nginx on both sides.

The program is tests/e2e/serve.c: $HOLDFAST_SERVE, else e2e/serve beside the binary under test.
"""
from __future__ import annotations

import http.client
import http.server
import os
import re
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from peers.curl import curl
from peers.nginx import Nginx
from peers.openssl import s_client
from peers.proc import Proc, run, wait_for

LAST = b"GET / HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n"
PLAIN_REST_BYTES_MAX = 1024
TLS_REST_BYTES_MAX = 24 * 1024


def pattern(count: int) -> bytes:
    return bytes(ord("a") + (at + at // 251) % 26 for at in range(count))


@pytest.fixture(scope="session")
def program(holdfast) -> Path:
    path = Path(os.environ.get("HOLDFAST_SERVE", holdfast.parent / "e2e" / "serve"))
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`, or set HOLDFAST_SERVE"
    return path


class Served:
    """A running `serve listen`."""

    def __init__(self, program: Path, folder: Path, *args: object, tls: bool = False):
        self.proc = Proc([program, "listen", "127.0.0.1:0", *map(str, args)], log=folder / "serve.log")
        found = wait_for(lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", self.proc.log_text()), "serve", 30, self.proc)
        self.port = int(found[1])
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def raw(self, data: bytes, seconds: float = 60) -> bytes:
        """Everything that comes back until the server ends; TimeoutError when it does not."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as sock:
            sock.sendall(data)
            return read_all(sock)

    def close(self) -> None:
        self.proc.stop()


def read_all(sock: socket.socket) -> bytes:
    got = b""
    while piece := sock.recv(65536):
        got += piece
    return got


def statuses(data: bytes) -> str:
    return " ".join(found.decode() for found in re.findall(rb"HTTP/1\.1 (\d{3})", data))


def use(text: bytes) -> dict[str, int]:
    return {key: int(value) for key, value in (pair.split("=") for pair in text.decode().split())}


@pytest.fixture
def served(program, tmp_path):
    server = Served(program, tmp_path)
    yield server
    assert server.proc.stop() == 0, server.proc.log_tail()


@pytest.fixture
def served_tls(program, tmp_path, server_cert):
    server = Served(program, tmp_path, server_cert.cert, server_cert.key, tls=True)
    yield server
    assert server.proc.stop() == 0, server.proc.log_tail()


# --- curl

CURL = [  # name, path, options, data, status, body
    ("HTTP/1.1", "/", [], None, 200, b"hello\n"),
    ("HTTP/1.0", "/", ["--http1.0"], None, 200, b"hello\n"),
    ("HTTP/1.0, no length", "/big?bytes=30000", ["--http1.0"], None, 200, pattern(30000)),
    ("HEAD", "/", ["--head"], None, 200, b""),
    ("HEAD of a large one", "/sized?bytes=900000", ["--head"], None, 200, b""),
    ("chunked down", "/big?bytes=300000", [], None, 200, pattern(300000)),
    ("length down", "/sized?bytes=300000", [], None, 200, pattern(300000)),
    ("not there", "/none", [], None, 404, b"not here\n"),
    ("204", "/204", [], None, 204, b""),
    ("304", "/304", [], None, 304, b""),
    ("POST", "/count", [], b"x" * 5000, 200, b"5000 bytes\n"),
    ("POST of nothing", "/count", [], b"", 200, b"0 bytes\n"),
    ("POST chunked", "/count", ["-H", "Transfer-Encoding: chunked"], b"x" * 200000, 200, b"200000 bytes\n"),
    ("POST with expect", "/count", ["-H", "Expect: 100-continue"], b"x" * 900000, 200, b"900000 bytes\n"),
    ("echo with a length", "/echo", [], pattern(700000), 200, pattern(700000)),
    ("echo chunked", "/echo", ["-H", "Transfer-Encoding: chunked"], pattern(700000), 200, pattern(700000)),
    ("body too large", "/count", ["-H", "Expect:"], b"x" * 1100000, 413, b"body too large\n"),
    ("body too large, told before it", "/count", ["-H", "Expect: 100-continue"], b"x" * 1100000, 413, b"body too large\n"),
    ("handler fails", "/fails", [], None, 500, b"the request failed\n"),
    ("header too large", "/", ["-H", "X-Large: " + "x" * 9000], None, 431, None),
    ("path too long", "/" + "x" * 9000, [], None, 414, None),
    ("PUT", "/echo", ["-X", "PUT"], b"abc", 200, b"abc"),
    ("DELETE", "/", ["-X", "DELETE"], None, 200, b"hello\n"),
    ("strange method", "/", ["-X", "BREW"], None, 501, None),
]


@pytest.mark.parametrize("path, options, data, status, body", [row[1:] for row in CURL], ids=[row[0] for row in CURL])
def test_curl(served, path, options, data, status, body):
    answer = curl(served.url + path, *options, data=data)
    assert (answer.code, answer.status) == (0, status), answer.error
    if body is not None and "--head" not in options:
        assert answer.body == body
    assert "server" not in answer.headers and answer.headers["date"].endswith("GMT")


def test_curl_keeps_its_connection(served):
    done = run(["curl", "-q", "-sS", "-w", "%{num_connects}", "-o", "/dev/null", served.url + "/",
                "-o", "/dev/null", served.url + "/big?bytes=100000", "-o", "/dev/null", served.url + "/none"])
    assert done.stdout == b"100"


@pytest.mark.parametrize("version", [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3"]], ids=["1.2", "1.3"])
@pytest.mark.parametrize("data", [None, pattern(600000)], ids=["GET", "echo"])
def test_curl_over_tls(served_tls, ca, version, data):
    answer = curl(served_tls.url + ("/echo" if data else "/big?bytes=600000"), *version, data=data, cacert=ca.cert)
    assert (answer.code, answer.status, answer.body) == (0, 200, pattern(600000)), answer.error


def test_client_certificates(program, tmp_path, ca, other_ca, server_cert, client_cert):
    server = Served(program, tmp_path, server_cert.cert, server_cert.key, ca.cert, tls=True)
    try:
        good = curl(server.url + "/", cacert=ca.cert, client=client_cert)
        none = curl(server.url + "/", cacert=ca.cert)
        stranger = curl(server.url + "/", cacert=ca.cert, client=other_ca.client("stranger"))
        assert (good.code, good.status) == (0, 200), good.error
        assert none.status == 0 and none.code != 0
        assert stranger.status == 0 and stranger.code != 0
        assert curl(server.url + "/", cacert=ca.cert, client=client_cert).status == 200
    finally:
        server.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(served_tls, ca, version):
    seen = s_client(served_tls.port, "-CAfile", ca.cert, "-verify_return_error", "-ign_eof", version, data=LAST)
    assert seen.ok and "hello" in seen.text and seen.protocol == ("TLSv1.2" if version == "-tls1_2" else "TLSv1.3")


# --- Python

def test_python_keeps_its_connection(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    ports = set()
    for turn in range(20):
        connection.request("POST", "/echo", body=iter([b"abc", b"d" * 5000]), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == b"abc" + b"d" * 5000
        ports.add(connection.sock.getsockname()[1])
    assert len(ports) == 1
    connection.close()


def test_a_body_is_answered_while_it_comes(served):
    with socket.create_connection(("127.0.0.1", served.port), 60) as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        got = b""
        for turn in range(5):
            sock.sendall(b"5\r\nturn%d\r\n" % turn)
            while b"turn%d" % turn not in got:
                piece = sock.recv(4096)
                assert piece
                got += piece
        sock.sendall(b"0\r\n\r\n" + LAST)
        assert statuses(got + read_all(sock)) == "200 200"


def test_a_connection_taken_over(served):
    with socket.create_connection(("127.0.0.1", served.port), 60) as sock:
        sock.sendall(b"GET /take-over HTTP/1.1\r\nHost: h\r\n\r\nfirst ")
        sock.sendall(b"second ")
        time.sleep(0.1)
        sock.sendall(b"third")
        sock.shutdown(socket.SHUT_WR)
        got = read_all(sock)
    assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"\r\n\r\nfirst second third")


# --- load and fronts

@pytest.mark.parametrize("path", ["/", "/big?bytes=20000"])
def test_wrk_finds_no_error(served, path):
    done = run(["wrk", "-t", "2", "-c", "24", "-d", "2s", "--timeout", "60s", served.url + path]).stdout.decode()
    print(done)
    assert int(re.search(r"(\d+) requests in", done)[1]) > 48
    assert "Socket errors" not in done and "Non-2xx" not in done
    wait_for(lambda: use(curl(served.url + "/use").body)["connections"] == 1, "wrk's connections are gone", 30)


def test_wrk_over_tls(served_tls):
    done = run(["wrk", "-t", "2", "-c", "12", "-d", "2s", "--timeout", "60s", served_tls.url + "/"]).stdout.decode()
    print(done)
    assert int(re.search(r"(\d+) requests in", done)[1]) > 24
    assert "Socket errors" not in done and "Non-2xx" not in done


def test_behind_nginx(served, tmp_path):
    with Nginx(tmp_path / "nginx", proxy=f"http://127.0.0.1:{served.port}") as nginx:
        assert curl(nginx.url + "/").body == b"hello\n"
        assert curl(nginx.url + "/big?bytes=400000").body == pattern(400000)
        assert curl(nginx.url + "/sized?bytes=400000").body == pattern(400000)
        assert curl(nginx.url + "/echo", data=pattern(500000)).body == pattern(500000)
        assert curl(nginx.url + "/echo", "-H", "Transfer-Encoding: chunked", data=pattern(500000)).body == pattern(500000)
        assert curl(nginx.url + "/", "--head").headers["content-length"] == "6"
        assert curl(nginx.url + "/fails").status == 500
        assert curl(nginx.url + "/fails-late").code != 0


# --- what two readers may frame differently

GET = b"GET / HTTP/1.1\r\n"
POST = b"POST /count HTTP/1.1\r\nHost: h\r\n"
TE = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"0\r\n\r\n"
REFUSED = [  # name, bytes, status
    ("both lengths", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY, 400),
    ("both lengths, the other way round", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + BODY, 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    ("a list of lengths", POST + b"Content-Length: 5, 6\r\n\r\nhello", 400),
    ("length with a plus", POST + b"Content-Length: +5\r\n\r\nhello", 400),
    ("negative length", POST + b"Content-Length: -5\r\n\r\nhello", 400),
    ("hexadecimal length", POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    ("length with a blank inside", POST + b"Content-Length: 5 5\r\n\r\nhello", 400),
    ("empty length", POST + b"Content-Length: \r\n\r\nhello", 400),
    ("length over 64 bits", POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    ("length over the limit", POST + b"Content-Length: 9999999999\r\n\r\n", 413),
    ("blank before the colon", POST + b"Content-Length : 5\r\n\r\nhello", 400),
    ("tab before the colon", POST + b"Transfer-Encoding\t: chunked\r\n\r\n" + BODY, 400),
    ("blank before the name", GET + b"Host: h\r\n Content-Length: 5\r\n\r\nhello", 400),
    ("obs-fold", GET + b"Host: h\r\nX: a\r\n b\r\n\r\n", 400),
    ("obs-fold with a tab", GET + b"Host: h\r\nX: a\r\n\tb\r\n\r\n", 400),
    ("obs-fold of Transfer-Encoding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + BODY, 400),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: h\n\n", 400),
    ("bare LF in a field", GET + b"Host: h\nX: y\r\n\r\n", 400),
    ("bare LF before the end", GET + b"Host: h\r\n\n", 400),
    ("bare CR in a value", GET + b"Host: h\r\nX: a\rb\r\n\r\n", 400),
    ("bare CR as line end", GET + b"Host: h\rX: y\r\n\r\n", 400),
    ("zero byte in a value", GET + b"Host: h\r\nX: a\0b\r\n\r\n", 400),
    ("zero byte in the path", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("no colon", GET + b"Host: h\r\nnonsense\r\n\r\n", 400),
    ("empty name", GET + b"Host: h\r\n: x\r\n\r\n", 400),
    ("name that is no token", GET + b"Host: h\r\nX(y: z\r\n\r\n", 400),
    ("no Host", GET + b"\r\n", 400),
    ("two Hosts", GET + b"Host: a\r\nHost: b\r\n\r\n", 400),
    ("two equal Hosts", GET + b"Host: a\r\nHost: a\r\n\r\n", 400),
    ("Host with a path", GET + b"Host: a/b\r\n\r\n", 400),
    ("Host with a blank", GET + b"Host: a b\r\n\r\n", 400),
    ("unknown coding below chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + BODY, 501),
    ("not chunked at all", POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),  # RFC 9112 6.3
    ("chunked not last", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + BODY, 400),
    ("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + BODY, 400),
    ("chunked in two fields", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY, 400),
    ("identity beside chunked", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + BODY, None),
    ("xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY, 400),
    ("chunked with vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + BODY, 400),
    ("chunked in HTTP/1.0", b"POST /count HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY, 400),
    ("chunk size with 0x", TE + b"0x5\r\nhello\r\n" + BODY, 400),
    ("chunk size with a plus", TE + b"+5\r\nhello\r\n" + BODY, 400),
    ("negative chunk size", TE + b"-5\r\nhello\r\n" + BODY, 400),
    ("chunk size with a blank before", TE + b" 5\r\nhello\r\n" + BODY, 400),
    ("empty chunk size", TE + b"\r\nhello\r\n" + BODY, 400),
    ("chunk size of 17 digits", TE + b"10000000000000005\r\nhello\r\n" + BODY, 400),
    ("chunk size over the limit", TE + b"ffffffff\r\nhello\r\n" + BODY, 413),
    ("chunk size with bare LF", TE + b"5\nhello\r\n" + BODY, 400),
    ("chunk data longer than its size", TE + b"4\r\nhello\r\n" + BODY, 400),
    ("chunk data with bare LF", TE + b"5\r\nhello\n" + BODY, 400),
    ("chunk extension with bare LF", TE + b"5;a=b\nhello\r\n" + BODY, 400),
    ("chunk extension without end", TE + b"5;" + b"a" * 1000, 400),
    ("trailer that is no field", TE + b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n", 400),
    ("trailer with obs-fold", TE + b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", 400),
    ("trailers without end", TE + b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 200, 431),
    ("blank before the method", b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("two blanks in the line", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("tabs in the line", b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("a fourth word", b"GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("version in lower case", b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    ("HTTP/1.1 with more digits", b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ("HTTP/0.9 as a version", b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    ("path that is no path", b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("method in lower case", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    ("method that is no token", b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("CONNECT", b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", 501),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    ("unknown expectation", GET + b"Host: h\r\nExpect: x\r\n\r\n", 417),
    ("65 fields", GET + b"Host: h\r\n" + b"X: y\r\n" * 64 + b"\r\n", 431),
    ("a large head", GET + b"Host: h\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
    ("a long line", b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"x" * 100 + b"\r\n\r\n", 400),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
]


@pytest.fixture(scope="module")
def served_for_all(program, tmp_path_factory):
    server = Served(program, tmp_path_factory.mktemp("serve"))
    yield server
    assert server.proc.stop() == 0, server.proc.log_tail()


@pytest.mark.parametrize("data, status", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_closed(served_for_all, data, status):
    """One answer, the right one, and the request behind it is never looked at."""
    got = statuses(served_for_all.raw(data + LAST))
    assert got == str(status) if status else got in ("400", "501", "505")


KEPT = [  # names that two readers frame alike, and the statuses with the last request's
    ("lengths that agree are still one length", POST + b"Content-Length: 5\r\n\r\nhello", "200 200"),
    ("chunk extension", TE + b"5;a=b\r\nhello\r\n" + BODY, "200 200"),
    ("chunk size in capitals with zeros", TE + b"000A\r\n0123456789\r\n" + BODY, "200 200"),
    ("trailers", TE + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", "200 200"),
    ("Transfer-Encoding in capitals", POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + BODY, "200 200"),
    ("absolute form", b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "200 200"),
    ("empty line before", b"\r\n" + GET + b"Host: h\r\n\r\n", "200 200"),
    ("pipelined", (GET + b"Host: h\r\n\r\n") * 50, " ".join(["200"] * 51)),
]


@pytest.mark.parametrize("data, wanted", [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_understood_and_kept(served_for_all, data, wanted):
    assert statuses(served_for_all.raw(data + LAST)) == wanted


# --- memory at rest

def rest_bytes(server: Served, opened) -> int:
    """Heap of the server's task for each of 20 connections at rest, beside the fixed record. The connection that asks is
    there both times."""
    def ask() -> dict[str, int]:
        with opened() as sock:
            sock.sendall(b"GET /use HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return use(read_all(sock).split(b"\r\n\r\n", 1)[1])

    def ask_when(**wanted: int) -> dict[str, int]:
        return wait_for(lambda: (seen := ask()).items() >= wanted.items() and seen, f"{wanted}", 120, server.proc)

    ask()
    before = ask_when(connections=1)  # only the one that asks: those before it have gone
    socks = []
    for _ in range(20):
        sock = opened()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        socks.append(sock)
    after = ask_when(connections=21, resting=20)
    assert after["fibers"] == before["fibers"]
    for sock in socks:
        sock.close()
    return (after["heap"] - before["heap"]) // 20


def test_memory_at_rest_plain(served):
    each = rest_bytes(served, lambda: socket.create_connection(("127.0.0.1", served.port), 60))
    print(f"a plain connection at rest: {each} bytes of heap")
    assert 0 <= each < PLAIN_REST_BYTES_MAX


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_memory_at_rest_tls(served_tls, ca, version):
    context = ssl.create_default_context(cafile=str(ca.cert))
    context.minimum_version = context.maximum_version = version

    def opened() -> ssl.SSLSocket:
        return context.wrap_socket(socket.create_connection(("127.0.0.1", served_tls.port), 60), server_hostname="localhost")

    each = rest_bytes(served_tls, opened)
    print(f"a {version.name} connection at rest: {each} bytes of heap")
    assert 0 < each < TLS_REST_BYTES_MAX


def test_stacks_are_not_filled(served_tls, ca):
    """After a body both ways over TLS."""
    assert curl(served_tls.url + "/echo", data=pattern(300000), cacert=ca.cert).body == pattern(300000)
    seen = use(curl(served_tls.url + "/use", cacert=ca.cert).body)
    print(f"deepest stack of the listener's fibers: {seen['stack']} of {seen['stack_bytes']} bytes")
    assert 0 < seen["stack"] < seen["stack_bytes"] * 3 // 4


def test_stops_with_connections_at_rest(program, tmp_path):
    server = Served(program, tmp_path)
    socks = [socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(5)]
    wait_for(lambda: use(curl(server.url + "/use").body)["connections"] == 6, "all are accepted", 120, server.proc)
    began = time.monotonic()
    assert server.proc.stop() == 0
    assert time.monotonic() - began < 50  # at rest they would stay a minute
    assert all(sock.recv(1) == b"" for sock in socks)


# --- our client

NGINX = """
        keepalive_requests 2;
        location = /204 { return 204; }
        location = /304 { return 304; }
        location = /404 { return 404 "no\\n"; }
        location = /headers { %s return 200 "big\\n"; }
        location = /post { client_max_body_size 4m; proxy_pass http://127.0.0.1:%d/count; proxy_http_version 1.1; }
        location = /chunked { proxy_pass http://127.0.0.1:%d/big?bytes=300000; proxy_http_version 1.1; proxy_buffering off; }
"""


def fetch(program: Path, url: str, *args: object):
    """(exit code, "status …" lines, body)."""
    done = run([program, "fetch", url, *map(str, args)], check=False)
    return done.returncode, done.stderr.decode(errors="replace").splitlines(), done.stdout


@pytest.fixture(params=["plain", "tls"])
def nginx(request, served, tmp_path, ca, server_cert):
    """(url, more arguments): nginx with what a client may meet, plain and over TLS."""
    tls = request.param == "tls"
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "file").write_bytes(pattern(500000))
    (folder / "empty").write_bytes(b"")
    lines = NGINX % (f'add_header X-Big "{"x" * 3000}"; ' * 4, served.port, served.port)
    with Nginx(tmp_path / "nginx", tls=server_cert if tls else None, serve=folder, server=lines) as nginx:
        yield f"{'https' if tls else 'http'}://localhost:{nginx.port}", [ca.cert] if tls else []


FETCH = [  # name, path, options, lines, body
    ("file", "/file", [], ["status 200 bytes 500000 kept"], pattern(500000)),
    ("empty file", "/empty", [], ["status 200 bytes 0 kept"], b""),
    ("three times, kept for two", "/file", ["-n", 3],
     ["status 200 bytes 500000 kept", "status 200 bytes 500000 ends", "status 200 bytes 500000 kept"], pattern(500000)),
    ("HEAD", "/file", ["-m", "HEAD"], ["status 200 bytes 0 kept"], b""),
    ("204", "/204", [], ["status 204 bytes 0 kept"], b""),
    ("304", "/304", [], ["status 304 bytes 0 kept"], b""),
    ("404", "/404", [], ["status 404 bytes 3 kept"], b"no\n"),
    ("large headers", "/headers", [], ["status 200 bytes 4 kept"], b"big\n"),
    ("chunked", "/chunked", [], ["status 200 bytes 300000 kept"], pattern(300000)),
    ("POST with a length", "/post", ["-m", "POST", "-b", 700000], ["status 200 bytes 13 kept"], b"700000 bytes\n"),
    ("POST in chunks", "/post", ["-m", "POST", "-c", 700000], ["status 200 bytes 13 kept"], b"700000 bytes\n"),
    ("POST with expect", "/post", ["-m", "POST", "-b", 700000, "-e"], ["status 200 bytes 13 kept"], b"700000 bytes\n"),
    ("POST of nothing", "/post", ["-m", "POST"], ["status 200 bytes 8 kept"], b"0 bytes\n"),
]


@pytest.mark.parametrize("path, options, lines, body", [row[1:] for row in FETCH], ids=[row[0] for row in FETCH])
def test_our_client_at_nginx(program, nginx, path, options, lines, body):
    url, more = nginx
    assert fetch(program, url + path, *more, *options) == (0, lines, body)


def test_our_client_trusts_nobody_else(program, tmp_path, other_ca, server_cert):
    with Nginx(tmp_path / "nginx", tls=server_cert) as nginx:
        code, lines, body = fetch(program, f"https://localhost:{nginx.port}/", other_ca.cert)
    assert code == 1 and "E_CERT_UNTRUSTED" in lines[-1] and body == b""


def test_our_client_at_python(program, tmp_path):
    (tmp_path / "file").write_bytes(pattern(300000))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **how):
            super().__init__(*args, directory=str(tmp_path), **how)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://localhost:{server.server_address[1]}"
        assert fetch(program, url + "/file", "-n", 2) == (0, ["status 200 bytes 300000 ends"] * 2, pattern(300000))
        code, lines, _ = fetch(program, url + "/none")
        assert code == 0 and lines[0].startswith("status 404 ")
        server.shutdown()


def test_our_client_where_nobody_listens(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, lines, _ = fetch(program, f"http://localhost:{taken.getsockname()[1]}/")
    assert code == 1 and "E_REFUSED" in lines[-1] and "127.0.0.1" in lines[-1] and "[::1]" in lines[-1]
