"""Unit tests of what may be shown."""

from __future__ import annotations

import pytest

from aldeamo_async._redact import (
    hide_key,
    hide_values,
    mask_id,
    mask_mapping,
    mask_text,
    snippet_of,
)

KEY = "test-key/ñ&1"
TEXT = 'Hola Ana, "tu" cita & más: 8:00 / sala <2>'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("573000000001", "'57********01'"),
        (573000000001, "'57********01'"),
        ("12345678", "'12****78'"),
        ("1234567", "'*******'"),
        ("", "''"),
        (None, "None"),
        (10**5000, "'***'"),
    ],
    ids=lambda value: str(value) if not isinstance(value, int) else "number",
)
def test_an_id_shows_its_ends_alone(value: object, shown: str) -> None:
    """An id shows two characters at each end; a short one, and a monstrous one, shows none."""
    assert mask_id(value) == shown


def test_a_text_shows_its_length_and_digest() -> None:
    """Two texts can be told apart by their digests, and read by nobody."""
    assert mask_text("Hola") == "<4 chars, sha256 e633f4fc>"
    assert mask_text("Hola") != mask_text("Hole")
    assert mask_text("\ud83d").startswith("<1 chars")
    assert mask_text(None) == "None"


def test_a_mapping_shows_its_names() -> None:
    """Of unknown fields the names are shown, and no number that stands among them."""
    assert mask_mapping({"tags": "x", "573000000001": 1}) == "<fields: tags, 57********01>"
    assert mask_mapping({}) == "<fields: none>"


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        "test-key%2F%C3%B1%261",
        "test-key/%C3%B1%261",
        "test-key/ñ&amp;1",
        r"test-key\/\u00f1&1",
        r"test-key/\u00f1&1",
        "test-key",
    ],
)
def test_no_spelling_of_the_key_is_shown(echo: str) -> None:
    """The key is blanked as URLs, HTML and JSON write it, and where it is cut short."""
    assert snippet_of(f"Bad key {echo}, sorry", key=KEY).startswith("Bad key ***")
    assert "test-k" not in snippet_of(f"auth={echo}&channel=web", key=KEY)


def test_an_empty_key_hides_nothing() -> None:
    """Without a key, a text stays as it is."""
    assert hide_key("Hola", "") == snippet_of("Hola") == "Hola"


@pytest.mark.parametrize(
    "echo",
    [
        TEXT,
        TEXT.replace(" ", "\r\n"),
        TEXT[:20],
        TEXT[10:],
        "Hola Ana, &quot;tu&quot; cita &amp; más: 8:00 / sala &lt;2&gt;",
        r"Hola Ana, \"tu\" cita & m\u00e1s: 8:00 \/ sala <2>",
        "Hola+Ana%2C+%22tu%22+cita+%26+m%C3%A1s%3A+8%3A00+%2F+sala+%3C2%3E",
    ],
)
def test_no_echo_of_a_text_is_shown(echo: str) -> None:
    """A text that a server echoes is hidden, whole or cut, however it is spelled."""
    shown = snippet_of(f"Error near '{echo}'", private=[TEXT, "si"])
    assert "<hidden>" in shown
    assert not any(word in shown for word in ("Hola", "cita", "sala"))


def test_short_texts_do_not_blot_out_words() -> None:
    """A text of two letters hides nothing, and a shared word is no echo."""
    assert snippet_of("si, message refused", private=["si"]) == "si, message refused"
    assert snippet_of("message refused", private=["a message for Ana"]) == "message refused"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to 573000000001.", "to 57********01."),
        ("to +57 300-000 0001", "to +5************01"),
        ("to (57) 300.000.0001", "to (5*************01"),
        ("in 123456 steps", "in 123456 steps"),
        ("a\n b\t c", "a b c"),
        ("half \ud83d", "half ?"),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_snippet_is_one_short_line_without_numbers(text: str, shown: str) -> None:
    """Numbers are masked, white space is one space, and 200 characters are the most."""
    assert snippet_of(text) == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"name": "Ana", "n": 7}', '{"name": "…", "n": 7}'),
        ('["Ana", "Luis"]', '["…", "…"]'),
        ('"Ana"', '"…"'),
        ('{"name": "An', '{"name": "…"'),
        ('{"name": "An\\', '{"name": "…"'),
        (r'{"name": "A \"n\" a"}', '{"name": "…"}'),
        ('Notice: x {"name" : "Ana"}', 'Notice: x {"name" : "…"}'),
        ('<a href="x">Ana</a>', '<a href="x">Ana</a>'),
        ('\ufeff"Ana"', '\ufeff"…"'),
        ('"Ana""Luis"', '"…""…"'),
        ('a 5" disk {"name": "Ana", "n": ["Luis"]}', 'a 5" disk {"name": "…", "n": ["…"]}'),
    ],
)
def test_a_json_body_keeps_its_names_alone(body: str, shown: str) -> None:
    """Texts of a JSON body are hidden, also in one that is broken or stands in noise."""
    assert hide_values(body) == shown
