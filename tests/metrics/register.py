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
_ELSEWHERE = {"hybrid_config_info": _ALL, "hybrid_config_last_reload_successful": _ALL}
_TYPES = {declared.Counter: "counter", declared.Gauge: "gauge", declared.Histogram: "histogram"}

_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")

_HEAD = """# Metrics

Every metric of the Python processes. `make metrics` writes this page out of the declarations in the code; a test
fails when it is not what they say. [dashboards.md](dashboards.md) shows them.

Each process serves them over HTTP at an address of its own, in the text format of Prometheus, or as OpenMetrics where
a scraper asks for that, then with exemplars: histograms of requests name a trace of each bucket, where it is sampled.

Names are those of conventions where there is one: `gen_ai_*` of OpenTelemetry's for generative AI, where a gateway is
a server and a worker the client of its provider; `grpc_server_*` of go-grpc-prometheus, on which most dashboards are
built. Labels come from closed sets: never a key, a path, or what a caller wrote. A model that nobody configured counts
as `other`. Which process it is, Prometheus adds as `job` (`gateway`, `router`, …) and `process`. A histogram adds
`_bucket`, `_count` and `_sum` to its name.
"""
# What dashboards and alerts name besides, of others: metrics, and the labels that are used of them.
_OTHERS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "The process itself": (
        "prometheus-client's own, in every process. There are more.",
        (
            *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"),
            *("process_open_fds", "process_max_fds"),
        ),
        (),
    ),
    "Prometheus": ("What Prometheus adds of each process that it scrapes.", ("up",), ()),
    "Envoy": (
        "A few of many: [edge.md](edge.md) says more.",
        (
            *("envoy_http_downstream_rq_xx", "envoy_http_downstream_rq_active", "envoy_http_downstream_cx_active"),
            *("envoy_cluster_membership_healthy", "envoy_cluster_membership_total"),
            *("envoy_listener_manager_lds_update_rejected", "envoy_listener_manager_lds_update_failure"),
            "envoy_server_days_until_first_cert_expiring",
        ),
        ("envoy_http_conn_manager_prefix", "envoy_response_code_class", "envoy_cluster_name"),
    ),
    "The engine": (
        "vLLM's own, which a worker with an engine hands on. A few of many.",
        (
            *("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
            *("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total"),
            *("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total"),
            *("vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"),
            *("vllm:e2e_request_latency_seconds", "vllm:request_queue_time_seconds"),
            *("vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds"),
            *("vllm:request_prompt_tokens", "vllm:request_generation_tokens", "vllm:iteration_tokens_total"),
        ),
        ("finished_reason", "model_name"),
    ),
}


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
    for title, (what, names, _) in _OTHERS.items():
        sections.append(f"## {title}\n\n{what}\n\n" + "".join(f"- `{name}`\n" for name in names))
    return "\n".join(sections)


@functools.cache
def samples() -> frozenset[str]:
    """The names of all samples that may be asked for, those of others included."""
    ours = {sample for name in register() for sample in exported(name)}
    theirs = {name for _, names, _ in _OTHERS.values() for name in names}
    # Which of theirs are histograms is theirs to say.
    return frozenset(ours | theirs | {f"{name}{end}" for name in theirs for end in _OF_HISTOGRAMS})


def labels(names: Iterable[str]) -> frozenset[str]:
    """The labels of all of these samples together."""
    found: set[str] = set()
    for name in names:
        declaring = [one for one in register() if name in exported(one)]
        for one in declaring:
            found |= set(register()[one][0].label_names)
        if not declaring:
            found |= {label for _, _, used in _OTHERS.values() for label in used}
    return frozenset(found)


def exported(name: str) -> Iterator[str]:
    """The names of the samples of a metric."""
    metric, _ = register()[name]
    if isinstance(metric, declared.Histogram):
        yield from (f"{name}{end}" for end in _OF_HISTOGRAMS)
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
