"""The certificate of a process, read again when its files change: what its servers show and its channels bring."""

import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import grpc
import structlog
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.material import CertificateError, Material
from services.chassis.roles import Role

LOG = structlog.get_logger()

EXPIRES = declared.Gauge(
    "hybrid_certificate_expires_seconds",
    "When a certificate in use expires, in seconds since 1970: the process's own, and its authority's.",
    [declared.one_of("certificate", ("process", "authority"))],
)

# The clock, a file's owner or its rights may have been what was wrong, and none of these makes the file another.
_AGAIN_SECONDS = 10.0

_Mark = tuple[tuple[int, int, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """Where the certificates of those who sign, a process's own and its key are, PEM."""

    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path

    @classmethod
    def named(cls, paths: Mapping[str, str]) -> "Files":
        """Those of `ca`, `certificate` and `key`."""
        return cls(*(pathlib.Path(paths[name]) for name in ("ca", "certificate", "key")))

    def paths(self) -> dict[str, str]:
        """As `named` takes them."""
        return {"ca": str(self.ca), "certificate": str(self.certificate), "key": str(self.key)}

    def __iter__(self) -> Iterator[pathlib.Path]:
        return iter((self.ca, self.certificate, self.key))


class Credentials:
    """What a process proves itself with. `current` may be called from any thread.

    Attributes:
        files: where it is.

    Args:
        files: where it is.
        role: what the process is.
        process: its name.
        clock: seconds since 1970.

    Raises:
        CertificateError: the files are missing or cannot be used.
    """

    def __init__(self, files: Files, role: Role, process: str, *, clock: Callable[[], float] = time.time) -> None:
        self.files = files
        self._role: Role = role
        self._process = process
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._mark()
        self._material = self._read()
        self._refused_at: float | None = None
        self._problems: list[str] = []

    def current(self) -> Material:
        """What holds now: that of the files, or what was there before where they cannot be used."""
        with self._lock:
            mark = self._mark()
            if mark == self._seen and not self._again():
                return self._material
            self._seen = mark
            try:
                material = self._read()
            except CertificateError as error:
                self._refused(error.problems)  # also between two renames of one renewal
                return self._material
            self._refused_at, self._problems = None, []
            if self._mark() != mark:
                self._seen = ()  # replaced while it was read: look again
            elif material != self._material:
                LOG.info("certificate.renewed", until=_moment(material.expires))
                self._material = material
            return self._material

    def server(self) -> grpc.ServerCredentials:
        """For a server that lets in nobody without a certificate; each handshake is by what holds then."""
        shown = self.current()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            """Asked before each handshake; None is no change."""
            nonlocal shown
            material = self.current()
            if material is shown:
                return None
            shown = material
            return _of_server(material)

        return grpc.dynamic_ssl_server_credentials(
            _of_server(shown),
            renewed,  # type: ignore[arg-type]  # types-grpcio does not know that there may be no change
            require_client_authentication=True,
        )

    def watch(self, registry: CollectorRegistry) -> None:
        """Tell Prometheus until when they hold. To be scraped is to look at the files, too."""
        gauge = EXPIRES.on(registry)
        gauge.labels("process").set_function(lambda: self.current().expires)
        gauge.labels("authority").set_function(lambda: self.current().ca_expires)

    def _again(self) -> bool:
        """Whether files that were refused, and are what they were, are to be read once more."""
        return self._refused_at is not None and not 0 <= self._clock() - self._refused_at < _AGAIN_SECONDS

    def _refused(self, problems: list[str]) -> None:
        """They cannot be used. Said once, until something else is wrong with them."""
        self._refused_at = self._clock()
        if problems != self._problems:
            self._problems = problems
            LOG.warning("certificate.refused", problems=problems, until=_moment(self._material.expires))

    def _read(self) -> Material:
        # Slow to import, and only who has certificates needs it.
        from services.chassis.certificates import examine

        try:
            ca, chain, key = (path.read_bytes() for path in self.files)
            everybody = self.files.key.stat().st_mode & 0o007
        except OSError as error:
            raise CertificateError([f"{error.filename} cannot be read: {error.strerror}"]) from error
        if everybody:  # a group may: a user of its own is in none but its own, and managers hand files out by one
            raise CertificateError([f"{self.files.key} can be read by everybody on this host: `chmod 640` it"])
        return examine(ca, chain, key, self._role, self._process, now=self._clock())

    def _mark(self) -> _Mark:
        """What tells files from what they were; empty while one is missing."""
        try:
            found = [path.stat() for path in self.files]
        except OSError:
            return ()
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


def of_channel(material: Material) -> grpc.ChannelCredentials:
    """For a channel: it proves itself by these, and believes whom these authorities have signed."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.chain)


def _of_server(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], root_certificates=material.ca)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
