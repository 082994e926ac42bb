"""Plays Talos' machine API with grpcio; started by peers/talos.py with the interpreter of peers/pyvenv.py.

server.py PLAN      PLAN is a JSON file, read again at each call: see talos.py, which writes it
Each call is a line of JSON in the file plan["log"]: method, roles, and how it ended ("OK", a status, "canceled").
"""
import importlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from concurrent import futures
from pathlib import Path

import grpc
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PLAN = Path(sys.argv[1])
log_lock = threading.Lock()
# Talos' rules: the least role, and which of a certificate's suffice (internal/app/machined, access rules).
LEAST = {"EtcdSnapshot": "os:etcd:backup", "EtcdStatus": "os:etcd:backup", "EtcdAlarmList": "os:etcd:backup",
         "EtcdMemberList": "os:etcd:backup", "Version": "os:reader", "EtcdDefragment": "os:operator",
         "EtcdAlarmDisarm": "os:operator"}
ALLOWED = {"EtcdSnapshot": {"os:admin", "os:operator", "os:etcd:backup"},
           "EtcdDefragment": {"os:admin", "os:operator"}, "EtcdAlarmDisarm": {"os:admin", "os:operator"},
           "Version": {"os:admin", "os:operator", "os:reader"}}
READERS = {"os:admin", "os:operator", "os:reader", "os:etcd:backup"}
WORKER = {"EtcdSnapshot": "etcd snapshot", "EtcdStatus": "etcd status", "EtcdAlarmList": "etcd alarm list",
          "EtcdMemberList": "member list", "EtcdDefragment": "etcd defragment", "EtcdAlarmDisarm": "etcd alarm disarm"}


def compiled():
    """The messages, made from the .proto files beside this one."""
    out = tempfile.mkdtemp(prefix="talosapi")
    code = protoc.main(["protoc", f"-I{HERE}", f"-I{Path(protoc.__file__).parent / '_proto'}", f"--python_out={out}",
                        f"--grpc_python_out={out}", str(HERE / "machine.proto"), str(HERE / "common.proto")])
    if code != 0:
        sys.exit(f"protoc: {code}")
    sys.path.insert(0, out)
    return [importlib.import_module(name) for name in ("machine_pb2", "machine_pb2_grpc", "common_pb2")]


machine, machine_grpc, common = compiled()


def plan():
    return json.loads(PLAN.read_text())


def roles_of(context):
    """Over the socket what the caller asks for; over TLS its certificate's (here its common name)."""
    asked = [value for key, value in context.invocation_metadata() if key == "talos-role"]
    shown = context.auth_context().get("x509_common_name")
    return (asked, [name.decode() for name in shown] if shown else None)


def authorize(name, p, context):
    asked, shown = roles_of(context)
    if shown is None and asked != [LEAST[name]]:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not authorized")
    if shown is not None and (asked or not set(shown) & ALLOWED.get(name, READERS)):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not authorized")
    if name in p.get("deny", []):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not authorized")
    if p.get("worker") and name in WORKER:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{WORKER[name]} is only available on control plane nodes")
    if p.get("unavailable"):
        context.abort(grpc.StatusCode.UNAVAILABLE, "error building etcd client: context deadline exceeded")


def note(p, name, context, ended):
    asked, shown = roles_of(context)
    with log_lock, open(p["log"], "a", encoding="ascii") as out:
        out.write(json.dumps({"method": name, "asked": asked, "shown": shown, "ended": ended}) + "\n")


