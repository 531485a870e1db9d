"""SMS segments: the counts of 3GPP TS 23.038 and 23.040."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldeamo_async.cli._segments import Segments, measure

GSM7_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


@pytest.mark.parametrize(
    ("text", "units", "segments"),
    [
        ("", 0, 1),
        ("a" * 160, 160, 1),
        ("a" * 161, 161, 2),
        ("a" * 306, 306, 2),
        ("a" * 307, 307, 3),
        ("€" * 80, 160, 1),
        ("€" * 81, 162, 2),
        ("a" * 159 + "€", 161, 2),
        (GSM7_BASIC, 127, 1),
    ],
)
def test_gsm7(text: str, units: int, segments: int) -> None:
    """A GSM-7 text has 160 septets in one segment and 153 in each of several."""
    assert measure(text) == Segments("GSM-7", units, segments)


def test_an_escape_pair_is_not_torn_apart() -> None:
    """An extension character that does not fit whole moves into the next segment."""
    whole = "a" * 152 + "€" + "a" * 152  # 306 septets would fill two segments exactly
    assert measure(whole) == Segments("GSM-7", 306, 3)
    assert measure("€" * 153) == Segments("GSM-7", 306, 3)


@pytest.mark.parametrize(
    ("text", "units", "segments"),
    [
        ("á" * 70, 70, 1),
        ("á" * 71, 71, 2),
        ("á" * 134, 134, 2),
        ("á" * 135, 135, 3),
        ("😀" * 35, 70, 1),
        ("😀" * 36, 72, 2),
    ],
)
def test_ucs2(text: str, units: int, segments: int) -> None:
    """A UCS-2 text has 70 UTF-16 units in one segment and 67 in each of several."""
    assert measure(text) == Segments("UCS-2", units, segments, text[0])


def test_a_surrogate_pair_is_not_torn_apart() -> None:
    """An emoji that does not fit whole moves into the next segment."""
    assert measure("á" * 66 + "😀" + "á" * 66) == Segments("UCS-2", 134, 3, "á😀")


def test_the_characters_outside_gsm7_are_named_once_each() -> None:
    """The characters that cost the room are listed in the order of the text."""
    assert measure("así, aquí: sí, ñandú").outside == "íú"


def test_the_alphabet_has_all_127_characters() -> None:
    """The basic alphabet is complete: 128 codes, one of which is the escape."""
    assert len(set(GSM7_BASIC)) == 127


@given(st.text(max_size=400))
def test_segments_hold_the_whole_text(text: str) -> None:
    """There is room for every unit, and no segment more than tearing could save."""
    found = measure(text)
    single, part = (160, 153) if found.encoding == "GSM-7" else (70, 67)
    assert found.segments == 1 if found.units <= single else found.segments >= found.units / part
    assert found.segments <= 1 + found.units / (part - 1)
