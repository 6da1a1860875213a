"""`python -m benchmarks.peers`: make peers ready, or start one by hand."""

import argparse
import sys

from benchmarks.peers.table import PEERS
from services.cli.setup.progress import Progress


def main() -> None:
    """Parse the command line, install, and run one until Enter if a server to ask is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PEERS, []], help="peers; none is all of them")
    parser.add_argument("--upstream-port", type=int, help="run the first one before this server, until Enter")
    arguments = parser.parse_args()
    names = arguments.names or list(PEERS)
    for name in names:
        PEERS[name].install(Progress(sys.stderr))
        print(f"{name} {PEERS[name].version()}")
    if arguments.upstream_port:
        with PEERS[names[0]].start(arguments.upstream_port) as system:
            told = "".join(f" -H '{header}: {value}'" for header, value in system.headers.items())
            print(f"http://127.0.0.1:{system.port}/v1, model {system.model}{told}; Enter ends it")
            sys.stdin.readline()


if __name__ == "__main__":
    main()
