"""Reads a LiteLLM configuration: what of it there is here, and what there is not."""

import dataclasses
import re
from collections.abc import Mapping

from services.cli.problem import Problem

# LiteLLM's names of providers whose API is OpenAI's, at an address of theirs unless the file gives one.
_OPENAI = {
    "openai": "https://api.openai.com/v1",
    "text-completion-openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "together_ai": "https://api.together.xyz/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "xai": "https://api.x.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "fireworks_ai": "https://api.fireworks.ai/inference/v1",
}
# Of others' servers the file has to say where they are.
_SELF_HOSTED = ("hosted_vllm", "vllm", "openai_like", "custom_openai", "lm_studio", "llamafile", "litellm_proxy")
_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "text-completion-openai": "OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "xai": "XAI_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "fireworks_ai": "FIREWORKS_AI_API_KEY",
}
_ADDRESS = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
_ENVIRONMENT = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_READ = ("model", "api_base", "base_url", "api_key", "rpm", "tpm", "custom_llm_provider", "weight")
_ROUTER_READ = ("fallbacks", "model_group_alias")


@dataclasses.dataclass(frozen=True, slots=True)
class Vendor:
    """One place to buy tokens: its kind here, its address (empty: the kind's own), and the variable with its key."""

    kind: str
    base_url: str
    variable: str


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """One way to serve a name: the vendor and its model."""

    name: str
    vendor: Vendor
    model: str
    weight: float = 1.0


@dataclasses.dataclass(slots=True)
class Read:
    """What was found. `notes` says, for people, what was left out or is another way here."""

    deployments: list[Deployment] = dataclasses.field(default_factory=list)
    fallbacks: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def read(file: object) -> Read:
    """What a LiteLLM configuration has, as plain data.

    Raises:
        Problem: it is none.
    """
    entries = file.get("model_list") if isinstance(file, Mapping) else None
    if not isinstance(file, Mapping) or not isinstance(entries, list):
        raise Problem("it has no `model_list`, which a LiteLLM configuration begins with", code=2)
    found = Read()
    for number, entry in enumerate(entries):
        _entry(found, f"model_list[{number}]", entry)
    _router(found, file.get("router_settings"), file.get("litellm_settings"))
    for section in file:
        if section not in ("model_list", "router_settings", "litellm_settings"):
            found.notes.append(f"`{section}` is not read: keys, budgets and callbacks are made another way here")
    return found


def _entry(found: Read, where: str, entry: object) -> None:
    settings = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(settings, Mapping):
        found.notes.append(f"{where} has no `litellm_params`; left out")
        return
    model, name = str(settings.get("model") or ""), str(entry.get("model_name") or "")
    if not model or not name:
        found.notes.append(f"{where} has no `model_name` or no `model`; left out")
        return
    where = f"{where} ({name})"
    if "*" in name or "*" in model:
        found.notes.append(f"{where}: names with `*` are not known here; list each model")
        return
    kind, _, own = model.partition("/") if "/" in model else ("openai", "", model)
    if settings.get("custom_llm_provider"):
        kind, own = str(settings["custom_llm_provider"]), model
    base = str(settings.get("api_base") or settings.get("base_url") or "")
    vendor = _vendor(found, where, kind, base, settings.get("api_key"))
    if vendor is None:
        return
    weight = settings.get("weight")
    if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not 0 < weight <= 1e6:
        weight = 1.0
    found.deployments.append(Deployment(name, vendor, own, float(weight)))
    limits = [f"{key} {settings[key]}" for key in ("rpm", "tpm") if settings.get(key)]
    if limits:
        found.notes.append(f"{where}: {', '.join(limits)}: a vendor's own limits are followed as it tells them")
    found.notes += [f"{where}: `litellm_params.{key}` is not read" for key in settings if key not in _READ]


def _vendor(found: Read, where: str, kind: str, base: str, key: object) -> Vendor | None:
    if kind == "azure" or kind.startswith("azure_"):
        found.notes.append(f"{where}: Azure's deployments and `api-version` are not spoken here; left out")
        return None
    if base and not _ADDRESS.fullmatch(base):
        # Not quoted: what stands before an @ or after a ? is a secret at some vendors.
        found.notes.append(f"{where}: `api_base` is not http(s)://HOST/PATH without user and query; left out")
        return None
    if kind == "gemini":
        return Vendor("gemini", base.rstrip("/"), _variable(found, where, kind, key))
    if kind in _OPENAI or kind in _SELF_HOSTED:
        address = base.rstrip("/") or _OPENAI.get(kind, "")
        if not address:
            found.notes.append(f"{where}: `{kind}` needs an `api_base`; left out")
            return None
        keyless = kind in _SELF_HOSTED and key in (None, "", "none", "None", "fake", "EMPTY")
        return Vendor("openai", address, "" if keyless else _variable(found, where, kind, key))
    found.notes.append(f"{where}: the provider `{kind}` is not spoken here; left out")
    return None


def _variable(found: Read, where: str, kind: str, key: object) -> str:
    """The environment's variable that has the key. One that stands in the file itself is not taken over."""
    given = _ENVIRONMENT.fullmatch(str(key or ""))
    if given:
        return given[1]
    name = _VARIABLES.get(kind) or re.sub(r"\W", "_", f"{kind}_API_KEY").upper()
    if key:
        found.notes.append(f"{where}: its key stands in the file and is not copied; put it into {name}")
    return name


def _router(found: Read, router: object, library: object) -> None:
    for section, settings in (("router_settings", router), ("litellm_settings", library)):
        if not isinstance(settings, Mapping):
            continue
        for pair in settings.get("fallbacks") or ():
            if isinstance(pair, Mapping):
                for name, others in pair.items():
                    names = [str(other) for other in others] if isinstance(others, list) else [str(others)]
                    found.fallbacks.setdefault(str(name), []).extend(names)
        aliases = settings.get("model_group_alias")
        for alias, target in aliases.items() if isinstance(aliases, Mapping) else ():
            hidden = isinstance(target, Mapping)
            found.aliases[str(alias)] = str(target.get("model") if hidden else target)
        found.notes += [f"`{section}.{key}` is not read" for key in settings if key not in _ROUTER_READ]
