"""`python -m tests.metrics.register`: docs/metrics.md, out of the declarations in the services."""

import functools
import importlib
import inspect
import pathlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping

import services
from services.chassis import declared

FILE = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"

_ALL = ("gateway", "router", "worker", "loader", "admin")
# By the module that declares them, or the nearest package: which processes have its metrics.
_PROCESSES: Mapping[str, tuple[str, ...]] = {
    "services.chassis": _ALL,
    "services.chassis.otlp": ("gateway", "router", "worker"),
    "services.chassis.credentials": ("gateway", "router", "worker", "admin"),
    "services.chassis.rpc_metrics": ("gateway", "router", "worker", "admin"),
    "services.chassis.reloading": ("gateway", "router", "admin"),
    "services.gateway": ("gateway",),
    "services.gateway.admin": ("admin",),
    "services.gateway.database": ("gateway", "loader", "admin"),
    "services.gateway.loader": ("loader",),
    "services.router": ("router",),
    "services.workers": ("worker",),
}
# Declared beside what reloads, and told by those, too, that read the configuration once.
_ELSEWHERE = {"hybrid_config_info": _ALL}
_TYPES = {declared.Counter: "counter", declared.Gauge: "gauge", declared.Histogram: "histogram"}

_HEAD = """# Metrics

Every metric of the Python processes. `make metrics` writes this page out of the declarations in the code; a test
fails when it is not what they say.

Each process serves them over HTTP at an address of its own, in the text format of Prometheus, or as OpenMetrics where
a scraper asks for that, then with exemplars: histograms of requests name a trace of each bucket, where it is sampled.

Names are those of conventions where there is one: `gen_ai_*` of OpenTelemetry's for generative AI, where a gateway is
a server and a worker the client of its provider; `grpc_server_*` of go-grpc-prometheus, on which most dashboards are
built. Labels come from closed sets: never a key, a path, or what a caller wrote. A model that nobody configured counts
as `other`. Which process it is, Prometheus adds as `job` (`gateway`, `router`, …) and `process`. A histogram adds
`_bucket`, `_count` and `_sum` to its name.
"""
_PROCESS = """
## The process itself

prometheus-client's own, in every process: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds`, `python_info`,
`python_gc_collections_total`, `python_gc_objects_collected_total`, `python_gc_objects_uncollectable_total`.
"""


@functools.cache
def register() -> Mapping[str, tuple[declared.Metric, tuple[str, ...]]]:
    """Every metric that a module of the services declares, by name, with the processes that have it."""
    found: dict[str, tuple[declared.Metric, tuple[str, ...]]] = {}
    for name in _modules():
        module = importlib.import_module(name)
        source = inspect.getsource(module)
        for attribute, value in vars(module).items():
            # Not where it is merely imported.
            if isinstance(value, declared.Metric) and re.search(rf"^{attribute} = ", source, re.MULTILINE):
                if value.name in found:
                    raise ValueError(f"{value.name} is declared twice")
                found[value.name] = (value, _ELSEWHERE.get(value.name) or _processes(name))
    return dict(sorted(found.items()))


def page() -> str:
    """The page."""
    sections = [_HEAD]
    by_processes: dict[tuple[str, ...], list[declared.Metric]] = {}
    for metric, processes in register().values():
        by_processes.setdefault(processes, []).append(metric)
    for processes, metrics in sorted(by_processes.items(), key=lambda item: _order(item[0])):
        title = "Every process" if processes == _ALL else " and ".join([", ".join(processes[:-1]), processes[-1]])
        sections.append("\n".join(_section(title.removeprefix(" and ").capitalize(), metrics)))
    return "\n".join([*sections, _PROCESS.removeprefix("\n")])


def exported(name: str) -> Iterator[str]:
    """The names of the samples of a metric."""
    metric, _ = register()[name]
    if isinstance(metric, declared.Histogram):
        yield from (f"{name}_bucket", f"{name}_count", f"{name}_sum")
    else:
        yield name


def _section(title: str, metrics: Iterable[declared.Metric]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| metric | type | labels | what |"
    yield "|---|---|---|---|"
    labels: dict[str, declared.Label] = {}
    for metric in metrics:
        names = ", ".join(f"`{label.name}`" for label in metric.labels)
        yield f"| `{metric.name}` | {_TYPES[type(metric)]} | {names} | {metric.help} |"
    for metric in metrics:
        labels |= {f"{label.name} {label.means} {label.words}": label for label in metric.labels}
    if labels:
        yield "\n| label | says |"
        yield "|---|---|"
    for label in labels.values():
        words = "" if label.words is None else ", ".join(f"`{word}`" for word in sorted(label.words) if word)
        shown = label.means if len(label.words or ()) > 20 else ": ".join(filter(None, (label.means, words)))
        yield f"| `{label.name}` | {shown} |"
    yield ""


def _order(processes: tuple[str, ...]) -> tuple[int, list[int]]:
    return -len(processes), [_ALL.index(process) for process in processes]


def _processes(module: str) -> tuple[str, ...]:
    while module not in _PROCESSES:
        module = module.rpartition(".")[0]
    return _PROCESSES[module]


def _modules() -> Iterator[str]:
    """Those whose packages are processes, or what processes are made of; packages before what is in them."""
    for found in pkgutil.walk_packages(services.__path__, "services."):
        if not found.name.startswith(("services.cli", "services.router.simulator")) and "__main__" not in found.name:
            yield found.name


def main() -> None:
    """Write the page."""
    FILE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
