"""How many segments an SMS takes: GSM-7 or UCS-2, as 3GPP TS 23.038 and TS 23.040 count them.

Rule 1: one character outside the GSM alphabet turns the whole message into UCS-2, at less than half
the room.
Rule 2: neither an escape pair (GSM-7) nor a surrogate pair (UCS-2) is torn apart by the end of a
segment.
Rule 3: this is the standard's count; the API document does not say how the platform splits or
bills.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# 3GPP TS 23.038, 6.2.1: the default alphabet; each character is one septet. ESC (0x1B) is not a
# character.
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 3GPP TS 23.038, 6.2.1.1: the extension table; each character is ESC and one more septet.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")

# 3GPP TS 23.040, 9.2.3.24.1: 140 octets a segment, 6 of them a header once there is more than one.
_GSM7_SINGLE, _GSM7_PART = 160, 153  # septets
_UCS2_SINGLE, _UCS2_PART = 70, 67  # UTF-16 code units


@frozen
class Segments:
    """The size of one SMS: ``units`` are septets (GSM-7) or UTF-16 code units (UCS-2).

    ``outside`` holds the characters that GSM-7 lacks, each once, in order: write the text without
    them and it fits into fewer segments.
    """

    encoding: Literal["GSM-7", "UCS-2"]
    units: int
    segments: int
    outside: str = ""


def measure(text: str) -> Segments:
    """Count the segments of a text."""
    outside = "".join(dict.fromkeys(c for c in text if c not in _BASIC and c not in _EXTENDED))
    if outside:
        units = sum(_utf16(text))
        return Segments(
            "UCS-2", units, _pack(_utf16(text), units, _UCS2_SINGLE, _UCS2_PART), outside
        )
    units = sum(_septets(text))
    return Segments("GSM-7", units, _pack(_septets(text), units, _GSM7_SINGLE, _GSM7_PART))


def _septets(text: str) -> Iterator[int]:
    return (2 if character in _EXTENDED else 1 for character in text)


def _utf16(text: str) -> Iterator[int]:
    return (2 if character > "\uffff" else 1 for character in text)


def _pack(sizes: Iterable[int], total: int, single: int, part: int) -> int:
    """Fill segments from the front; a character that does not fit opens the next one."""
    if total <= single:
        return 1
    segments, used = 1, 0
    for size in sizes:
        if used + size > part:
            segments, used = segments + 1, 0
        used += size
    return segments
