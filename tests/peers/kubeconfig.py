"""kubeconfig: files of that format, with every way to log in that we read, or refuse."""
from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .ca import Cert


@dataclass(frozen=True)
class Login:
    """One context with its cluster and user, all of that name. Of token, token_file, cert and exec one at most."""
    name: str
    url: str
    ca: Path | None
    token: str | None = None
    token_file: Path | None = None
    cert: Cert | None = None
    inline: bool = False  # certificates and keys as base64 in the file
    exec: str | None = None  # a plugin's command
    namespace: str | None = None


def _file_or_data(key: str, path: Path, inline: bool) -> str:
    if inline:
        return f"    {key}-data: {base64.b64encode(Path(path).read_bytes()).decode()}"
    return f"    {key}: {path}"


def _cluster(login: Login) -> list[str]:
    lines = ["- cluster:", f"    server: {login.url}"]
    if login.ca:
        lines.append(_file_or_data("certificate-authority", login.ca, login.inline))
    return [*lines, f"  name: {login.name}"]


def _user(login: Login) -> list[str]:
    lines = []
    if login.token:
        lines.append(f"    token: {login.token}")
    if login.token_file:
        lines.append(f"    tokenFile: {login.token_file}")
    if login.cert:
        lines.append(_file_or_data("client-certificate", login.cert.cert, login.inline))
        lines.append(_file_or_data("client-key", login.cert.key, login.inline))
    if login.exec:
        lines += ["    exec:", "      apiVersion: client.authentication.k8s.io/v1", f"      command: {login.exec}", "      interactiveMode: Never"]
    return [f"- name: {login.name}", "  user:" if lines else "  user: {}", *lines]


def _context(login: Login) -> list[str]:
    lines = ["- context:", f"    cluster: {login.name}"]
    if login.namespace:
        lines.append(f"    namespace: {login.namespace}")
    return [*lines, f"    user: {login.name}", f"  name: {login.name}"]


def write_kubeconfig(path: Path, logins: Sequence[Login], current: str | None = None) -> Path:
    """Laid out as kubectl writes it; the current context is the first unless named ("" for none)."""
    lines = ["apiVersion: v1", "clusters:", *(line for login in logins for line in _cluster(login)),
             "contexts:", *(line for login in logins for line in _context(login))]
    current = logins[0].name if current is None else current
    lines += [f"current-context: {current}" if current else 'current-context: ""', "kind: Config", "preferences: {}",
              "users:", *(line for login in logins for line in _user(login))]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path
