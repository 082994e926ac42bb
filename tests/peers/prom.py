"""prom: Prometheus' own opinion of a metrics page, and a real scrape.

    check_metrics(text)                                    # promtool check metrics; PeerError with its findings
    parse(text)["holdfast_task_heap_used_bytes"][(("task", "main"),)]
    with Prometheus(folder, port) as prom: prom.wait_up(); prom.query("holdfast_build_info")
"""
from __future__ import annotations

import http.client
import json
import re
import urllib.parse
from pathlib import Path

from .ca import Cert
from .proc import PeerError, Proc, free_port, run, wait_for

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?\s*')


def check_metrics(text: str | bytes) -> None:
    """PeerError when promtool finds anything at all in the page."""
    data = text.encode() if isinstance(text, str) else text
    done = run(["promtool", "check", "metrics"], data=data, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    if done.returncode != 0 or said:
        raise PeerError(f"promtool check metrics: exit {done.returncode}\n{said}")


def check_rules(file: Path) -> None:
    run(["promtool", "check", "rules", file])


def parse(text: str) -> Samples:
    """Name, then sorted (label, value) pairs, to number. PeerError on a line that is no sample."""
    samples: Samples = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = _SAMPLE.match(line)
        if not found:
            raise PeerError(f"not a sample: {line!r}")
        labels = tuple(sorted(_LABEL.findall(found[2] or "")))
        samples.setdefault(found[1], {})[labels] = float(found[3])
    return samples


class Prometheus:
    """A real Prometheus that scrapes 127.0.0.1:`target`/metrics every second; started at once, ready on return.
    `tls` (with its ca) when the target speaks TLS."""

    def __init__(self, folder: Path, target: int, tls: Cert | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.target = target
        job: dict = {"job_name": "holdfast", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        if tls:
            job.update(scheme="https", tls_config={"ca_file": str(tls.ca)})
        config = self.folder / "prometheus.json"  # JSON is YAML
        config.write_text(json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                                      "scrape_configs": [job]}))
        self.proc = Proc(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                          f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
                         log=self.folder / "prometheus.log")
        wait_for(lambda: self._get("/-/ready")[0] == 200, "prometheus ready", 120, self.proc)

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def query(self, expression: str) -> list[dict]:
        """Instant query; Prometheus' own result list, [{"metric": {…}, "value": [time, "number"]}, …]."""
        status, body = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        answer = json.loads(body)
        if status != 200 or answer["status"] != "success":
            raise PeerError(f"prometheus: {body[:500].decode(errors='replace')}")
        return answer["data"]["result"]

    def wait_query(self, expression: str, seconds: float = 120) -> list[dict]:
        """Until it has a result: after a scrape that failed, as on a busy machine, there is none until the next."""
        return wait_for(lambda: self.query(expression), expression, seconds, self.proc, every=0.1)  # type: ignore[return-value]

    def target_error(self) -> str:
        """The last scrape's error, "" when it went well."""
        active = json.loads(self._get("/api/v1/targets")[1])["data"]["activeTargets"]
        return active[0]["lastError"] if active else "no target"

    def wait_up(self, seconds: float = 120) -> None:
        """Until a scrape went well; PeerError with its error when none does."""
        def is_up() -> bool:
            result = self.query("up")
            return bool(result) and result[0]["value"][1] == "1"
        try:
            wait_for(is_up, "a scrape", seconds, self.proc)
        except PeerError as error:
            raise PeerError(f"{error}\nscrape: {self.target_error()}") from error

    def stop(self) -> int:
        return self.proc.stop()

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
