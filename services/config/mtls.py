"""TLS between the processes of a mesh, both sides with certificates."""

import pydantic

from services.config.base import Section


class Mtls(Section):
    """Files of the certificates, PEM. `{process}` stands for a process's name. Read again when they change."""

    ca: str = pydantic.Field(min_length=1, description="Certificates of those who sign; several while one takes over.")
    certificate: str = pydantic.Field(min_length=1, description="A process's own, then those in between.")
    key: str = pydantic.Field(min_length=1, description="Private key of that.")

    def of(self, process: str) -> "Mtls":
        """The files of one process."""
        return Mtls(**{name: path.replace("{process}", process) for name, path in self})
