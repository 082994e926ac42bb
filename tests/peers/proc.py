"""proc: child processes that cannot outlive the tests.

Proc owns one child. It ends by stop() or kill(), at exit of this process, and, by the kernel's parent-death
signal, when this process is killed. The parent-death signal also fires when the *thread* that started the child
ends: start children from the main thread, or from one that outlives them.
"""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Mapping, Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)
_live: dict[int, "Proc"] = {}
_ports_given: set[int] = set()
_port_locks: BinaryIO | None = None


class PeerError(RuntimeError):
    """A peer could not be had, did not start, or answered what it must not."""


def cache_folder(*parts: str) -> Path:
    """The per-user cache of peers; made when absent."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base, "holdfast", "peers", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def made_once(target: Path, sign: str = ".complete") -> Iterator[bool]:
    """What the cache lacks is made by one worker, while the others wait: with made_once(folder) as missing: if missing: …, the
    file `sign` last. Four at a time would take the memory and the disk of four."""
    done = target / sign
    if done.exists():
        yield False
        return
    with open(target.with_name(target.name + ".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()


def _take_port(port: int) -> bool:
    """True: no other process of ours has it. A lock on the byte of that number, of a file that all of this user share, kept to the end of
    this process: its port stays its own while a server is down between two starts."""
    global _port_locks
    if _port_locks is None:
        _port_locks = open(os.path.join(tempfile.gettempdir(), f"holdfast-ports-{os.getuid()}"), "a+b")
    try:
        fcntl.lockf(_port_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A loopback TCP port that nobody listens on, below the range the kernel takes for outgoing connections,
    and never the same one twice in this process, nor in another that lives and took it here."""
    for _ in range(2000):
        port = random.SystemRandom().randrange(15000, 32700)
        if port in _ports_given or not _take_port(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise PeerError("no free loopback port")


def wait_for(check: Callable[[], object], what: str, seconds: float, proc: "Proc | None" = None,
             every: float = 0.01) -> object:
    """Calls check until it gives something true, and returns that; OSError counts as "not yet".
    Raises PeerError with the log's end when the time is over or the process is gone."""
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            result = check()
            if result:
                return result
        except OSError as error:
            last = error
        if proc is not None and not proc.alive():
            raise PeerError(f"{what}: {proc.name} ended with {proc.code()}\n{proc.log_tail()}")
        if time.monotonic() > end:
            tail = proc.log_tail() if proc else ""
            raise PeerError(f"{what}: not within {seconds} s (last: {last})\n{tail}")
        time.sleep(every)


def write_whole(file: Path, text: str) -> Path:
    """Who reads it meanwhile, by itself or in a moment of its own, finds what was there before or this: no empty file, no half."""
    new = file.with_name(file.name + ".new")
    new.write_text(text)
    return new.rename(file)


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Proc:
    """One child, its output in `log`. `limits` maps resource.RLIMIT_* to a number; `setup` runs in the child
    before exec; `death` is the signal it gets when this process dies (a parent of workers wants SIGTERM)."""

    def __init__(self, argv: Sequence[str | os.PathLike], *, log: Path, env: Mapping[str, str] | None = None,
                 cwd: Path | None = None, limits: Mapping[int, int] | None = None,
                 setup: Callable[[], None] | None = None, death: int = signal.SIGKILL,
                 stdout: int | None = None):
        self.argv = [os.fspath(part) for part in argv]
        self.name = os.path.basename(self.argv[0])
        self.log = Path(log)
        parent = os.getpid()

        def before_exec() -> None:
            os.setsid()  # a terminal's Ctrl-C is for the tests, which then end their children in order
            _libc.prctl(PR_SET_PDEATHSIG, death)
            if os.getppid() != parent:
                os._exit(127)
            for which, amount in (limits or {}).items():
                resource.setrlimit(which, (amount, amount))
            if setup:
                setup()

        with open(self.log, "ab") as out:
            try:
                self.popen = subprocess.Popen(
                    self.argv, stdin=subprocess.DEVNULL, stdout=out if stdout is None else stdout, stderr=out,
                    env=None if env is None else dict(env), cwd=cwd, preexec_fn=before_exec)
            except FileNotFoundError as error:
                raise PeerError(f"{self.name} cannot be had: {error}; see tools/setup") from error
        self.pid = self.popen.pid
        _live[self.pid] = self

    def alive(self) -> bool:
        return self.popen.poll() is None

    def code(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self.popen.poll()

    def send(self, number: int) -> None:
        """To this process only; nothing when it is gone."""
        self.popen.send_signal(number)

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Its exit code; PeerError when it still runs by then."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{self.name} (pid {self.pid}) did not end in {seconds} s\n{self.log_tail()}") from error
        _live.pop(self.pid, None)
        return code

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.wait(60)

    def stop(self, seconds: float = 30, number: int = signal.SIGTERM) -> int:
        """Asks it to end, kills it when it does not in time; its exit code. Idempotent."""
        if not self.alive():
            return self.wait(1)
        self.send(signal.SIGCONT)
        self.send(number)
        try:
            return self.wait(seconds)
        except PeerError:
            return self.kill()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])


def run(argv: Sequence[str | os.PathLike], *, seconds: float = 300, check: bool = True, data: bytes | None = None,
        env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """A command to its end; output captured as bytes. PeerError when it cannot start, takes too long, or,
    with check, fails."""
    line = [os.fspath(part) for part in argv]
    try:
        done = subprocess.run(line, input=data, capture_output=True, timeout=seconds, cwd=cwd,
                              env=None if env is None else dict(env), check=False)
    except FileNotFoundError as error:
        raise PeerError(f"{line[0]} cannot be had: {error}; see tools/setup") from error
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{' '.join(line)}: not done in {seconds} s") from error
    if check and done.returncode != 0:
        text = (done.stdout[-1500:] + done.stderr[-1500:]).decode(errors="replace")
        raise PeerError(f"{' '.join(line)}: exit {done.returncode}\n{text}")
    return done


@atexit.register
def _end_all() -> None:
    for proc in list(_live.values()):
        if proc.alive():
            proc.popen.kill()
    for proc in list(_live.values()):
        proc.popen.wait()
