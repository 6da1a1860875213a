"""`python -m tests.router.lives [--seeds N] [--first N]`: lives, each twice, its sections reordered."""

import argparse
import hashlib
import sys
import time
from collections import Counter

from tests.router.lives.life import Life


def lived(seed: int) -> Life:
    """Live the life of a seed twice.

    Raises:
        AssertionError: something does not hold, with a note of how to see it again.
    """
    try:
        one = Life(seed)
        one.run()
        other = Life(seed, order=seed)
        other.run()
        assert one.trace.digest() == other.trace.digest(), "decisions depend on the configuration's order"
    except Exception as error:
        error.add_note(f"seed {seed}: python -m tests.router.lives --first {seed} --seeds 1")
        raise
    return one


def main() -> None:
    """Parse the command line and live."""
    parser = argparse.ArgumentParser(prog="python -m tests.router.lives", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many lives")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    begun, total, seen = time.monotonic(), hashlib.sha256(), Counter[str]()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        life = lived(seed)
        total.update(life.trace.digest())
        seen += life.seen
    seconds = time.monotonic() - begun
    sys.stdout.write(f"{arguments.seeds} lives in {seconds:.0f} s; nothing was violated\n")
    sys.stdout.write("".join(f"{count:10} {what}\n" for what, count in sorted(seen.items())))
    sys.stdout.write(f"digest of all decisions: {total.hexdigest()[:16]}\n")


if __name__ == "__main__":
    main()
