"""`hybrid keys`: makes, shows, revokes and rotates callers' keys."""

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import routing_pb2
from rich.markup import escape
from rich.table import Table

from services.cli.ledger import printable
from services.cli.moments import moment
from services.cli.money import nano_usd, usd
from services.cli.problem import Problem

# As `services.cli.operating.ask` with home, mesh and credential given.
Ask = Callable[[str, Any], Any]

_CRITICALITIES = ("sheddable", "sheddable-plus", "critical", "critical-plus")
_CONTENTS = ("none", "hashed", "redacted", "stored")
_BILLINGS = ("strict", "relaxed")
_PAGE = 1000


def spec(
    *,
    owner: str,
    now: datetime.datetime,
    name: str = "",
    models: Sequence[str] = (),
    providers: Sequence[str] = (),
    scopes: Sequence[str] = (),
    labels: Sequence[str] = (),
    expires: str | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int | None = None,
    budget_usd_day: str | None = None,
    budget_usd_month: str | None = None,
    criticality: str | None = None,
    weight: float | None = None,
    content: str = "none",
    retention_days: int | None = None,
    billing: str = "strict",
) -> admin.KeySpec:
    """What the options of `hybrid keys create` ask for.

    Raises:
        Problem: naming the option that makes no sense.
    """
    made = admin.KeySpec(
        owner=owner,
        name=name,
        labels=dict(_labels(labels)),
        models=models,
        providers=providers,
        scopes=scopes,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        concurrency=concurrency,
        weight=weight or 0.0,
        content=_of(admin.ContentPolicy, "CONTENT_POLICY", content, "--content", _CONTENTS),
        content_retention_days=retention_days or 0,
        billing=_of(admin.Billing, "BILLING", billing, "--billing", _BILLINGS),
    )
    if criticality is not None:
        made.criticality = _of(routing_pb2.Criticality, "CRITICALITY", criticality, "--criticality", _CRITICALITIES)
    if budget_usd_day is not None:
        made.budget_nano_usd_per_day = nano_usd(budget_usd_day, "--budget-usd-day")
    if budget_usd_month is not None:
        made.budget_nano_usd_per_month = nano_usd(budget_usd_month, "--budget-usd-month")
    if expires is not None:
        made.expires_at.CopyFrom(timestamp(moment(expires, "--expires", now=now, sign=1)))
    return made


def key_id_of(text: str) -> str:
    """A key's id, also of a whole credential, such as one that was found where it should not be."""
    return text.removeprefix("hi_").partition("_")[0]


def create(ask: Ask, wanted: admin.KeySpec) -> admin.CreateKeyResponse:
    """A new key, with its credential."""
    made: admin.CreateKeyResponse = ask("CreateKey", admin.CreateKeyRequest(spec=wanted))
    return made


def every(ask: Ask, *, owner: str, ended: bool) -> Iterator[admin.Key]:
    """The keys that there are, newest first; `ended` has those that are revoked or expired, too."""
    token = ""
    while True:
        request = admin.ListKeysRequest(owner=owner, include_ended=ended, page_size=_PAGE, page_token=token)
        page: admin.ListKeysResponse = ask("ListKeys", request)
        yield from page.keys
        token = page.next_page_token
        if not token:
            return


def revoke(ask: Ask, key_id: str) -> admin.Key:
    """End a key."""
    answer: admin.RevokeKeyResponse = ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id_of(key_id)))
    return answer.key


def rotate(ask: Ask, key_id: str, grace: datetime.timedelta | None) -> admin.RotateKeyResponse:
    """Give a key another secret; that before is taken for the time of grace."""
    request = admin.RotateKeyRequest(key_id=key_id_of(key_id))
    if grace is not None:
        request.grace.CopyFrom(duration_pb2.Duration(seconds=int(grace.total_seconds())))
    answer: admin.RotateKeyResponse = ask("RotateKey", request)
    return answer


