"""What the admin service says to PostgreSQL, usage aside."""

from services.gateway.admin import rows

# Every value is a parameter: what is put together here are names of columns, which stand in our own code.
_SHOWN = ", ".join(
    ("key_id", *rows.TERMS, "created_at", "created_by", "revoked_at", "rotated_at", "previous_until", "now() AS now")
)
_MADE = ("key_id", "mac", "pepper_id", "created_by", *rows.TERMS)
CREATE = (
    f"INSERT INTO keys ({', '.join(_MADE)}) VALUES ({', '.join(f'${n}' for n in range(1, len(_MADE) + 1))}) "  # noqa: S608
    f"RETURNING {_SHOWN}"
)
# Whoever has a ceiling of owners ($1) sees theirs alone.
_SEEN = "($1::text[] IS NULL OR owner = ANY($1))"
LIST = (
    f"SELECT {_SHOWN} FROM keys WHERE {_SEEN} AND ($2 = '' OR owner = $2) "  # noqa: S608
    "AND ($3 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))) "
    "AND ($4::timestamptz IS NULL OR (created_at, key_id) < ($4, $5)) "
    "ORDER BY created_at DESC, key_id DESC LIMIT $6"
)
TAKE = f"SELECT {_SHOWN} FROM keys WHERE {_SEEN} AND key_id = $2 FOR UPDATE"  # noqa: S608
REVOKE = (
    "UPDATE keys SET revoked_at = coalesce(revoked_at, now()), changed_at = clock_timestamp(), "  # noqa: S608
    f"previous_mac = NULL, previous_pepper_id = NULL, previous_until = NULL WHERE key_id = $1 RETURNING {_SHOWN}"
)
# The secret before the last one ends here, whatever it was given.
ROTATE = (
    "UPDATE keys SET mac = $2, pepper_id = $3, rotated_at = now(), changed_at = clock_timestamp(), "  # noqa: S608
    "previous_mac = CASE WHEN $4 > interval '0' THEN mac END, "
    "previous_pepper_id = CASE WHEN $4 > interval '0' THEN pepper_id END, "
    f"previous_until = CASE WHEN $4 > interval '0' THEN now() + $4 END WHERE key_id = $1 RETURNING {_SHOWN}"
)
WRITE = (
    "INSERT INTO audit (audit_id, operator, action, key_id, details, outcome) VALUES ($1, $2, $3, $4, $5::jsonb, $6)"
)
# Sums over years of hours take longer than a key; nobody waits for them but who asked.
PATIENT = "SET LOCAL statement_timeout = '30s'"
DRAINS = "SELECT kind, name, since, operator FROM drains ORDER BY kind, name"
# One after the other: each has to see whether it would leave no gateway.
LOCK_DRAINS = "LOCK TABLE drains IN EXCLUSIVE MODE"
# Said twice it is as it was: since when, and by whom.
DRAIN = (
    "INSERT INTO drains (kind, name, operator) VALUES ($1, $2, $3) "
    "ON CONFLICT (kind, name) DO UPDATE SET kind = excluded.kind RETURNING kind, name, since, operator"
)
UNDRAIN = "DELETE FROM drains WHERE kind = $1 AND name = $2 RETURNING kind"
# One admin process at a time compares and writes.
LOCK_FLAGS = "SELECT pg_advisory_xact_lock(hashtext('hybrid flags'))"
FLAGS = (
    "SELECT DISTINCT ON (details->>'flag') details->>'flag' AS flag, details->>'after' AS after, "
    "details->>'file_changed_at' AS changed_at, operator FROM audit WHERE action = 'SetFlag' "
    "ORDER BY details->>'flag', at DESC, audit_id DESC"
)
