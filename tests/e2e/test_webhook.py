"""Our webhook client against Python's HTTP and HTTPS servers. The program is tests/e2e/ask.c: e2e/ask beside the binary under test."""
from __future__ import annotations

import http.server
import os
import socket
import ssl
import struct
import threading
import time

import pytest

from peers.proc import free_port, run

SECRET = "T0TOPSECRET9"
JSON = '{"event":"backup-failed","text":"Ünï"}'


@pytest.fixture(scope="session")
def ask(holdfast):
    path = holdfast.parent / "e2e" / "ask"
    assert os.access(path, os.X_OK), f"{path} is not there: run `make probes`"

    def ask(*words, timeout_ms: int = 10_000):
        done = run([path, *map(str, words)], check=False, env={"ASK_MS": str(timeout_ms)})
        told = done.stderr.decode()
        assert SECRET not in told and "/hook" not in told  # whatever happened
        return done.returncode, told
    return ask


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.command, self.path, self.headers["Content-Type"], body.decode()))
        self.server.behave(self)

    def do_GET(self):
        self.server.seen.append((self.command, self.path, self.headers["Content-Type"], ""))
        self.server.behave(self)

    def log_message(self, *_):
        pass


def answers(status: int, body: bytes = b"ok", **headers: str):
    def behave(visit):
        visit.send_response(status)
        for name, value in headers.items():
            visit.send_header(name, value)
        visit.send_header("Content-Length", str(len(body)))
        visit.end_headers()
        visit.wfile.write(body)
    return behave


def hangs(visit):
    visit.server.ended.wait(30)
    visit.close_connection = True


def resets(visit):
    """In the middle of its head."""
    visit.wfile.write(b"HTTP/1.1 200 O")
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.connection.close()
    visit.close_connection = True


def never_stops(visit, seconds: float = 30):
    """An answer without an end."""
    visit.send_response(500)
    visit.end_headers()
    visit.close_connection = True
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            visit.wfile.write(b"x" * 65536)
            visit.server.sent += 65536
    except OSError:
        pass


@pytest.fixture
def serve():
    """serve(behave, cert=None): a running server; .url ends with the hook's secret path, .seen has what came."""
    started = []

    def start(behave, cert=None, name="127.0.0.1"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        server.behave, server.seen, server.sent, server.ended = behave, [], 0, threading.Event()
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert.cert, cert.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = f"{'https' if cert else 'http'}://{name}:{server.server_address[1]}/hook/{SECRET}?wait=true"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.ended.set()
        server.shutdown()
        server.server_close()


def test_post_and_get(ask, serve):
    server = serve(answers(204, b""))
    assert ask("post", JSON, server.url) == (0, "")
    assert ask("get", server.url) == (0, "")
    path = f"/hook/{SECRET}?wait=true"
    assert server.seen == [("POST", path, "application/json", JSON), ("GET", path, None, "")]


BAD = [  # name, what it does, the error, words
    ("500", answers(500, b"out of order"), "E_REMOTE", "127.0.0.1 answered 500: out of order"),
    ("404 with the address", answers(404, f"no /hook/{SECRET}".encode()), "E_REMOTE", "answered 404, and repeated the address"),
    ("301", answers(301, b"", Location=f"http://127.0.0.1:1/hook/{SECRET}"), "E_REMOTE", "redirects are not followed"),
    ("308", answers(308, b"", Location="/elsewhere"), "E_REMOTE", "answered 308"),
    ("reset", resets, "E_RESET", "waiting for the answer"),
]


@pytest.mark.parametrize("behave, code, words", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_answers(ask, serve, behave, code, words):
    server = serve(behave)
    for call in (("post", JSON), ("get",)):
        exit_code, told = ask(*call, server.url)
        assert exit_code == 1 and told.startswith(code + " ") and words in told
    assert len(server.seen) == 2  # nothing was followed or tried again


def test_one_that_hangs(ask, serve):
    began = time.monotonic()
    exit_code, told = ask("post", JSON, serve(hangs).url, timeout_ms=700)
    assert exit_code == 1 and told.startswith("E_TIMEOUT ") and 0.6 <= time.monotonic() - began < 9  # not the 10 s of the others


def test_an_answer_without_end_is_left(ask, serve):
    server = serve(never_stops)
    began = time.monotonic()
    exit_code, told = ask("post", JSON, server.url)
    assert exit_code == 1 and "answered 500: xxx" in told and len(told) < 300
    assert time.monotonic() - began < 29 and server.sent < 16 << 20  # what the kernel buffers, and no more


def test_a_good_answer_in_drips_is_success(ask, serve):
    def drips(visit):
        visit.send_response(200)
        visit.end_headers()
        for _ in range(300):
            visit.wfile.write(b".")
            time.sleep(0.1)
    began = time.monotonic()
    assert ask("post", JSON, serve(drips).url) == (0, "")
    assert time.monotonic() - began < 29  # the whole of it takes 30


def test_nobody_there(ask):
    exit_code, told = ask("post", JSON, f"http://127.0.0.1:{free_port()}/hook/{SECRET}")
    assert exit_code == 1 and told.startswith("E_REFUSED ")


def test_tls_of_a_private_authority(ask, serve, ca, other_ca, server_cert):
    server = serve(answers(200), server_cert, "localhost")
    assert ask("post", JSON, server.url, ca.cert) == (0, "")
    assert ask("get", server.url, ca.cert) == (0, "")
    assert [seen[0] for seen in server.seen] == ["POST", "GET"]
    exit_code, told = ask("post", JSON, server.url, other_ca.cert)
    assert exit_code == 1 and told.startswith("E_CERT_UNTRUSTED ")
    assert len(server.seen) == 2


def test_tls_certificates_that_are_wrong(ask, serve, ca):
    name = serve(answers(200), ca.server("other", names=["other.example"]), "localhost")
    exit_code, told = ask("post", JSON, name.url, ca.cert)
    assert exit_code == 1 and told.startswith("E_CERT_NAME ") and name.seen == []
    old = serve(answers(200), ca.server("old", expired=True), "localhost")
    exit_code, told = ask("post", JSON, old.url, ca.cert)
    assert exit_code == 1 and told.startswith("E_CERT_TIME ") and old.seen == []
