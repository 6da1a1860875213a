"""The right of one user to pass through a directory: an access control list (acl(5)), in the kernel's own format."""

import functools
import operator
import os
import pathlib
import struct

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")  # whom, rights, id
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_MASKED = (_USER, _OWNING_GROUP, _GROUP)
_NO_ID = 0xFFFFFFFF
_PASS = 0o1

_Entry = tuple[int, int, int]


def let_pass(directory: pathlib.Path, uid: int) -> None:
    """Let a user pass through a directory. Nobody else gains by it.

    Raises:
        OSError: the file system has no access control lists, or the directory is somebody else's.
    """
    entries = _read(directory)
    allowed = passable(entries, uid)
    if allowed != sorted(entries):
        os.setxattr(directory, _ATTRIBUTE, _VERSION + b"".join(_ENTRY.pack(*entry) for entry in allowed))


def passable(entries: list[_Entry], uid: int) -> list[_Entry]:
    """The list with the right to pass for that user."""
    rights = {(whom, identity): right for whom, right, identity in entries}
    # The mask bounds all but owner and others. It is about to grow: what it withheld must stay withheld.
    mask = rights.pop((_MASK, _NO_ID), 0o7)
    bounded = {key: right & mask if key[0] in _MASKED else right for key, right in rights.items()}
    bounded[_USER, uid] = bounded.get((_USER, uid), 0) | _PASS
    bounded[_MASK, _NO_ID] = functools.reduce(operator.or_, (r for key, r in bounded.items() if key[0] in _MASKED))
    return sorted((whom, right, identity) for (whom, identity), right in bounded.items())


def _read(directory: pathlib.Path) -> list[_Entry]:
    try:
        data = os.getxattr(directory, _ATTRIBUTE)
    except OSError:  # none yet: what the mode says
        mode = directory.stat().st_mode
        return [
            (_OWNER, mode >> 6 & 0o7, _NO_ID),
            (_OWNING_GROUP, mode >> 3 & 0o7, _NO_ID),
            (_OTHER, mode & 0o7, _NO_ID),
        ]
    return list(_ENTRY.iter_unpack(data[len(_VERSION) :]))
