"""nginx: a real nginx on a free loopback port.

    with Nginx(folder, tls=ca.server("www"), serve=DIR) as nginx: curl(nginx.url + "/file", cacert=ca.cert)
    Nginx(folder, proxy=f"http://127.0.0.1:{port}")          # a front for another server
    Nginx(folder, tls=…, stream=f"127.0.0.1:{port}")         # TLS in front of plain bytes (etcd's HTTP/2, say)
"""
from __future__ import annotations

import os
import signal
from pathlib import Path

from .ca import Cert
from .proc import PeerError, Proc, free_port, port_open, wait_for

_MODULES = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_MAIN = """\
daemon off;
{process}
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{modules}
events {{ worker_connections 4096; }}
{block}
"""
_HTTP = """\
http {{
    access_log {access};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port}{listen};
        server_name localhost;
        {tls}
        {server}
        location / {{
            {location}
        }}
    }}
}}
"""
_STREAM = """\
stream {{
    server {{
        listen 127.0.0.1:{port}{listen};
        {tls}
        proxy_pass {target};
    }}
}}
"""


class Nginx:
    """Starts at once and returns when it answers.

    tls        the server's certificate; None is plaintext
    protocols  "TLSv1.2", "TLSv1.3" or both
    ciphers    of TLS 1.2, in OpenSSL's words;  alpn_h2  offers HTTP/2
    client_ca  clients must show a certificate issued by it
    serve      a folder of files;  proxy  a URL;  stream  host:port of raw bytes (needs the stream module);
               none of them: answers 200 with the request's line and headers that matter ("echo")
    server     more lines for the server block;  tls_lines  more ssl_ lines
    workers    0: one process (ends with its parent); more, for benchmarks: a master and so many workers
    """

    def __init__(self, folder: Path, *, tls: Cert | None = None, protocols: str = "TLSv1.2 TLSv1.3",
                 ciphers: str = "", alpn_h2: bool = False, client_ca: Path | None = None, serve: Path | None = None,
                 proxy: str = "", stream: str = "", server: str = "", tls_lines: str = "", workers: int = 0,
                 access_log: bool = True):
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.tls = tls
        lines = self._tls_lines(protocols, ciphers, client_ca) + tls_lines if tls else ""
        listen = (" ssl" + (" http2" if alpn_h2 else "")) if tls else ""
        common = {"folder": self.folder, "port": self.port, "listen": listen, "tls": lines}
        if stream:
            block = _STREAM.format(target=stream, **common)
        else:
            access = f"{self.folder}/access.log" if access_log else "off"
            block = _HTTP.format(location=_location(serve, proxy), server=server, access=access, **common)
        self._start(block, workers, bool(stream))

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _tls_lines(self, protocols: str, ciphers: str, client_ca: Path | None) -> str:
        lines = [f"ssl_certificate {self.tls.cert};", f"ssl_certificate_key {self.tls.key};",
                 f"ssl_protocols {protocols};"]
        if ciphers:
            lines.append(f"ssl_ciphers {ciphers};")
        if client_ca:
            lines += [f"ssl_client_certificate {client_ca};", "ssl_verify_client on;"]
        return "\n        ".join(lines) + "\n"

    def _start(self, block: str, workers: int, stream: bool) -> None:
        if stream and not _MODULES.exists():
            raise PeerError("nginx has no stream module here (package libnginx-mod-stream); see tools/setup")
        text = _MAIN.format(folder=self.folder, block=block, user="user root;" if os.getuid() == 0 else "",
                            process=f"worker_processes {workers};" if workers else "master_process off;",
                            modules=f"load_module {_MODULES};" if stream else "")
        config = self.folder / "nginx.conf"
        config.write_text(text)
        self.proc = Proc(["nginx", "-c", config, "-p", self.folder, "-e", self.folder / "error.log"],
                         log=self.folder / "nginx.log", death=signal.SIGTERM if workers else signal.SIGKILL)
        wait_for(lambda: port_open(self.port), "nginx answers", 60, self.proc)

    def error_log(self) -> str:
        return (self.folder / "error.log").read_text(errors="replace")

    def stop(self) -> int:
        return self.proc.stop()

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _location(serve: Path | None, proxy: str) -> str:
    if serve:
        return f"root {Path(serve).resolve()};"
    if proxy:
        return f"proxy_pass {proxy}; proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;"
    return ('default_type text/plain; return 200 "$request_method $request_uri $server_protocol '
            'host=$http_host tls=$ssl_protocol cipher=$ssl_cipher\\n";')
