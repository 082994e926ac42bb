"""gate: what stands before an etcd member's peer port, so that one member can be cut off from the others and they from it.

    cluster = Cluster(folder, 3, "3.7", gated=True)
    cluster.cut_off(member); cluster.cut_off(None)

etcd says in each request between members who asks (X-Server-From): a gate refuses what goes to a member that is cut off, and what comes
from it.
"""
from __future__ import annotations

import re
import socket
import threading

from .faulty import _CHUNK, _Connection, _Server

HEAD_BYTES_MAX = 16 << 10


class Gate(_Server):
    """To the loopback port `target`. closed: nobody passes; refused: ids (hexadecimal, as etcd writes them) that do not."""

    def __init__(self, target: int):
        self.target, self.closed_to_all, self.refused = target, False, frozenset()
        super().__init__()

    def set(self, closed_to_all: bool, refused: frozenset) -> None:
        """What is open now is reset, and has to ask anew."""
        self.closed_to_all, self.refused = closed_to_all, refused
        self.reset_all()

    def serve(self, connection: _Connection, number: int) -> None:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES_MAX:
            data = connection.client.recv(_CHUNK)
            if not data:
                return
            head += data
        asks = re.search(rb"(?im)^x-server-from: *([0-9a-f]+)", head)
        if self.closed_to_all or (asks and asks[1].decode() in self.refused):
            connection.reset()
            return
        server = connection.connect(self.target)
        server.sendall(head)
        back = threading.Thread(target=_copy, args=(server, connection.client), daemon=True)
        back.start()
        _copy(connection.client, server)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
