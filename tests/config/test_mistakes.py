"""Mistakes that people make in the file: each is told with its own line, and with what to do."""

import pytest

from services.chassis.config import ConfigError, parse
from services.config.mesh import MeshConfig

FILE = """\
edge: {port: 8080}
gateway: {timeout_seconds: 60}
router: {stale_seconds: 3}
access: {keyless: false}
admin:
  operators:
  - {name: root, credential: admin.key}
providers:
  local: {kind: echo, models: [small, large], workers: 2}
  vendor: {kind: openai, api_keys: ["${KEY}"], models: [gpt-x]}
models:
- name: chat
  aliases: [talk]
  routes:
  - {provider: local, model: small}
- name: bought
  routes:
  - {provider: vendor}
"""
HOSTS = "hosts: {a: [envoy, admin, gatway, router, local-0, local-1, vendor-0]}"
OPERATOR = "  - {name: root, credential: admin.key}"
NO_ADDRESS = "is no address: unix:PATH or HOST:PORT"

# What stands in the file, what is there by mistake, the line that is told, and what is told of it.
MISTAKES = {
    "a section misspelled": ("router:", "ruoter:", 3, "`ruoter` is not known; did you mean `router`?"),
    "a setting misspelled": ("{port:", "{prot:", 1, "`edge.prot` is not known; did you mean `port`?"),
    "a setting of another section": (
        *("8080", "8080, stale_seconds: 3", 1),
        "`edge.stale_seconds` is not known here: it is a setting of another section",
    ),
    "a setting like no other": (
        *("aliases: [talk]", "strategy: {name: adaptive, explor: 1}", 13),
        "`models.0.strategy.explor` is not known",
    ),
    "a word for a number": ("8080", "eighty", 1, "`edge.port`: must be a whole number"),
    "a port that is none": ("8080", "80800", 1, "`edge.port`: must be less than or equal to 65535"),
    "a unit behind seconds": (
        *("timeout_seconds: 60", "timeout_seconds: 60s", 2),
        "`gateway.timeout_seconds`: must be a number of seconds, without a unit, such as `60`",
    ),
    "less than no time": ("stale_seconds: 3", "stale_seconds: -3", 3, "`router.stale_seconds`: must be greater than 0"),
    "neither true nor false": ("false", "nope", 4, "`access.keyless`: must be true or false"),
    "a section with nothing in it": ("{stale_seconds: 3}", "", 3, "`router`: must be a mapping, such as"),
    "a kind misspelled": (
        *("kind: echo", "kind: ehco", 9),
        "`kind` is 'ehco', and must be one of 'vllm', 'openai', 'gemini', 'echo'; did you mean `echo`?",
    ),
    "a kind left out": ("kind: openai, ", "", 10, "`providers.vendor`: `kind` is required"),
    "one key for a list": ('["${KEY}"]', '"${KEY}"', 10, "`providers.vendor.api_keys`: must be a list, such as"),
    "a capability misspelled": (
        *("[gpt-x]", "[gpt-x], capabilities: [chat, tool]", 10),
        "did you mean `tools`?",
    ),
    "a worker without a port": ("workers: 2", "workers: [localhost]", 9, f"`localhost` {NO_ADDRESS}"),
    "a worker by its URL": ("workers: 2", "workers: ['http://h:70']", 9, f"`http://h:70` {NO_ADDRESS}"),
    "a worker at a port that is none": ("workers: 2", "workers: ['h:70000']", 9, f"`h:70000` {NO_ADDRESS}"),
    "a socket without a path": ("{stale_seconds: 3}", "{listen: 'unix:'}", 3, f"`router.listen`: `unix:` {NO_ADDRESS}"),
    "a port by its name": (
        "{timeout_seconds: 60}",
        "{listen: 'h:http'}",
        2,
        f"`gateway.listen`: `h:http` {NO_ADDRESS}",
    ),
    "a provider misspelled": ("provider: local", "provider: lcoal", 15, "no provider `lcoal`; did you mean `local`?"),
    "a model that is not served": ("model: small", "model: smal", 15, "does not serve `smal`; did you mean `small`?"),
    "one of several models": (", model: small", "", 15, "model `chat`: say which model of `local` to use"),
    "a role misspelled": ("model: small", "role: fallbak", 15, "did you mean `fallback`?"),
    "a strategy misspelled": ("aliases: [talk]", "strategy: least-loaded", 13, "did you mean `least_loaded`?"),
    "two models of one name": (
        *("name: bought", "name: chat", 16),
        "model `chat` is given twice: it is a name or an alias of `chat` already",
    ),
    "an alias that is a name": (
        *("[talk]", "[bought]", 16),
        "model `bought` is given twice: it is a name or an alias of `chat` already",
    ),
    "a section twice": ("router: {", "edge: {port: 1}\nrouter: {", 3, "`edge` is given twice"),
    "a line too far in": (
        "  aliases",
        "   aliases",
        13,
        "not valid YAML: mapping values are not allowed here; look for a",
    ),
    "a tab": ("  aliases", "\taliases", 13, "; indent with spaces, not with tabs"),
    "a list without its end": ("large]", "large", 9, "; look at what begins in line 9: it may not be closed"),
    "a variable that is not set": ("${KEY}", "${OPENAI}", 10, "the environment variable OPENAI is not set"),
    "a variable as shells have it": ("${KEY}", "${KEY:=x}", 10, "a variable is written ${NAME}, ${NAME:-default}"),
    "a process misspelled": (
        "router:",
        f"{HOSTS}\nrouter:",
        3,
        "there is no process `gatway`; did you mean `gateway`?",
    ),
    "a process on no host": (
        *("router:", f"{HOSTS.replace(' gatway,', '')}\nrouter:", 3),
        "`hosts`: `gateway` is on no host",
    ),
    "a ceiling's model misspelled": (
        *("admin.key", "admin.key, ceiling: {models: [chta]}", 7),
        "operator `root`: there is no model `chta`; did you mean `chat`?",
    ),
    "a ceiling by an alias": (
        *("admin.key", "admin.key, ceiling: {models: [talk]}", 7),
        "operator `root`: `talk` is an alias; name the model itself, `chat`",
    ),
    "a right misspelled": ("admin.key", "admin.key, may: [key]", 7, "did you mean `keys`?"),
    "two operators of one name": (OPERATOR, f"{OPERATOR}\n{OPERATOR}", 8, "two operators are named `root`"),
    "a flag's model misspelled": (
        *("router:", "flags: {hedging: {models: [chta]}}\nrouter:", 3),
        "flags: there is no model `chta`; did you mean `chat`?",
    ),
}


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, MeshConfig, source="hybrid.yaml", environment={"KEY": "s3cret-key"})
    return caught.value.problems


def test_without_a_mistake_the_file_is_good() -> None:
    assert parse(FILE, MeshConfig, source="hybrid.yaml", environment={"KEY": "k"}).models


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_do(mistake: str) -> None:
    right, wrong, line, told = MISTAKES[mistake]
    assert right in FILE
    problems = _problems(FILE.replace(right, wrong, 1))
    assert [each for each in problems if each.startswith(f"hybrid.yaml:{line}: ") and told in each], problems
    assert "s3cret" not in "".join(problems)
    assert "Input should" not in "".join(problems)


def test_all_mistakes_of_a_kind_are_told_at_once() -> None:
    text = FILE.replace("{port:", "{prot:").replace("false", "nope").replace("kind: echo", "kind: ehco")
    assert [each.partition(": ")[0] for each in _problems(text)] == [f"hybrid.yaml:{line}" for line in (1, 4, 9)]
