"""kubeclient: the API server's objects for the harness: one kept connection per thread, many threads where many objects are.

    client.create("Pod", {...}), client.patch("Pod", "ns", "name", {...}), client.list("Pod"), client.delete(…)
    client.many(lambda one: client.create("Pod", one), objects)          # some 500 to 1000 a second
"""
from __future__ import annotations

import http.client
import json
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Iterable, Iterator

from .kubekinds import kind_of
from .proc import PeerError

PAGE = 500
THREADS = 12
_TYPES = {"PATCH": "application/merge-patch+json"}


class Refused(PeerError):
    """The API server said no; .status and .reason."""

    def __init__(self, line: str, status: int, text: bytes):
        super().__init__(f"{line}: {status} {text[:600].decode(errors='replace')}")
        self.status = status
        try:
            self.reason = json.loads(text).get("reason", "")
        except ValueError:
            self.reason = ""


class KubeClient:
    def __init__(self, port: int, ca: Path, token: str, seconds: float = 60):
        self.port, self.token, self.seconds = port, token, seconds
        self._context = ssl.create_default_context(cafile=str(ca))
        self._local = threading.local()

    def call(self, method: str, path: str, body: object = None, kind: str | None = None) -> dict:
        """One request; Refused when it is not 2xx, OSError when the server cannot be reached. A kept connection that the
        server closed meanwhile is opened again, once."""
        text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind or _TYPES.get(method, "application/json")}
        for last in (False, True):
            connection = getattr(self._local, "connection", None)
            fresh = connection is None
            if fresh:
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=self.seconds, context=self._context)
                self._local.connection = connection
            try:
                connection.request(method, path, text, headers)
                answer = connection.getresponse()
                data = answer.read()
                break
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if fresh or last:
                    raise ConnectionError(f"{method} {path}: {error}") from error
        if not 200 <= answer.status < 300:
            raise Refused(f"{method} {path}", answer.status, data)
        return json.loads(data) if data.startswith(b"{") else {"text": data.decode()}

    def close(self) -> None:
        """This thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection:
            connection.close()
        self._local.connection = None

    def create(self, kind: str, body: dict) -> dict:
        return self.call("POST", kind_of(kind).path(body["metadata"].get("namespace")), body)

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict:
        return self.call("GET", kind_of(kind).path(namespace, name))

    def patch(self, kind: str, name: str, body: dict, namespace: str | None = None, sub: str = "") -> dict:
        """A merge patch; sub is "status" for that subresource."""
        return self.call("PATCH", kind_of(kind).path(namespace, name) + (f"/{sub}" if sub else ""), body)

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """At once: no grace."""
        self.call("DELETE", kind_of(kind).path(namespace, name), {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})

    def list(self, kind: str, namespace: str | None = None, query: str = "") -> list[dict]:
        """All objects of a kind; in pages of one state of the store."""
        return list(self._pages(kind_of(kind).path(namespace), query))

    def count(self, kind: str) -> int:
        """How many there are, by the server's own count."""
        answer = self.call("GET", f"{kind_of(kind).path()}?limit=1")
        return len(answer.get("items") or ()) + answer["metadata"].get("remainingItemCount", 0)

    def _pages(self, path: str, query: str) -> Iterator[dict]:
        more = ""
        while True:
            answer = self.call("GET", f"{path}?limit={PAGE}{query}" + (f"&continue={more}" if more else ""))
            yield from answer.get("items") or ()
            more = answer["metadata"].get("continue", "")
            if not more:
                return

    def many(self, work: Callable[[object], object], items: Iterable, threads: int = THREADS) -> list:
        """work(item) for all, by several threads; results in the items' order. The first error ends it."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))
