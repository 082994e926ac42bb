"""machine: a virtual machine that boots holdfast as PID 1 from an initramfs; Debian's cloud kernel, qemu without KVM.

    with Machine(binary, init, folder, config="version: 1\\n…") as machine:
        machine.wait_console("budget"); machine.get("/healthz"); machine.witness("zombies"); machine.link(False)
    Machine(…, modules=nfs.MODULES, files={"etc/ca.pem": b"…", "before": program})   # loaded in order of what they need; "before" is run

The kernel's package is unpacked into the cache (peers.apt): nothing of this machine's boot is touched. HOLDFAST_CONSOLE=1
shows the console as it comes.
"""
from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import shutil
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Iterator, Mapping, Sequence

from peers import apt, ask
from peers.proc import PeerError, Proc, free_port, wait_for

RELEASE, KERNEL = "trixie", "linux-image-cloud-amd64"
CARD = "virtio_net"
METRICS_PORT, WITNESS_PORT = 9464, 9465
MEMORY_MIB = 192
# AES, but not what "max" has besides. Without cx16: the kernel's memory allocator lives on that instruction, and qemu 7.2
# without KVM sometimes leaves wrong flags behind it, of which the kernel dies (EFLAGS in its last words are a pointer's).
CPU = "Westmere,-cx16"
ATTEMPTS = 3
NETWORK_UP = "boot: the network is up"  # tests/boot/init.c
BOOT_SECONDS = 300  # TCG on a busy machine; a few seconds on an idle one


# --- the initramfs: cpio "newc" (linux, Documentation/driver-api/early-userspace/buffer-format.rst)

def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0), number: int = 0) -> bytes:
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def initramfs(files: dict[str, bytes], devices: dict[str, tuple[int, int]]) -> bytes:
    """Files are executable; folders are made as needed."""
    entries, made = [], set()
    for name in (*files, *devices):
        for folder in reversed([str(parent) for parent in Path(name).parents if str(parent) != "."]):
            if folder not in made:
                made.add(folder)
                entries.append((folder, stat.S_IFDIR | 0o755, b"", (0, 0)))
        if name in files:
            entries.append((name, stat.S_IFREG | 0o755, files[name], (0, 0)))
        else:
            entries.append((name, stat.S_IFCHR | 0o600, b"", devices[name]))
    whole = b"".join(_entry(*entry, number=i + 1) for i, entry in enumerate(entries)) + _entry("TRAILER!!!", 0)
    return gzip.compress(whole, 1)


# --- the kernel and its modules

