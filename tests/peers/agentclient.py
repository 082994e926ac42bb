"""agentclient: the smallest client of the platform that does all right; for tests of the platform's double.

    agent = AgentClient(platform); agent.event("added", "Pod", body); agent.snapshot({"Pod": [...]}); agent.post("events", b"…")
"""
from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import uuid
from typing import Iterable

from .infos import event_body, go_json, info
from .platform import SNAPSHOT_KEYS, Platform
from .proc import run

USER_AGENT = "obsyk-operator/1.0"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _integer(der: bytes, at: int) -> tuple[int, int]:
    """The INTEGER at this place of a DER sequence, and where it ends."""
    end = at + 2 + der[at + 1]
    return int.from_bytes(der[at + 2:end], "big"), end


class AgentClient:
    def __init__(self, platform: Platform, cluster_uid: str = "cluster-1"):
        self.platform, self.cluster_uid = platform, cluster_uid
        self._token: str | None = None
        self._connection: http.client.HTTPConnection | None = None

    def claims(self, **other: object) -> dict:
        now = int(time.time())
        return {"iss": self.platform.client_id, "sub": self.platform.client_id, "aud": [self.platform.url], "exp": now + 300,
                "iat": now, "jti": str(uuid.uuid4()), **other}

    def assertion(self, claims: dict | None = None, header: dict | None = None, spoil: bool = False) -> str:
        """A signed JWT; spoil: one bit of the signature is wrong."""
        told = [go_json(header or {"alg": "ES256", "typ": "JWT"}), go_json(claims or self.claims())]
        text = ".".join(map(b64url, told))
        der = run(["openssl", "dgst", "-sha256", "-sign", self.platform.keys.pkcs8], data=text.encode()).stdout
        r, end = _integer(der, 2)
        s, _ = _integer(der, end)
        signature = r.to_bytes(32, "big") + (s ^ spoil).to_bytes(32, "big")
        return f"{text}.{b64url(signature)}"

    def ask_token(self, assertion: str) -> tuple[int, dict]:
        body = f"assertion={assertion}&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
        status, text = self.request("/oauth/token", body.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        return status, json.loads(text)

    def token(self) -> str:
        if self._token is None:
            status, answer = self.ask_token(self.assertion())
            assert status == 200, answer
            self._token = answer["access_token"]
        return self._token

    def request(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            tls = self.platform.tls
            make = http.client.HTTPSConnection if tls else http.client.HTTPConnection
            how = {"context": ssl.create_default_context(cafile=str(tls.ca))} if tls else {}
            self._connection = make("127.0.0.1", self.platform.port, timeout=10, **how)  # type: ignore[arg-type]
        try:
            self._connection.request("POST", path, body, {"User-Agent": USER_AGENT, **headers})
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def post(self, path: str, body: bytes, **headers: str) -> int:
        """To snapshot, events or heartbeat; the status."""
        told = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token()}", **headers}
        return self.request(f"/api/v1/agent/{path}", body, told)[0]

    def event(self, change: str, kind: str, body: dict) -> int:
        return self.post("events", go_json(event_body(self.cluster_uid, change, kind, body)))

    def snapshot(self, objects: dict[str, Iterable[dict]], cluster_name: str = "test") -> int:
        lists = {key: [info(kind, body) for body in objects.get(kind, ())] for kind, key in SNAPSHOT_KEYS.items()}
        return self.post("snapshot", go_json({"cluster_uid": self.cluster_uid, "cluster_name": cluster_name, "agent_version": "test", **lists}))

    def heartbeat(self) -> int:
        return self.post("heartbeat", go_json({"cluster_uid": self.cluster_uid, "agent_version": "test"}))
