"""container: an image's files run by runc, as a kubelet or docker would have them run: namespaces, user, no capabilities, no_new_privs,
the runtime's default seccomp profile, a read-only root, a memory limit as a cgroup.

    with Container(folder, image, ["/holdfast", "run"], port=port, uid=65532, gid=65532, mounts=[bind(file, "/etc/holdfast.yaml")]) as box:
        box.start(); box.get("/readyz"); box.exec("version"); box.memory_peak()

The network is the machine's. Root is needed; why_not() tells why this machine runs no containers.
"""
from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import ask
from . import image as images
from .proc import Proc, run, wait_for

# What containerd and CRI-O hide and lock of /proc and /sys.
MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
LOCKED = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_names = iter(range(1 << 30))


def _runc(folder: Path, *words: object) -> list[str]:
    return [os.fspath(images.tools() / "usr/bin/runc"), "--root", os.fspath(folder / "runc"), *map(str, words)]


def seccomp() -> dict:
    """RuntimeDefault, as OCI has it, out of the profile that container engines share: the rows for no capabilities on this machine."""
    told = json.loads((images.tools() / "usr/share/containers/seccomp.json").read_text())
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    arches = next(row for row in told["archMap"] if platform.machine().upper() in row["architecture"])
    rows = [row for row in told["syscalls"] if not row.get("includes", {}).get("caps") and machine not in (row.get("excludes") or {}).get("arches", ())
            and machine in row.get("includes", {}).get("arches", (machine,))]
    calls = [{key: row[key] for key in ("names", "action", "args", "errnoRet") if row.get(key)} for row in rows]
    return {"defaultAction": told["defaultAction"], "defaultErrnoRet": told.get("defaultErrnoRet", 1),
            "architectures": [arches["architecture"], *arches["subArchitectures"]], "syscalls": calls}


def spec(root: Path, line: list[str], *, uid: int, gid: int, groups: list[int], env: dict[str, str], mounts: list[dict], host: str,
         memory: int | None) -> dict:
    """config.json of an OCI bundle (opencontainers/runtime-spec 1.0)."""
    usual = [("/proc", "proc", []), ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
             ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]), ("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"])]
    none: dict = {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    return {
        "ociVersion": "1.0.0", "hostname": host, "root": {"path": str(root), "readonly": True},
        "process": {"terminal": False, "user": {"uid": uid, "gid": gid, "additionalGids": groups}, "args": line, "cwd": "/", "capabilities": none,
                    "noNewPrivileges": True, "env": [f"{name}={value}" for name, value in env.items()]},
        "mounts": [{"destination": to, "type": kind, "source": kind, "options": how} for to, kind, how in usual] + mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")], "seccomp": seccomp(),
                  "resources": {"memory": {"limit": memory}} if memory else {},
                  "maskedPaths": [*(f"/proc/{name}" for name in MASKED), "/sys/firmware"], "readonlyPaths": [f"/proc/{name}" for name in LOCKED]}}


def bind(source: Path, to: str, writable: bool = False) -> dict:
    return {"destination": to, "type": "bind", "source": str(source), "options": ["rbind", "rw" if writable else "ro"]}


@functools.cache
def why_not() -> str:
    """Why no container can be run here; "" when one can."""
    if os.geteuid() != 0:
        return "containers need root"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        (folder / "config.json").write_text(json.dumps(spec(folder / "root", ["/none"], uid=65532, gid=65532, groups=[], env={}, mounts=[], host="try",
                                                            memory=48 << 20)))
        done = run(_runc(folder, "run", "--bundle", folder, f"holdfast-try-{os.getpid()}"), check=False, env=images.environment(folder))
    words = done.stderr.decode(errors="replace").strip()
    return "" if "/none" in words else f"runc runs no containers here: {words[-300:]}"


class Container:
    """One container; not started. `memory` bytes, None: no limit."""

    def __init__(self, folder: Path, image: images.Image, line: list[str], *, port: int, uid: int, gid: int, groups: list[int] | None = None,
                 env: dict[str, str] | None = None, mounts: list[dict] | None = None, host: str = "box", memory: int | None = None):
        self.folder, self.image, self.port = folder, image, port
        self.id = f"holdfast-{os.getpid()}-{next(_names)}"
        self.proc: Proc | None = None
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(image.root, folder / "root", symlinks=True)
        own = dict(word.split("=", 1) for word in image.config["Env"])
        body = spec(folder / "root", line, uid=uid, gid=gid, groups=groups or [], env={**own, "HOSTNAME": host, **(env or {})}, mounts=mounts or [],
                    host=host, memory=memory)
        (folder / "config.json").write_text(json.dumps(body))

    def start(self) -> "Container":
        """Until it runs; again after its end."""
        line = _runc(self.folder, "run", "--bundle", self.folder, "--pid-file", self.folder / "pid", self.id)
        (self.folder / "pid").unlink(missing_ok=True)
        self.proc = Proc(line, log=self.log, env=images.environment(self.folder), death=signal.SIGTERM)  # which runc hands on
        wait_for(lambda: self.proc.code() is not None or (self.folder / "pid").exists() and (self.folder / "pid").read_text(), "the container", 120)
        return self

    def wait_get(self, path: str, seconds: float = 120) -> None:
        """Until the answer is 200."""
        wait_for(lambda: self.get(path)[0] == 200, path, seconds, self.proc, every=0.05)

    @property
    def log(self) -> Path:
        return self.folder / "pod.log"

    @property
    def pid(self) -> int:
        """Of the container's PID 1, as this machine counts."""
        return int((self.folder / "pid").read_text())

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_log(self, *words: str, count: int = 1, seconds: float = 60) -> None:
        """Until so many lines have all these words."""
        def there() -> bool:
            lines = self.log_text().rpartition("\n")[0].splitlines()
            return sum(all(word in line for word in words) for line in lines) >= count
        wait_for(there, f"{count} of {words} in the log", seconds, self.proc, every=0.05)

    def get(self, path: str) -> tuple[int, str]:
        return ask.get_text(self.port, path)

    def exec(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess:
        """The binary once more, in the container."""
        return run(_runc(self.folder, "exec", self.id, *self.image.config["Entrypoint"], *words), check=False, seconds=seconds,
                   env=images.environment(self.folder))

    def memory_peak(self) -> int:
        """Bytes at most so far, of the cgroup; 0 where the kernel does not say."""
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            where = {"memory": "memory", "": ""}.get(controllers)
            for file in ("memory.max_usage_in_bytes", "memory.peak") if where is not None else ():
                peak = Path("/sys/fs/cgroup", where, path.lstrip("/"), file)  # type: ignore[arg-type]
                if peak.exists():
                    return int(peak.read_text())
        return 0

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM; its exit code. PeerError when it still runs after that many seconds."""
        assert self.proc
        self.proc.send(signal.SIGTERM)
        return self.proc.wait(seconds)

    def close(self) -> None:
        if self.proc and self.proc.alive():
            run(_runc(self.folder, "delete", "--force", self.id), check=False, env=images.environment(self.folder))
            self.proc.wait(10)

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
