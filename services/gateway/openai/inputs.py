"""One input or several, as texts or as token ids: what is to be embedded, or gone on with."""

from collections.abc import Iterator

from services.gateway.openai.fields import UINT32, bounded, expected, refuse


def inputs(value: object, path: str, most: int) -> Iterator[str | list[int]]:
    """A text, several, the token ids of one, or those of several: each text, or list of ids, of at most so many.

    Raises:
        Failure: SPEC_INVALID, with what is expected and the path of the mistake.
    """
    if isinstance(value, str):
        yield _text(value, path)
        return
    if not isinstance(value, list):
        refuse(path, expected("a string, an array of strings, or one of token ids", value))
    if not value:
        refuse(path, "must not be empty.")
    if isinstance(value[0], int | float):
        yield _tokens(value, path)
        return
    bounded(value, path, most)
    for index, item in enumerate(value):
        place = f"{path}[{index}]"
        if isinstance(item, str):
            yield _text(item, place)
        elif isinstance(item, list):
            yield _tokens(item, place)
        else:
            refuse(place, expected("a string or an array of token ids", item))


def _text(text: str, path: str) -> str:
    return text or refuse(path, "must not be an empty string.")


def _tokens(ids: list[object], path: str) -> list[int]:
    if not ids:
        refuse(path, "must not be empty.")
    # Every type and both ends at once, since there may be a million of them; one by one only to find the mistake.
    sound = set(map(type, ids)) == {int} and UINT32[0] <= min(ids) and max(ids) <= UINT32[1]  # type: ignore[type-var,operator]
    if sound:
        return ids  # type: ignore[return-value]
    return [_token(token, f"{path}[{index}]") for index, token in enumerate(ids)]


def _token(token: object, path: str) -> int:
    # A bool is an int, too, but no token; 2.0 is an integer to JSON.
    if not (type(token) is int or (isinstance(token, float) and token.is_integer())):
        refuse(path, expected("a token id, an integer", token))
    if not UINT32[0] <= token <= UINT32[1]:
        refuse(path, f"must be between {UINT32[0]} and {UINT32[1]}.")
    return int(token)
