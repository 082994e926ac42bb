"""ask: one GET of a hub on this machine, over plain HTTP/1.1."""
from __future__ import annotations

import http.client


def get(port: int, path: str, headers: dict[str, str] | None = None, seconds: float = 60) -> tuple[int, bytes]:
    """Status and body; OSError when nobody answers, and of an answer that is cut short."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{path}: {error!r}") from error
    finally:
        connection.close()


def get_text(port: int, path: str, seconds: float = 60) -> tuple[int, str]:
    status, body = get(port, path, seconds=seconds)
    return status, body.decode()
