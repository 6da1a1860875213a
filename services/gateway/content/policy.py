"""What a key's policy makes of what was said."""

from typing import Any

from hybridinference.gateway.v1 import ledger_pb2 as ledger

from services.gateway.call import Call
from services.gateway.content.capture import DOUBTFUL, Manner, Writer, as_json
from services.gateway.content.hashing import Hasher, plain
from services.gateway.content.hearing import Heard
from services.gateway.content.redaction import redact, redact_json


def content_record(generation_id: str, call: Call[Any], heard: Heard, hasher: Hasher) -> ledger.ContentRecord:
    """What is kept of one generation, of a key whose policy is not `none`.

    `stored`: both as JSON. `redacted`: the same, without what looks like a secret or a person's data. `hashed`: hashes
    of what would be stored, of the question as a whole.
    """
    grant = call.grant
    manner = _manner(grant.content, grant.key_id, hasher)
    asking, answering = Writer(manner), Writer(manner)
    asked = as_json(asking.message(call.spec), cut=asking.cut)
    answered = as_json(heard.answered(answering), cut=answering.cut)
    hashed = grant.content == "hashed"
    return ledger.ContentRecord(
        generation_id=generation_id,
        key_id=grant.key_id,
        policy=grant.content,
        input=hasher.digest(grant.key_id, asked) if hashed else asked.decode(),
        output=hasher.digest(grant.key_id, answered) if hashed else answered.decode(),
        retention_days=grant.content_retention_days,
    )


def _manner(policy: str, key_id: str, hasher: Hasher) -> Manner:
    def keyed(data: bytes) -> str:
        return hasher.digest(key_id, data)

    if policy == "stored":
        return Manner(text=str, text_json=str, digest=plain, token_ids=True)
    if policy == "hashed":
        return Manner(text=str, text_json=str, digest=keyed, token_ids=True, most_bytes=None)
    # Whatever else a policy may be called one day, less is kept rather than more.
    return Manner(text=redact, text_json=redact_json, digest=keyed, token_ids=False, doubtful=DOUBTFUL)
