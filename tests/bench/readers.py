"""readers: the json part of `make bench`: json_pick beside cJSON and simdjson, over lists of pods with managedFields.

Two bodies of --json-mib: indented, as `kubectl get pods -A -o json` prints them, and without white space, as the API server sends
them. Each program reads each file and picks the same fields; the count of pods and of the bytes picked must agree.
simdjson is Debian's libsimdjson-dev; bench_simdjson.cpp is compiled here, for this machine's CPU, with -O3.
"""
from __future__ import annotations

import json
from pathlib import Path

from peers.proc import PeerError, run

ROOT = Path(__file__).resolve().parents[2]
GOAL_MB_S, GOAL_OF_SIMDJSON = 400, 0.3
PROGRAM = "bench_simdjson"


def pods_file(path: Path, mib: int, indent: bool) -> None:
    pod = (ROOT / "tests/bench/pod.json").read_text().strip()
    layout = {"indent": 4} if indent else {"separators": (",", ":")}
    pod = json.dumps(json.loads(pod), ensure_ascii=False, **layout)
    if indent:
        pod = pod.replace("\n", "\n" + " " * 8)
    head, tail = json.dumps({"apiVersion": "v1", "items": ["@"], "kind": "List", "metadata": {"resourceVersion": "1"}}, **layout).split('"@"')
    between = ",\n" + " " * 8 if indent else ","
    with path.open("w") as out:
        out.write(head)
        number = 0
        while out.tell() < mib << 20:
            out.write(between if number else "")
            out.write(pod.replace("@NINE@", f"{number:09}").replace("@TWELVE@", f"{number:012}").replace("@EIGHT@", f"{number:08}")
                      .replace("@NAME@", f"web-5d8f7c9b6d-{number * 7919 % 0xFFFFF:05x}").replace("@NODE@", f"node-{number % 50}")
                      .replace("@N@", str(number)))
            number += 1
        out.write(tail + "\n")


def simdjson_program(folder: Path) -> Path:
    program = folder / PROGRAM
    run(["c++", "-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-o", program, ROOT / "tests/bench" / f"{PROGRAM}.cpp", "-lsimdjson"],
        seconds=300)
    return program


def speeds(lines: str) -> dict[str, tuple[float, tuple[int, int], int]]:
    told = {}
    for line in lines.splitlines():
        name, speed, pods, texts, peak = line.split()
        told[name] = (float(speed), (int(pods), int(texts)), int(peak))
    return told


def bench(table, folder: Path, ours: Path, rounds: int, mib: int) -> None:
    program = simdjson_program(folder)
    for name, indent in (("indented", True), ("compact", False)):
        file = folder / f"pods-{name}.json"
        pods_file(file, mib, indent)
        told: dict[str, tuple[float, tuple[int, int], int]] = {}
        for line in ([ours, file, str(rounds)], [program, file, str(rounds)]):
            print(" ".join(map(str, line)), flush=True)
            said = run(line, seconds=600).stdout.decode()
            print("  " + said.strip().replace("\n", "\n  "), flush=True)
            told |= speeds(said)
        tell(table, f"{mib} MiB of pods, {name}", told)
        file.unlink()


def tell(table, what: str, told: dict[str, tuple[float, tuple[int, int], int]]) -> None:
    kernels = [name for name in told if name.startswith("json_pick/")]
    best = kernels[-1]
    speed, picked, peak = told[best]
    for name, (_, theirs, _) in told.items():
        if theirs[1] and theirs != picked:
            raise PeerError(f"{name} picked {theirs}, {best} {picked}")
    table.add(f"JSON: {what}, MB per CPU second", f"{speed:.0f}", goal=f">= {GOAL_MB_S}", met=speed >= GOAL_MB_S)
    table.add("  arena peak, KiB", f"{peak / 1024:.1f}")
    for name in kernels[:-1]:
        table.add(f"  {name}", f"{told[name][0]:.0f}")
    for name in ("cJSON", "simdjson/ondemand", "simdjson/dom"):
        ratio = speed / told[name][0]
        goal = {} if name == "cJSON" else {"goal": f">= {GOAL_OF_SIMDJSON} x", "met": ratio >= GOAL_OF_SIMDJSON}
        table.add(f"  {best} of {name}", f"{speed:.0f}", f"{told[name][0]:.0f}", f"{ratio:.2f} x", **goal)
