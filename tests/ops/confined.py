"""`confined.py FILE COMMAND…`: runs it under a unit's SystemCallFilter= and MemoryDenyWriteExecute=, without systemd.

The filters are made as systemd 252 makes them: what the sets do not allow ends with EPERM; so does memory that is to be
written and executed, or made executable later.
"""

import ctypes
import errno
import os
import pathlib
import subprocess
import sys

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_MASKED_EQ = 7
_OPTIMIZE = 8
_WRITE, _EXEC = 2, 4


class _Compare(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64))


def allowed(file: pathlib.Path) -> set[str]:
    """The calls that a file of a unit leaves."""
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    sets: dict[str, list[str]] = {}
    name = ""
    for line in said.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif line.startswith(" ") and not line.lstrip().startswith("#"):
            sets[name].append(line.strip())

    def members(name: str) -> set[str]:
        return set().union(*map(members, sets[name])) if name.startswith("@") else {name}

    found = members("@default")
    for line in file.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "SystemCallFilter":
            calls = set().union(*map(members, value.removeprefix("~").split()))
            found = found - calls if value.startswith("~") else found | calls
    return found


def main() -> None:
    file = pathlib.Path(sys.argv[1])
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_rule_add_array.argtypes += [ctypes.POINTER(_Compare)]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_load.argtypes = [ctypes.c_void_p]

    def number(call: str) -> int:
        return int(library.seccomp_syscall_resolve_name(call.encode()))

    memory = library.seccomp_init(_ALLOW)
    for call, bits in (("mmap", _WRITE | _EXEC), ("mprotect", _EXEC), ("pkey_mprotect", _EXEC)):
        compare = _Compare(2, _MASKED_EQ, bits, bits)
        assert not library.seccomp_rule_add_array(memory, _REFUSE, number(call), 1, ctypes.byref(compare))
    calls = library.seccomp_init(_REFUSE)
    assert not library.seccomp_attr_set(calls, _OPTIMIZE, 2)  # a tree of calls instead of a long list
    for call in allowed(file):
        if (known := number(call)) >= 0:  # others belong to other machines
            assert not library.seccomp_rule_add_array(calls, _ALLOW, known, 0, None)
    assert not library.seccomp_load(memory)
    assert not library.seccomp_load(calls)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
