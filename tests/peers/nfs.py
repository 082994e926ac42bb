"""nfs: a real NFS server: nfs-ganesha, NFSv4 only, on a free loopback port, exporting one folder.

    with Ganesha(folder) as nfs:
        nfs.port, nfs.export                # where it listens; the name of what it exports, "/backups"
        nfs.files                           # the folder behind it
        nfs.pause(); nfs.resume(); nfs.kill(); nfs.start()

From inside a machine of tests/boot/machine.py, made with modules=MODULES, it is at GUEST_HOST:port. It opens files by handle, which
takes root.
"""
from __future__ import annotations

from pathlib import Path

from .proc import PeerError, Proc, free_port, port_open, wait_for

GUEST_HOST = "10.0.2.2"  # qemu's user network: the host, whose loopback it reaches
MODULES = ("nfsv4",)     # for the guest's kernel; what they depend on comes with them
LEASE_S = 10
_CONFIG = """\
NFS_CORE_PARAM {{ Protocols = 4; Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; NFS_Port = {port}; Bind_Addr = 127.0.0.1; }}
NFSv4 {{ RecoveryBackend = fs; RecoveryRoot = "{folder}/recovery"; Graceless = true; Only_Numeric_Owners = true; Lease_Lifetime = {lease}; }}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
    Export_Id = 1; Path = "{files}"; Pseudo = "{export}"; Access_Type = {access}; Squash = No_Root_Squash; SecType = sys; Protocols = 4;
    Transports = TCP; FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


class Ganesha:
    """access  "RW" or "RO". Starts with the block; ended by its process id."""

    def __init__(self, folder: Path, *, export: str = "/backups", access: str = "RW"):
        self.folder = Path(folder).resolve()
        self.files, self.export, self.access = self.folder / "files", export, access
        for part in (self.files, self.folder / "recovery"):
            part.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.proc: Proc | None = None

    def start(self) -> "Ganesha":
        config = self.folder / "ganesha.conf"
        config.write_text(_CONFIG.format(folder=self.folder, files=self.files, export=self.export, access=self.access, port=self.port, lease=LEASE_S))
        self.proc = Proc(["ganesha.nfsd", "-F", "-f", config, "-L", self.folder / "ganesha.log", "-p", self.folder / "pid"],
                         log=self.folder / "log", cwd=self.folder)
        try:
            wait_for(lambda: port_open(self.port), "ganesha answers", 120, self.proc)
        except PeerError as error:
            raise PeerError(f"{error}\n{self.log_tail()}") from error
        if "CRIT :Could not create export" in self.log_text():
            raise PeerError(f"no export\n{self.log_tail()}")
        return self

    def log_text(self) -> str:
        path = self.folder / "ganesha.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def log_tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-15:])

    def pause(self) -> None:
        """Connected, and no answer to anything."""
        self.proc.pause()

    def resume(self) -> None:
        self.proc.resume()

    def kill(self) -> None:
        """Nobody listens any more; start() brings it back."""
        self.proc.kill()

    def stop(self) -> None:
        if self.proc and self.proc.alive():
            self.proc.stop(5)

    def __enter__(self) -> "Ganesha":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
