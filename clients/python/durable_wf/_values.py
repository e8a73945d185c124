"""What values are in SQL: JSON, durations, moments.

JSON: ``None`` is JSON null, which is a value; ``UNSET`` is SQL NULL, nothing.
Dates, times, UUIDs and dataclasses are written as text and objects. NaN is
refused. What a step returns goes through the server's jsonb in the first run as
well, so that a replay gets the very same, the order of keys included.

Durations are seconds, a timedelta, or a string as in PostgreSQL ('10 min',
'1 day 2 h'); None is for ever.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Union

Duration = Union[None, float, int, str, timedelta]


class _Unset:
    """Nothing was given, or has come."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Any = _Unset()


def _default(value: Any) -> Any:
    if isinstance(value, timedelta):
        raise TypeError("a timedelta is no JSON: give its total_seconds()")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")


def to_json(value: Any) -> Optional[str]:
    """The text of a value; None, which is SQL NULL, for UNSET."""
    if value is UNSET:
        return None
    return json.dumps(value, default=_default, allow_nan=False, ensure_ascii=False)


def from_json(text: Optional[str], nothing: Any = None) -> Any:
    """The value of a text; ``nothing`` for SQL NULL."""
    return nothing if text is None else json.loads(text)


_UNITS = {}
for _names, _seconds in (
        ("ms msec msecs millisecond milliseconds", 0.001), ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60), ("h hr hrs hour hours", 3600),
        ("d day days", 86400), ("w week weeks", 604800)):
    for _name in _names.split():
        _UNITS[_name] = _seconds


def to_seconds(duration: Any, by_default: Duration = None) -> float:
    """Seconds; math.inf for ever."""
    given = by_default if duration is UNSET else duration
    if given is None or given == math.inf:
        return math.inf
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, (int, float)):
        if not given >= 0:
            raise ValueError(f"not a duration: {given}")
        return float(given)
    text = str(given).strip().lower()
    clock = re.fullmatch(r"(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?", text)
    if clock:
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    total, rest = 0.0, text
    while rest:
        part = re.match(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", rest)
        if not part or part[2] not in _UNITS:
            raise ValueError(f"not a duration: {given}")
        total += float(part[1]) * _UNITS[part[2]]
        rest = rest[part.end():]
    if not text:
        raise ValueError("a duration is empty")
    return total


def interval_of(seconds: float) -> Optional[str]:
    """The text of an interval; None for ever."""
    return None if seconds == math.inf else f"{seconds:.6f} s"


def to_interval(duration: Any, by_default: Duration = None) -> Optional[str]:
    """The text of a duration."""
    return interval_of(to_seconds(duration, by_default))


def to_datetime(text: str) -> datetime:
    """A moment as PostgreSQL writes it in ISO style."""
    text = re.sub(r"([+-]\d\d)$", r"\1:00", text)
    text = re.sub(r"\.(\d+)", lambda part: "." + part[1].ljust(6, "0"), text)
    return datetime.fromisoformat(text)


def moment(seconds: float) -> datetime:
    """A moment from seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def reconnect_delay(n: int) -> float:
    """The pause before the n-th attempt to connect, with some chance in it."""
    return min(5.0, 0.05 * 2.0 ** min(n, 10)) * (0.5 + random.random() / 2)
