"""Where in a text something looks like a person's data: mail, telephones, cards, accounts."""

import re
from collections.abc import Iterator

from services.gateway.content.credentials import Span

# Patterns begin with what is rare, and look back from there: text without any is passed over at memory's speed.
_DOMAIN = re.compile(r"@[\w-]++(?:\.[\w-]++)++")
_LONGEST_LOCAL = 64

_CARD = re.compile(
    r"[2-6](?<![0-9][2-6])(?:"
    r"[0-9]{12,18}"
    r"|[0-9]{3}([ .\u00a0-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|[0-9]{3}([ .\u00a0-])[0-9]{6}\2[0-9]{5}"
    r")(?![0-9])"
)

_ACCOUNT = re.compile(r"[0-9](?<=(?<![A-Za-z0-9])[A-Za-z]{2}[0-9])[0-9](?=[ \u00a0-]?[A-Za-z0-9])")
_ACCOUNT_BODY = re.compile(r"(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")
# Characters of an IBAN by country: the IBAN registry of SWIFT, release 99.
_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

_PHONES = (
    # With the country: +49 151 2345678, 0049 (0)151/2345678.
    re.compile(r"\+(?<![0-9A-Za-z]\+)\(?[1-9](?:[ ().\u00a0/-]{0,3}[0-9]){6,14}(?![0-9])"),
    re.compile(r"00(?<![0-9A-Za-z.,]00)[1-9](?:[ ().\u00a0/-]{0,3}[0-9]){7,14}(?![0-9])"),
    # As in North America: (212) 555-0123, 212.555.0123.
    re.compile(r"(?:\([2-9][0-9]{2}\) ?|[2-9](?<![0-9A-Za-z.][2-9])[0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}(?![0-9A-Za-z])"),
    # As within a country of Europe: 0151 2345678, 030/1234567, 06 12 34 56 78, 01512345678.
    re.compile(
        r"0(?<![0-9A-Za-z.,:_/-]0)(?:"
        r"[1-9](?:[ .-][0-9]{2}){4}"
        r"|[1-9][0-9]{1,4}(?:\) ?| ?[/-] ?| )[0-9]{3,8}(?:[ -][0-9]{2,5}){0,2}"
        r"|[1-9][0-9]{8,10}"
        r")(?![0-9A-Za-z])"
    ),
)


def mails(text: str) -> Iterator[Span]:
    """Addresses of mail."""
    last = 0
    for domain in _DOMAIN.finditer(text):
        start = at = domain.start()
        low = max(last, at - _LONGEST_LOCAL)
        while start > low and (text[start - 1].isalnum() or text[start - 1] in "._%+-"):
            start -= 1
        if start < at:
            last = domain.end()
            yield start, last, "[email]"


def accounts(text: str) -> Iterator[Span]:
    """IBANs whose check digits are right."""
    last = 0
    for begin in _ACCOUNT.finditer(text):
        start = begin.start() - 2
        length = _LENGTHS.get(text[start : start + 2].upper(), 0)
        body = _ACCOUNT_BODY.match(text, begin.end()) if length and start >= last else None
        if body is None:
            continue
        end, left = body.start(), length - 4
        while left and end < body.end():
            left -= text[end].isalnum()
            end += 1
        if not left and not text[end : end + 1].isalnum() and _is_account(text[start:end]):
            last = end
            yield start, end, "[iban]"


def cards(text: str) -> Iterator[Span]:
    """Numbers of payment cards whose last digit is right."""
    for found in _CARD.finditer(text):
        if is_card(found[0]):
            yield found.start(), found.end(), "[card]"


def phones(text: str) -> Iterator[Span]:
    """Numbers of telephones as they are commonly written. May come in any order."""
    for pattern in _PHONES:
        for found in pattern.finditer(text):
            yield found.start(), found.end(), "[phone]"


def is_card(text: str) -> bool:
    """Whether its digits, 13 to 19 of them, can be a card's: Luhn's check, ISO/IEC 7812-1."""
    digits = [int(character) for character in text if character.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and 2 <= digits[0] <= 6 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_account(text: str) -> bool:
    """Whether its check digits are right: ISO 13616, ISO/IEC 7064 MOD 97-10."""
    plain = "".join(character for character in text if character.isalnum())
    return int("".join(str(int(character, 36)) for character in plain[4:] + plain[:4])) % 97 == 1
