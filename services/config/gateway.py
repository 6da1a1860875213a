"""The gateways' own settings."""

import pydantic

from services.config.base import Section

# More than any one host has use for.
MOST_GATEWAYS = 64


class Gateway(Section):
    """The gateways, each with a spool."""

    instances: int = pydantic.Field(
        default=1, ge=1, le=MOST_GATEWAYS, description="Processes; more than one share the load."
    )
    listen: str | tuple[str, ...] = pydantic.Field(
        default="unix:run/gateway.sock", description="unix:PATH or HOST:PORT; a list names one for each process."
    )
    spool: str = pydantic.Field(default="spool", description="Directory of the spool; of the second, with -2 added.")
    spool_bytes: int = pydantic.Field(
        default=1 << 30,
        ge=1 << 20,
        description="Bytes of a spool that is not loaded, at which strict keys are refused.",
    )
    tenant_key: str = pydantic.Field(
        default="tenant.key", description="File of the key under which callers are marked; made where it is missing."
    )
    timeout_seconds: float = pydantic.Field(default=600.0, gt=0, description="Longest request.")
    idle_seconds: float = pydantic.Field(default=60.0, gt=0, description="Longest silence of a worker within a stream.")
    slow_reader_seconds: float = pydantic.Field(default=60.0, gt=0, description="How long a client may not read.")
    drain_seconds: float = pydantic.Field(default=30.0, ge=0, description="How long running calls may finish on stop.")
    max_running: int = pydantic.Field(default=4096, ge=1, description="Most requests under way at once.")
    max_shadows: int = pydantic.Field(
        default=64, ge=0, description="Most attempts at once on shadow routes; those beyond are not sent."
    )
    waiting_bytes: int = pydantic.Field(
        default=64 << 20, ge=0, description="Most bytes of prompts that wait here for a worker."
    )
    show_worker: bool = pydantic.Field(default=False, description="Whether callers are told which worker served them.")
    allow_pinning: bool = pydantic.Field(default=False, description="Whether callers may choose the worker.")
    keep_alive_seconds: float = pydantic.Field(
        default=15.0, ge=0, description="Silence on a stream of /v1 after which a comment is sent. 0: none is."
    )
