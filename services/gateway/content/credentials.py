"""Where in a text something looks like a secret: keys, tokens, passwords that are named as such."""

import re
from collections.abc import Iterator

# Where it begins, where it ends, and what stands there afterwards.
Span = tuple[int, int, str]

# Prefixes of keys that vendors give out, and of our own, each with the least that follows. What is masked counts too.
_PREFIXES = {
    **dict.fromkeys(("sk-", "rk-", "pk-", "xai-", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"), 8),
    **dict.fromkeys(("AKIA", "ASIA"), 12),
    **dict.fromkeys(("hi_", "ha_", "AIza", "gsk_", "ya29.", "glpat-", "SG.", "pypi-"), 20),
    **dict.fromkeys(("xoxb-", "xoxp-", "xoxa-", "xoxs-", "xoxr-"), 10),
    **dict.fromkeys(("hf_", "r8_", "npm_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), 30),
}
# With so much behind them they are keys in the middle of a word, too: `risk-averse` has a prefix in it.
_UNMISTAKABLE = 20
_PREFIX = re.compile("|".join(map(re.escape, _PREFIXES)))
_BODY = re.compile(r"[A-Za-z0-9_*.=-]++")

_JWT = re.compile(r"eyJ")
# The signature may be missing, and the rest too where an answer broke off.
_JWT_BODY = re.compile(r"[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++){1,2}|[A-Za-z0-9_-]{8,}+\Z")

_BEARER = re.compile(r"[Bb](?:earer|EARER)\s{1,4}")
_CREDENTIAL = re.compile(r"[^\s\"',;<>{}\[\]()\\]{8,}+")

# An end that never comes takes the rest with it.
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_ASSIGNED = re.compile(r"[:=](?<=[A-Za-z\"'` ][:=])")
_VALUE = re.compile(r"\s{0,4}\\?[\"'`]?(?:(?:bearer|basic|token)\s{1,4})?([^\s\"'`,;&<>{}\\]{4,}+)", re.IGNORECASE)
# How names end whose value is a secret whatever it looks like, without what stands between their words.
_NAMES = (
    *("password", "passwd", "passphrase", "pwd", "secret", "authorization", "credential"),
    *("apikey", "accesskey", "privatekey", "secretkey", "signingkey"),
    *("accesstoken", "apitoken", "authtoken", "refreshtoken", "sessiontoken", "idtoken"),
)
_LONGEST_NAME = 24
_BETWEEN_WORDS = str.maketrans("", "", "_- ")


def names_secret(name: str) -> bool:
    """Whether what has that name is a secret: `password`, `OPENAI_API_KEY`."""
    return name.lower().translate(_BETWEEN_WORDS).removesuffix("s").endswith(_NAMES)


def blocks(text: str) -> Iterator[Span]:
    """Private keys in their armour."""
    last = 0
    for begin in _BLOCK.finditer(text):
        if begin.start() >= last:
            end = _BLOCK_END.search(text, begin.end())
            last = end.end() if end else len(text)
            yield begin.start(), last, "[private-key]"


def keys(text: str) -> Iterator[Span]:
    """Keys that are known by how they begin."""
    last = 0
    for prefix in _PREFIX.finditer(text):
        least = _PREFIXES[prefix[0]]
        if prefix.start() < last or (least < _UNMISTAKABLE and not _begins(text, prefix.start())):
            continue
        body = _BODY.match(text, prefix.end())
        if body is None:
            continue
        end = body.start() + len(body[0].rstrip("."))  # a sentence ends there, too
        if end - prefix.end() >= least:
            last = end
            yield prefix.start(), end, "[key]"


def tokens(text: str) -> Iterator[Span]:
    """JSON web tokens."""
    last = 0
    for begin in _JWT.finditer(text):
        if begin.start() >= last and _begins(text, begin.start()):
            body = _JWT_BODY.match(text, begin.end())
            if body is not None:
                last = body.end()
                yield begin.start(), last, "[token]"


def bearers(text: str) -> Iterator[Span]:
    """What follows the word `Bearer`, unless it is a word itself."""
    last = 0
    for begin in _BEARER.finditer(text):
        said = _CREDENTIAL.match(text, begin.end())
        if said is not None and begin.start() >= last and (len(said[0]) >= 24 or not said[0].rstrip(".:!?").isalpha()):
            last = said.end()
            yield said.start(), last, "[token]"


def named(text: str) -> Iterator[Span]:
    """What is said to be a password or a key: `password=…`, `"api_key": "…"`."""
    last = 0
    for sign in _ASSIGNED.finditer(text):
        at = sign.start()
        if at < last or not names_secret(text[max(0, at - _LONGEST_NAME) : at].rstrip("\"'`\\ ")):
            continue
        value = _VALUE.match(text, sign.end())
        if value is not None:
            last = value.end(1)
            yield value.start(1), last, "[secret]"


def _begins(text: str, at: int) -> bool:
    """Whether a word begins there; after `\\n` in text that is written as JSON, too."""
    if at == 0 or not (text[at - 1].isalnum() or text[at - 1] == "_"):
        return True
    return text[at - 1] in "nrtbf" and at > 1 and text[at - 2] == "\\"
