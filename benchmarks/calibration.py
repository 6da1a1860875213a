"""How fast this machine is at the moment: a fixed piece of pure Python."""

import time

_TURNS = 400_000


def calibrate() -> float:
    """CPU time of the piece, in ms. Neighbours on the same core or a slower clock make it longer."""
    begun = time.process_time_ns()
    table: dict[int, int] = {}
    for number in range(_TURNS):
        table[number & 1023] = table.get(number & 511, 0) + number
    return (time.process_time_ns() - begun) / 1e6
