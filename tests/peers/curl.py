"""curl: the real curl as a client; nothing of the user's own configuration or environment takes part.

    answer = curl(url, "-X", "POST", data=b"…", cacert=ca.cert, client=cert)
    answer.code (curl's exit code), answer.status, answer.headers["content-type"], answer.body
"""
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .ca import Cert
from .proc import run

_UNWANTED = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class Answer:
    """`status` is 0 when there was no answer; headers have lower-case names, of the last response."""
    code: int
    status: int
    headers: dict[str, str]
    body: bytes
    error: str


def curl(url: str, *args: object, data: bytes | None = None, cacert: Path | None = None, client: Cert | None = None,
         seconds: float = 120) -> Answer:
    """One transfer; never raises for what the server does. `data` is sent as the body (POST unless args say)."""
    line = ["curl", "-q", "-sS", "--noproxy", "*", "--max-time", str(seconds), "-D", "/dev/stderr",
            "-w", "%{stderr}\n\x01%{http_code}"]
    if cacert:
        line += ["--cacert", str(cacert)]
    if client:
        line += ["--cert", str(client.cert), "--key", str(client.key)]
    if data is not None:
        line += ["--data-binary", "@-"]
    env = {key: value for key, value in os.environ.items() if key not in _UNWANTED and key.lower() not in _UNWANTED}
    done = run([*line, *map(str, args), url], data=data, env=env, check=False, seconds=seconds + 60)
    text, _, status = done.stderr.decode("latin-1").partition("\x01")
    heads, errors = _heads(text)
    return Answer(done.returncode, int(status.strip()[:3] or 0), heads, done.stdout, errors)


def _heads(text: str) -> tuple[dict[str, str], str]:
    headers: dict[str, str] = {}
    errors = []
    for line in text.splitlines():
        if line.startswith("HTTP/"):
            headers = {}
        elif line.startswith("curl: "):
            errors.append(line)
        elif ":" in line:
            key, value = line.split(":", 1)
            headers[key.strip().lower()] = value.strip()
    return headers, "\n".join(errors)
