"""faulty: peers that are slow, stuck, lying and resetting.

    with Proxy(etcd.back_port, down=Faults(reset_after=100_000)) as proxy:      # down: server to client
        … connect to 127.0.0.1:proxy.port …

Proxy passes bytes both ways between a client and a loopback port, with faults for each direction; offsets count
from the start of each connection. Canned is a server that says the same bytes to everybody. Both listen on a free
loopback port and run on threads of this process; close() ends them and all their connections.
"""
from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

_LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST
_CHUNK = 65536


@dataclass(frozen=True)
class Faults:
    """Of one direction. None or 0 is "does not happen"; several may be combined, the one met first wins.

    slow_ms         waits so long before each piece of slow_bytes (1: a byte per slow_ms)
    stuck_after     passes so many bytes, then nothing more; the connection stays open
    reset_after     passes so many, then resets both sides (RST)
    truncate_after  passes so many, then ends this direction cleanly (FIN), as if that were all
    flip_at         inverts the lowest bit of the byte at this offset
    flip_in         with flip_at: of the first byte of the first of these words that comes whole from there on (a fixed offset of an HTTP/2
                    stream is in a frame's head one time in a thousand)
    """
    slow_ms: float = 0
    slow_bytes: int = 1
    stuck_after: int | None = None
    reset_after: int | None = None
    truncate_after: int | None = None
    flip_at: int | None = None
    flip_in: bytes = b""

    def limit(self) -> tuple[int | None, str]:
        """How many bytes may pass, and what happens then."""
        ends = [(self.stuck_after, "stuck"), (self.reset_after, "reset"), (self.truncate_after, "truncate")]
        return min(((at, what) for at, what in ends if at is not None), default=(None, ""))


NONE = Faults()


class _Connection:
    """The sockets of one connection (one, or a proxy's two), ended together."""

    def __init__(self, client: socket.socket):
        self.client = client
        self.sockets = [client]
        self.gone = threading.Event()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connect(self, port: int) -> socket.socket:
        server = socket.create_connection(("127.0.0.1", port), 10)
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets.append(server)
        return server

    def reset(self) -> None:
        """RST to all; threads that wait on them wake, see `gone`, and send nothing more."""
        self.gone.set()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
                sock.shutdown(socket.SHUT_RD)
        self.close()

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class _Server:
    """A loopback listener with a thread that hands each connection to serve() on a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.closed = threading.Event()
        self._open: set[_Connection] = set()  # each from its acceptance on: none is missed by reset_all()
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = _Connection(client)
            with self._lock:
                self._open.add(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: _Connection, number: int) -> None:
        try:
            self.serve(connection, number)
            connection.close()
        except OSError:
            connection.reset()
        with self._lock:
            self._open.discard(connection)

    def serve(self, connection: _Connection, number: int) -> None:
        """To the connection's end; OSError resets it."""
        raise NotImplementedError

    def reset_all(self) -> None:
        """Resets every open connection; new ones are still taken."""
        with self._lock:
            gone = list(self._open)
        for connection in gone:
            connection.reset()

    def close(self) -> None:
        """Idempotent."""
        self.closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(30)  # what it was accepting just now is among the open ones then
        self._listener.close()
        self.reset_all()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Proxy(_Server):
    """To the loopback port `target`. `up` and `down` may be changed at any time, for bytes not yet passed:
    proxy.set(down=Faults(…)). `only` names the one connection (1, 2, …) that has faults; None is all of them.
    bytes_up and bytes_down count what was passed on, over all connections."""

    def __init__(self, target: int, *, up: Faults = NONE, down: Faults = NONE, only: int | None = None):
        self.target, self.up, self.down, self.only = target, up, down, only
        self.bytes_up = self.bytes_down = 0
        super().__init__()

    def set(self, *, up: Faults | None = None, down: Faults | None = None) -> None:
        self.up, self.down = up or self.up, down or self.down

    def serve(self, connection: _Connection, number: int) -> None:
        server = connection.connect(self.target)
        back = threading.Thread(target=self._pass, args=(connection, server, connection.client, "down", number),
                                daemon=True)
        back.start()
        self._pass(connection, connection.client, server, "up", number)
        back.join()

    def _faults(self, way: str, number: int) -> Faults:
        return getattr(self, way) if self.only in (None, number) else NONE

    def _pass(self, connection: _Connection, source: socket.socket, sink: socket.socket, way: str,
              number: int) -> None:
        """One direction, to its end."""
        passed, flipped = 0, False
        try:
            while not connection.gone.is_set():
                faults = self._faults(way, number)
                limit, what = faults.limit()
                if limit is not None and passed >= limit:
                    if self._end(what, connection, sink, way, number):
                        return
                    continue
                size = _CHUNK if limit is None else min(_CHUNK, limit - passed)
                data = source.recv(min(size, faults.slow_bytes) if faults.slow_ms else size)
                faults = self._faults(way, number)  # they may have changed while recv waited
                if self.closed.wait(faults.slow_ms / 1000) or connection.gone.is_set():
                    return
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sent = data if flipped else _flipped(data, passed, faults)
                flipped = flipped or sent != data
                sink.sendall(sent)
                passed += len(data)
                with self._lock:
                    setattr(self, f"bytes_{way}", getattr(self, f"bytes_{way}") + len(data))
        except OSError:
            connection.reset()

    def _end(self, what: str, connection: _Connection, sink: socket.socket, way: str, number: int) -> bool:
        """Does what the limit says; true when this direction is over."""
        if what == "stuck":
            while not connection.gone.wait(0.02) and self._faults(way, number).limit()[1] == "stuck":
                pass
            return connection.gone.is_set()
        if what == "truncate":
            sink.shutdown(socket.SHUT_WR)
            return True
        connection.reset()
        return True


def _flipped(data: bytes, start: int, faults: Faults) -> bytes:
    if faults.flip_at is None or faults.flip_at >= start + len(data):
        return data
    at = faults.flip_at - start
    if faults.flip_in:
        at = data.find(faults.flip_in, max(at, 0))
    if at < 0:
        return data
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


class Canned(_Server):
    """Sends `reply` to everybody, whatever they say. `wait_for` is read for first (b"" answers at once); `then` is
    "close", "hold" (stays open, silent) or "reset". `received` gathers what each connection said."""

    def __init__(self, reply: bytes, *, wait_for: bytes = b"\r\n\r\n", then: str = "close", slow_ms: float = 0):
        self.reply, self.wait_for, self.then, self.slow_ms = reply, wait_for, then, slow_ms
        self.received: list[bytes] = []
        super().__init__()

    def serve(self, connection: _Connection, number: int) -> None:
        client, heard = connection.client, b""
        while self.wait_for and self.wait_for not in heard:
            data = client.recv(_CHUNK)
            if not data:
                break
            heard += data
        self.received.append(heard)
        for piece in ([self.reply] if not self.slow_ms else [bytes([byte]) for byte in self.reply]):
            client.sendall(piece)
            if connection.gone.wait(self.slow_ms / 1000):
                return
        self._finish(connection)

    def _finish(self, connection: _Connection) -> None:
        if self.then == "reset":
            connection.reset()
        elif self.then == "close":
            connection.client.shutdown(socket.SHUT_WR)
            while connection.client.recv(_CHUNK):  # until the other side has gone: closing on unread bytes resets
                pass
        else:
            connection.gone.wait()


def stuck() -> Canned:
    """Takes connections and never says anything."""
    return Canned(b"", wait_for=b"", then="hold")
