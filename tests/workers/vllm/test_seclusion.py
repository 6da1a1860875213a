"""An engine's network is its own: on a real process."""

import os
import subprocess
import sys

# Listens and connects to itself in a network of its own; then waits, so that others can try.
_SECLUDED = """
import os, socket
from services.workers.vllm import seclusion
who = os.geteuid()
seclusion.seclude()
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
assert os.geteuid() == who
print(listener.getsockname()[1], [name for _, name in socket.if_nameindex()], flush=True)
input()
"""

_CONNECTS = """
import socket, sys
sys.exit(socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1]))))
"""


def test_a_secluded_process_reaches_itself_and_nobody_reaches_it() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", _SECLUDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        port, _, interfaces = process.stdout.readline().partition(" ")
        assert interfaces.strip() == "['lo']"
        refused = subprocess.run([sys.executable, "-c", _CONNECTS, port], check=False, timeout=20)
        assert refused.returncode != 0, "its port can be reached from outside"
        process.communicate("\n")
    assert process.returncode == 0
