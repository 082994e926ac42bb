"""openssl: the openssl command line as TLS server and TLS client.

    with SServer(folder, ca.server("s"), "-tls1_3") as server: … server.port …        # echoes lines backwards
    result = s_client(port, "-CAfile", ca.cert, "-verify_return_error", data=b"…")
    result.ok, result.protocol, result.cipher, result.text
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .ca import Cert
from .proc import Proc, free_port, run, wait_for


class SServer:
    """`openssl s_server`, started at once. `mode`: "-rev" sends each line back reversed, "-www" answers any GET
    with a page about the session, "-WWW" serves files of `cwd`. `args` are more options, such as "-tls1_2",
    "-Verify", "1", "-CAfile", FILE, "-alpn", "h2". One connection at a time."""

    def __init__(self, folder: Path, cert: Cert, *args: object, mode: str = "-rev", cwd: Path | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        line = ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", cert.cert, "-key", cert.key,
                mode, *map(str, args)]
        self.proc = Proc(line, log=self.folder / "s_server.log", cwd=cwd)
        wait_for(lambda: b"ACCEPT" in self.proc.log.read_bytes() or _listens(self.port), "s_server", 60, self.proc)

    def stop(self) -> int:
        return self.proc.stop()

    def __enter__(self) -> "SServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _listens(port: int) -> bool:
    """Without connecting, for a connection would be the server's first client."""
    wanted = f":{port:04X} "
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1] + " ").endswith(wanted) and fields[3] == "0A":  # TCP_LISTEN
            return True
    return False


@dataclass(frozen=True)
class Session:
    """What s_client saw. `ok`: the handshake was done and the exit code 0. `text`: everything it printed."""
    ok: bool
    code: int
    protocol: str
    cipher: str
    text: str


def s_client(port: int, *args: object, data: bytes = b"", seconds: float = 120, name: str = "localhost") -> Session:
    """Connects, sends `data`, ends with it, and tells of the session. SNI is `name`."""
    line = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, *map(str, args)]
    done = run(line, data=data, check=False, seconds=seconds)
    text = (done.stdout + done.stderr).decode(errors="replace")
    found = re.search(r"New, (\S+), Cipher is (\S+)", text)
    protocol, cipher = (found[1], found[2]) if found else ("", "")
    return Session(done.returncode == 0 and cipher not in ("", "(NONE)"), done.returncode, protocol, cipher, text)
