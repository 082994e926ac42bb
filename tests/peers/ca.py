"""ca: throwaway certificate authorities, made with the openssl command line.

    ca = Ca(folder)                      # ca.cert is the file that trusts it
    server = ca.server("etcd")           # for 127.0.0.1, ::1 and localhost
    client = ca.client("hub")
    ca.server("old", expired=True), ca.server("other", names=["other.example"]), Ca(folder2).server(…)

Keys are EC P-256, or RSA 2048 with kind="rsa", or Ed25519; files are <name>.pem and <name>-key.pem, keys with mode 0600.
Server certificates may also act as clients: etcd's gateway shows its own certificate to itself.
"""
from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .proc import run

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CONFIG = """\
[req]
prompt = no
distinguished_name = dn
[dn]
CN = {name}
[ext]
{extensions}
[ca]
default_ca = main
[main]
dir = {folder}
database = $dir/{name}.index
serial = $dir/{name}.serial
new_certs_dir = $dir
default_md = sha256
policy = any
copy_extensions = none
[any]
commonName = supplied
"""
_EXT_CA = """\
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash"""
_EXT_LEAF = """\
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature{encipher}
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid{names}"""


@dataclass(frozen=True)
class Cert:
    """Files of one certificate: `cert` and `key`, and `ca`, the file of who issued it."""
    cert: Path
    key: Path
    ca: Path


def _key_options(kind: str) -> list[str]:
    if kind == "rsa":
        return ["-newkey", "rsa:2048"]
    if kind == "ed25519":
        return ["-newkey", "ed25519"]
    curve = {"ec": "P-256", "p256": "P-256", "p384": "P-384"}[kind]
    return ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"]


def _alt_names(names: Sequence[str]) -> str:
    if not names:
        return ""
    kinds = [("IP:" if ":" in name or name.replace(".", "").isdigit() else "DNS:") + name for name in names]
    return "\nsubjectAltName = " + ",".join(kinds)


class Ca:
    """One authority in `folder` (made when absent). Issuing a certificate takes some 30 ms."""

    def __init__(self, folder: Path, name: str = "holdfast test CA", kind: str = "ec"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cert = self.folder / "ca.pem"
        self.key = self.folder / "ca-key.pem"
        config = self._config("ca", name, _EXT_CA)
        self._openssl("req", "-x509", *_key_options(kind), "-nodes", "-days", "30", "-config", config,
                      "-extensions", "ext", "-keyout", self.key, "-out", self.cert)
        self.key.chmod(0o600)

    def server(self, name: str, names: Sequence[str] = LOOPBACK, kind: str = "ec", **when: bool) -> Cert:
        """A server's certificate for `names` (IP addresses or DNS names); expired=True or future=True."""
        return self._issue(name, "serverAuth,clientAuth", names, kind, **when)

    def client(self, name: str, kind: str = "ec", **when: bool) -> Cert:
        """A client's certificate with CN `name`; expired=True or future=True."""
        return self._issue(name, "clientAuth", (), kind, **when)

    def _issue(self, name: str, usage: str, names: Sequence[str], kind: str, expired: bool = False,
               future: bool = False) -> Cert:
        made = Cert(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem", self.cert)
        encipher = ",keyEncipherment" if kind == "rsa" else ""
        text = _EXT_LEAF.format(usage=usage, names=_alt_names(names), encipher=encipher)
        config = self._config(name, name, text)
        if expired or future:
            self._issue_dated(config, name, kind, made, -7 if expired else 7)
        else:
            self._openssl("req", "-x509", *_key_options(kind), "-nodes", "-days", "30", "-config", config,
                          "-extensions", "ext", "-CA", self.cert, "-CAkey", self.key,
                          "-keyout", made.key, "-out", made.cert)
        made.key.chmod(0o600)
        return made

    def _issue_dated(self, config: Path, name: str, kind: str, made: Cert, days: int) -> None:
        """Valid for two days around now + days; `req -x509` learned dates only in OpenSSL 3.4, `ca` always had them."""
        (self.folder / f"{name}.index").write_text("")
        (self.folder / f"{name}.serial").write_text("1001\n")
        request = self.folder / f"{name}.csr"
        self._openssl("req", *_key_options(kind), "-nodes", "-config", config, "-keyout", made.key, "-out", request)
        middle = time.time() + days * 86400
        start, end = (time.strftime("%y%m%d%H%M%SZ", time.gmtime(middle + shift)) for shift in (-86400, 86400))
        self._openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "ext", "-cert", self.cert,
                      "-keyfile", self.key, "-startdate", start, "-enddate", end, "-in", request, "-out", made.cert)

    def _config(self, file: str, name: str, extensions: str) -> Path:
        path = self.folder / f"{file}.cnf"
        path.write_text(_CONFIG.format(name=name, folder=self.folder, extensions=extensions))
        return path

    @staticmethod
    def _openssl(*args: object) -> None:
        run(["openssl", *[str(arg) for arg in args]], seconds=30)