def etcd(p, path, body="{}"):
    """The real member's JSON gateway: numbers come as text, zeros not at all."""
    request = urllib.request.Request(p["etcd"] + path, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def unary(name):
    def outer(make):
        def call(self, request, context):
            p, ended = plan(), "aborted"
            try:
                authorize(name, p, context)
                answer = make(p)
                ended = "OK"
                return answer
            finally:
                note(p, name, context, ended)
        return call
    return outer


def metadata(p):
    return common.Metadata(hostname="node", error=p.get("metadata_error", ""))


def snapshot_bytes(p):
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        subprocess.run([*p["etcdctl"], "snapshot", "save", file.name], check=True, capture_output=True)
        return Path(file.name).read_bytes()


def chunks(data, sizes):
    sizes, at = itertools.cycle(sizes), 0
    while at < len(data):
        size = next(sizes)
        yield data[at:at + size]
        at += size


class Machine(machine_grpc.MachineServiceServicer):
    @unary("EtcdStatus")
    def EtcdStatus(p):
        s = etcd(p, "/v3/maintenance/status")
        member = machine.EtcdMemberStatus(
            protocol_version=s["version"], db_size=int(s["dbSize"]), db_size_in_use=int(s.get("dbSizeInUse", 0)),
            leader=int(s["leader"]), raft_index=int(s["raftIndex"]), raft_term=int(s["raftTerm"]),
            raft_applied_index=int(s.get("raftAppliedIndex", 0)), errors=s.get("errors", []),
            is_learner=s.get("isLearner", False), member_id=int(s["header"]["member_id"]),
            storage_version=s.get("storageVersion", ""))
        return machine.EtcdStatusResponse(messages=[{"metadata": metadata(p), "member_status": member}])

    @unary("EtcdAlarmList")
    def EtcdAlarmList(p):
        alarms = etcd(p, "/v3/maintenance/alarm", '{"action": "GET"}').get("alarms", [])
        return machine.EtcdAlarmListResponse(messages=[{"metadata": metadata(p), "member_alarms": [
            {"member_id": int(a["memberID"]), "alarm": a["alarm"]} for a in alarms]}])

    @unary("EtcdAlarmDisarm")
    def EtcdAlarmDisarm(p):
        for alarm in etcd(p, "/v3/maintenance/alarm", '{"action": "GET"}').get("alarms", []):
            etcd(p, "/v3/maintenance/alarm", json.dumps({"action": "DEACTIVATE", **alarm}))
        return machine.EtcdAlarmDisarmResponse(messages=[{"metadata": metadata(p)}])

    @unary("EtcdMemberList")
    def EtcdMemberList(p):
        members = etcd(p, "/v3/cluster/member/list")["members"]
        return machine.EtcdMemberListResponse(messages=[{"metadata": metadata(p), "members": [
            {"id": int(m["ID"]), "hostname": m.get("name", ""), "peer_urls": m.get("peerURLs", []),
             "client_urls": m.get("clientURLs", []), "is_learner": m.get("isLearner", False)} for m in members]}])

    @unary("EtcdDefragment")
    def EtcdDefragment(p):
        etcd(p, "/v3/maintenance/defragment")
        return machine.EtcdDefragmentResponse(messages=[{"metadata": metadata(p)}])

    @unary("Version")
    def Version(p):
        return machine.VersionResponse(messages=[{"metadata": metadata(p), "version": {"tag": "v1.13.9", "sha": "0"}}])

    def EtcdSnapshot(self, request, context):
        p, ended = plan(), "aborted"
        try:
            authorize("EtcdSnapshot", p, context)
            yield from self.stream(p, context)
            ended = "OK"
        except GeneratorExit:
            ended = "canceled"
            raise
        finally:
            note(p, "EtcdSnapshot", context, ended)

    @staticmethod
    def stream(p, context):
        fault, data = p.get("fault", ""), snapshot_bytes(p)
        half = len(data) // 2
        if fault == "wrong-trailer":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault in ("ends-early", "breaks", "stalls", "tells-in-band"):
            data = data[:half]
        if fault == "huge-chunk":
            yield common.Data(bytes=bytes(1 << 20))
        for chunk in chunks(data, p.get("chunks", [1024])):
            yield common.Data(bytes=chunk)
        if fault == "stalls":
            while context.is_active() and context.time_remaining() > 0:
                threading.Event().wait(0.05)
        if fault == "breaks":
            context.abort(grpc.StatusCode.INTERNAL, "failed reading snapshot: rpc error: EOF")
        if fault == "tells-in-band":
            yield common.Data(metadata=common.Metadata(hostname="node", error="etcd went away"))


def main():
    p = plan()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    machine_grpc.add_MachineServiceServicer_to_server(Machine(), server)
    if "key" in p:
        pem = [Path(p[name]).read_bytes() for name in ("key", "cert", "ca")]
        creds = grpc.ssl_server_credentials([(pem[0], pem[1])], root_certificates=pem[2], require_client_auth=True)
        bound = server.add_secure_port(p["listen"], creds)
    else:
        bound = server.add_insecure_port(p["listen"])
    if not bound:
        sys.exit(f"cannot listen on {p['listen']}")
    server.start()
    Path(p["ready"]).touch()
    server.wait_for_termination()


main()