def plain(key: admin.Key) -> dict[str, Any]:
    """A key for programs: times in ISO 8601, amounts in US dollars as text; null where there is none."""
    wanted = key.spec
    return {
        "key_id": key.key_id,
        "owner": wanted.owner,
        "name": wanted.name,
        "labels": dict(wanted.labels),
        "models": list(wanted.models),
        "providers": list(wanted.providers),
        "scopes": list(wanted.scopes),
        "expires_at": _iso(wanted, "expires_at"),
        "requests_per_minute": _given(wanted, "requests_per_minute"),
        "tokens_per_minute": _given(wanted, "tokens_per_minute"),
        "concurrency": _given(wanted, "concurrency"),
        "budget_usd_per_day": _usd(_given(wanted, "budget_nano_usd_per_day")),
        "budget_usd_per_month": _usd(_given(wanted, "budget_nano_usd_per_month")),
        "criticality": routing_pb2.Criticality.Name(wanted.criticality or routing_pb2.CRITICALITY_CRITICAL)
        .removeprefix("CRITICALITY_")
        .lower()
        .replace("_", "-"),
        "weight": wanted.weight,
        "content": _CONTENTS[wanted.content],
        "content_retention_days": wanted.content_retention_days,
        "billing": "relaxed" if wanted.billing == admin.BILLING_RELAXED else "strict",
        "created_at": _iso(key, "created_at"),
        "created_by": key.created_by,
        "revoked_at": _iso(key, "revoked_at"),
        "rotated_at": _iso(key, "rotated_at"),
        "previous_until": _iso(key, "previous_until"),
    }


def table(keys: Sequence[admin.Key], *, now: datetime.datetime) -> Table:
    """Keys for people."""
    view = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("id", "owner", "name", "made UTC", "by", "state"):
        view.add_column(name, no_wrap=name in ("id", "made UTC", "state"), overflow="fold")
    view.add_column("may", overflow="fold")
    for key in keys:
        view.add_row(
            key.key_id,
            *(escape(printable(text)) for text in (key.spec.owner, key.spec.name)),
            f"{key.created_at.ToDatetime():%Y-%m-%d %H:%M}",
            escape(printable(key.created_by)),
            _state(key, now),
            escape(printable(_may(plain(key)))),
        )
    return view


def timestamp(at: datetime.datetime) -> timestamp_pb2.Timestamp:
    """A moment with its time zone as the contract has it."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(at)
    return stamp


def _state(key: admin.Key, now: datetime.datetime) -> str:
    if key.HasField("revoked_at"):
        return "[red]revoked[/]"
    if not key.spec.HasField("expires_at"):
        return "valid"
    ends = key.spec.expires_at.ToDatetime(tzinfo=datetime.UTC)
    return "[red]expired[/]" if ends <= now else f"until {ends:%Y-%m-%d %H:%M}"


def _may(key: dict[str, Any]) -> str:
    """Its limits in words."""
    bounds = {
        "requests_per_minute": "{}/min",
        "tokens_per_minute": "{} tokens/min",
        "concurrency": "{} at once",
        "budget_usd_per_day": "{} USD/day",
        "budget_usd_per_month": "{} USD/month",
    }
    said = [f"{name} {', '.join(key[name])}" for name in ("models", "providers", "scopes") if key[name]]
    said += [form.format(key[name]) for name, form in bounds.items() if key[name] is not None]
    said += [f"content {key['content']}"] if key["content"] != "none" else []
    return "; ".join(said) or "everything"


def _labels(pairs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise Problem(f"--label: `{pair}` is no label: NAME=VALUE", code=2)
        yield name, value


def _of(enum: Any, prefix: str, word: str, option: str, words: Sequence[str]) -> Any:
    if word not in words:
        raise Problem(f"{option}: `{word}` is none of {', '.join(words)}", code=2)
    return 0 if word == "none" else enum.Value(f"{prefix}_{word.upper().replace('-', '_')}")


def _given(message: Any, field: str) -> int | None:
    return getattr(message, field) if message.HasField(field) else None


def _usd(nano: int | None) -> str | None:
    return None if nano is None else usd(nano)


def _iso(message: Any, field: str) -> str | None:
    if not message.HasField(field):
        return None
    found: datetime.datetime = getattr(message, field).ToDatetime(tzinfo=datetime.UTC)
    return found.isoformat(timespec="microseconds")