def _module_depends(module: bytes) -> list[str]:
    """The .modinfo field; the package has no modules.dep, which is made when it is installed."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name.replace("-", "_") for name in (found[1].decode().split(",") if found else []) if name]


def _load_order(name: str, by_name: dict[str, Path], seen: set[str]) -> Iterator[bytes]:
    if name in seen:
        return
    seen.add(name)
    if name not in by_name:
        raise PeerError(f"the kernel's package has no module {name}")
    path = by_name[name]
    module = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    for other in _module_depends(module):
        yield from _load_order(other, by_name, seen)
    yield module


def kernel(more: Sequence[str] = ()) -> tuple[Path, list[bytes]]:
    """The image, and the modules of the network card, then of `more`, each behind what it needs."""
    package = apt.unpacked(RELEASE, [KERNEL], stand_ins=True)
    image = next(package.glob("boot/vmlinuz-*"))
    modules = {path.name.split(".")[0].replace("-", "_"): path for path in package.glob("**/modules/*/kernel/**/*.ko*")}
    seen: set[str] = set()
    return image, [module for name in (CARD, *more) for module in _load_order(name, modules, seen)]


def missing() -> str:
    """Why no machine can be had here; "" when one can."""
    return "" if shutil.which("qemu-system-x86_64") else "no qemu-system-x86_64 (package qemu-system-x86)"


class Machine:
    """modules  of the kernel, besides the card's;  files  more of them, by their paths without the first "/", executable"""

    def __init__(self, binary: Path, init: Path, folder: Path, *, config: str | None = None, modules: Sequence[str] = (),
                 files: Mapping[str, bytes] | None = None):
        self.folder, self.log = folder, folder / "console"
        image, loaded = kernel(modules)
        lie = {"init": init.read_bytes(), "holdfast": binary.read_bytes(), **(files or {})}
        lie |= {f"modules/{i:02}.ko": module for i, module in enumerate(loaded)}
        if config is not None:
            lie["etc/holdfast.yaml"] = config.encode()
        (folder / "initramfs").write_bytes(initramfs(lie, {"dev/console": (5, 1)}))
        self.port, self.witness_port = free_port(), free_port()
        self.monitor = folder / "monitor"
        forward = f"hostfwd=tcp:127.0.0.1:{self.port}-:{METRICS_PORT},hostfwd=tcp:127.0.0.1:{self.witness_port}-:{WITNESS_PORT}"
        self.argv = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", CPU, "-m", str(MEMORY_MIB), "-nodefaults", "-no-reboot",
                     "-display", "none", "-serial", "stdio", "-netdev", f"user,id=net,{forward}",
                     "-device", "virtio-net-pci,netdev=net,id=card,romfile=", "-qmp", f"unix:{self.monitor},server,nowait", "-kernel", str(image), "-initrd", str(folder / "initramfs"),
                     "-append", "console=ttyS0 rdinit=/init panic=-1 quiet no_timer_check"]
        self.proc: Proc | None = None

    def __enter__(self) -> "Machine":
        """Until /init has the network up. A kernel that dies in emulation before it gets there (its timer, mostly, on a
        busy machine) is none of ours, and is started again."""
        for attempt in range(ATTEMPTS):
            self.log.write_bytes(b"")
            self.proc = Proc(self.argv, log=self.log)
            if os.environ.get("HOLDFAST_CONSOLE"):
                threading.Thread(target=self._show, args=(self.proc,), daemon=True).start()
            try:
                self.wait_console(NETWORK_UP)
                return self
            except PeerError:
                self.__exit__()
                if NETWORK_UP in self.console() or attempt + 1 == ATTEMPTS:
                    raise
                sys.stderr.write(f"machine: the kernel did not come to /init, attempt {attempt + 1}\n")
        raise AssertionError("unreachable")

    def __exit__(self, *_: object) -> None:
        if self.proc.alive():
            self.proc.kill()

    def _show(self, proc: Proc) -> None:
        shown = 0
        while True:
            ended = not proc.alive()
            text = self.console()
            sys.stderr.write(text[shown:])
            shown = len(text)
            if ended:
                return
            threading.Event().wait(0.2)

    def link(self, up: bool) -> None:
        """Plugs the network cable in or out: by qemu's machine protocol, a line of JSON each way, besides events."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(str(self.monitor))
            lines = s.makefile("rw")
            for request in ({"execute": "qmp_capabilities"}, {"execute": "set_link", "arguments": {"name": "card", "up": up}}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                while "return" not in (told := json.loads(lines.readline())):
                    if "error" in told:
                        raise PeerError(f"qemu: {told}")

    def console(self) -> str:
        return self.log.read_text(errors="replace").replace("\r\n", "\n")

    def wait_console(self, words: str, seconds: float = BOOT_SECONDS) -> str:
        """Until the console has said this; all it has said."""
        wait_for(lambda: words in self.console(), f'"{words}" on the console', seconds, self.proc, every=0.1)
        return self.console()

    def get(self, path: str) -> tuple[int, str]:
        """Of the hub inside, by the forwarded port."""
        return ask.get_text(self.port, path)

    def wait_answer(self, path: str, status: int) -> str:
        """Until it answers so; the body."""
        return wait_for(lambda: [body for code, body in [self.get(path)] if code == status], f"{path} {status}", BOOT_SECONDS,
                        self.proc, every=0.2)[0]

    def witness(self, word: str) -> int:
        """What tests/boot/init.c says: how many zombies there are; -1 when it says nothing, as a machine that goes off."""
        with socket.create_connection(("127.0.0.1", self.witness_port), timeout=60) as s:
            s.sendall(word.encode())
            return int(s.recv(32) or -1)
