"""receiver: an HTTP server that takes webhooks and pings, and keeps what came.

    with Receiver() as receiver:  …  receiver.webhook, receiver.ping      # URLs for the configuration
    receiver.events                                                       # Event: at, kind, destination, body
"""
from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_MAX = 1 << 20


@dataclass(frozen=True)
class Event:
    """One webhook: `at` is time.time(), body the JSON; kind and destination as the body says."""
    at: float
    body: dict = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.body.get("event", ""))

    @property
    def destination(self) -> str:
        return str(self.body.get("destination", ""))


class Receiver:
    """`status` is what everybody is answered; it may be changed at any time."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pings: list[float] = []
        self.wrong: list[str] = []  # requests that are neither
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), BODY_MAX))
                try:
                    outer.events.append(Event(time.time(), json.loads(body)))
                except ValueError:
                    outer.wrong.append(f"POST {self.path}: {body[:200]!r}")
                self._answer()

            def do_GET(self) -> None:
                if self.path.startswith("/ping"):
                    outer.pings.append(time.time())
                else:
                    outer.wrong.append(f"GET {self.path}")
                self._answer()

            def _answer(self) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def webhook(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ping(self) -> str:
        return f"http://127.0.0.1:{self.port}/ping"

    def since(self, at: float, destination: str | None = None) -> list[Event]:
        return [event for event in list(self.events) if event.at >= at and destination in (None, event.destination)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
