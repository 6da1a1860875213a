"""A small program in the place of a process of the mesh: `standin.py NAME [deaf|held|crash|late]`, run in a home.

It serves gRPC health on run/NAME.sock, has a child of its own whose pid is in NAME.child, notes in `started` that it
was started, and in `stopped` that it was asked to end. `deaf` ignores that it is asked, `held` notes nothing and ends
once NAME.end is there, `crash` ends at once, `late` begins once NAME.begin is there.
"""

import pathlib
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2_grpc


def until_there(path: pathlib.Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def main() -> None:
    name, how = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    with pathlib.Path("started").open("a") as started:
        started.write(f"{name}\n")
    if how == "crash":
        sys.exit(f"{name} cannot go on: its disk is made of cheese")
    if how == "late":
        until_there(pathlib.Path(f"{name}.begin"))
    child = subprocess.Popen(["sleep", "600"])
    pathlib.Path(f"{name}.child").write_text(str(child.pid))
    asked = threading.Event()

    def stop(*_: object) -> None:
        if how == "deaf":
            return
        if how != "held":
            with pathlib.Path("stopped").open("a") as stopped:
                stopped.write(f"{name}\n")
        asked.set()

    signal.signal(signal.SIGTERM, stop)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(f"unix:run/{name}.sock")
    server.start()
    while not asked.wait(60):
        pass
    if how == "held":
        until_there(pathlib.Path(f"{name}.end"))
    server.stop(None)
    child.kill()
    child.wait()


main()
