"""Files of secrets: made whole where they are missing, and read only where nobody else can read them."""

import contextlib
import os
import pathlib
import secrets


def read(path: pathlib.Path, fresh: bytes) -> bytes:
    """What the file holds. Where there is none it is made, for its user alone, of `fresh`.

    Of several processes that make it at once, one's content is everybody's.

    Raises:
        OSError: it can be neither read nor made.
        ValueError: others can read it, or it is theirs.
    """
    if not path.exists():
        _make(path, fresh)
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        # Root, who reads everything anyway, hands secrets out to a group or by an access list, which look alike:
        # systemd does with credentials, Kubernetes with secrets.
        handed_out = found.st_uid == 0 != os.geteuid() and found.st_mode & 0o077 == 0o040
        if found.st_mode & 0o077 and not handed_out:
            raise ValueError(f"{path} can be read by others; `chmod 600` it")
        if found.st_uid != os.geteuid() and not handed_out:
            raise ValueError(f"{path} belongs to another user, who can read it; `chown` it to who runs the mesh")
        return file.read()


def _make(path: pathlib.Path, content: bytes) -> None:
    """Put it there, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link does not replace what another process has put there meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
