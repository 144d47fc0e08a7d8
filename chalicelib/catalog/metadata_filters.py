"""Filters on metadata, as clients write them, as SQL/JSON paths.

``metadata.camera.make=Leica`` asks for a value; ``metadata.iso:gte=400`` compares. The value decides how: numbers compare as
numbers, RFC 3339 times and dates as times, all else as texts. An array matches if one of its elements does.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime

PREFIX = "metadata."
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = ("ne", *_OPERATORS, "exists")
# In ASCII: the digits of other scripts are letters to SQL/JSON.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,30})(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_MAX_LEVELS = 8
_ROOT = "lax $"


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """One condition: that ``path`` (SQL/JSON) finds something or, if ``negated``, that it doesn't."""

    path: str
    negated: bool = False

    def below(self, member: str) -> str:
        """The path in a document that has the metadata as a member of this name.

        >>> MetadataFilter('lax $."iso" ? (@ == 400)').below("whose")
        'lax $."whose"."iso" ? (@ == 400)'
        """
        return f"{_ROOT}.{json.dumps(member)}{self.path.removeprefix(_ROOT)}"


def parse_filter(name: str, value: str) -> MetadataFilter:
    """The filter of one query parameter: ``metadata.<member>[.<member>…][:<operator>]``.

    >>> parse_filter("metadata.iso:gte", "400").path
    'lax $."iso" ? (@ >= 400)'

    Raises:
        ValueError: no member is named, the operator is none of `OPERATORS`, or ``exists`` is neither true nor false.
    """
    where, _, operator = name.removeprefix(PREFIX).partition(":")
    members = where.split(".")
    if not all(members) or len(members) > _MAX_LEVELS:
        raise ValueError(f"Name one to {_MAX_LEVELS} members, as in metadata.camera.make.")
    path = _ROOT + "".join(f".{json.dumps(member, ensure_ascii=False)}" for member in members)
    if operator == "exists":
        if value not in ("true", "false"):
            raise ValueError("Must be true or false.")
        return MetadataFilter(path, negated=value == "false")
    if operator in ("", "ne"):
        return MetadataFilter(f"{path} ? ({_equal(value)})", negated=operator == "ne")
    if operator not in _OPERATORS:
        raise ValueError(f"The operator {operator} is none of {', '.join(OPERATORS)}.")
    return MetadataFilter(f"{path} ? ({_ordered(_OPERATORS[operator], value)})")


def _equal(value: str) -> str:
    """The condition that something equals ``value``: as a text and, if it can be one, as a number, truth value or time."""
    choices = [f"@ == {json.dumps(value, ensure_ascii=False)}"]
    if _NUMBER.fullmatch(value):
        choices.append(f"@ == {value}")
    if value in ("true", "false", "null"):
        choices.append(f"@ == {value}")
    if _is_time(value):
        choices.append(f"@.timestamp_tz() == {json.dumps(_moment(value))}.timestamp_tz()")
    return " || ".join(choices)


def _ordered(sign: str, value: str) -> str:
    if _NUMBER.fullmatch(value):
        return f"@ {sign} {value}"
    if _is_time(value):
        return f"@.timestamp_tz() {sign} {json.dumps(_moment(value))}.timestamp_tz()"
    return f"@ {sign} {json.dumps(value, ensure_ascii=False)}"


def _is_time(value: str) -> bool:
    if not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _moment(value: str) -> str:
    """The time in ISO 8601. Without a zone it is taken as UTC; a date means its midnight."""
    moment = datetime.fromisoformat(value)
    text = moment.isoformat()
    return text if moment.tzinfo else f"{text}+00:00"
