"""Both JSON libraries read the same: each value, each fault; the odd ones are in the table."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldeamo_async._codec import _json, json_library
from support.answers import USER, envelope

FAST = _json._fast_loads()

ODD: dict[str, bytes] = {
    "half an emoji, escaped": b'"\\ud83d"',
    "half an emoji, as it is": b'"\xed\xa0\xbd"',
    "the other half, escaped": b'"\\ude00a"',
    "half an emoji before an escape": b'"\\ud83d\\n"',
    "half an emoji as a name": b'{"\\ud83d": 1}',
    "a whole emoji, escaped": b'"\\ud83d\\ude00"',
    "NaN": b"[NaN, Infinity, -Infinity]",
    "a name twice": b'{"a": 1, "a": 2}',
    "2^53 + 1": b"9007199254740993",
    "2^63": b"9223372036854775808",
    "2^64": b"18446744073709551616",
    "-2^63 - 1": b"-9223372036854775809",
    "40 digits": b"9" * 40,
    "4,300 digits": b"1" * 4300,
    "4,301 digits": b"1" * 4301,
    "beyond a double": b"[1e400, -1e400]",
    "below a double": b"1e-400",
    "a long fraction": b"1." + b"1" * 400,
    "a number with an exponent": b"1E5",
    "minus nothing": b"[-0, -0.0]",
    "an exponent without end": b"1e99999999999999999999",
    "200 levels": b"[" * 200 + b"]" * 200,
    "5,000 levels": b"[" * 5000 + b"]" * 5000,
    "a byte that is not UTF-8": b'"\xff"',
    "an overlong character": b'"\xc0\x80"',
    "a character cut off": b'"\xe2\x82"',
    "a NUL": b'"\\u0000"',
    "a control character": b'"\x01"',
    "a tab in a text": b'"\t"',
    "a leading zero": b"01",
    "a leading plus": b"+1",
    "no digit behind the point": b"1.",
    "no digit before the point": b".5",
    "an unknown escape": b'"\\x"',
    "an escape cut off": b'"\\ud8"',
    "an escape with an underscore": b'"\\u00_1"',
    "a comma too many": b"[1,]",
    "a comment": b"/* */ 1",
    "single quotes": b"'a'",
    "two values": b"1 2",
    "a form feed": b"1 \x0c",
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf1",
    "an empty name": b'{"": 1}',
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)
texts = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    ),
    values,
    st.booleans(),
)
bodies = (
    texts
    | st.builds(
        lambda text, at, byte: text[:at] + byte + text[at + 1 :],
        texts,
        st.integers(0, 60),
        st.binary(max_size=2),
    )
    | st.binary()
)


def told(loads: Any, text: bytes | str) -> str:
    """What a decoder makes of a text: the value, or which of the faults that we tell apart."""
    try:
        return repr(loads(text))
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError:
        return "not JSON"


def test_msgspec_is_used_where_it_is_installed() -> None:
    """The suite runs with msgspec, and a long answer is decoded by it."""
    assert json_library() == "msgspec"
    assert FAST is not _json.plain_loads
    with pytest.raises(msgspec.DecodeError):  # so that the table below tests what it says
        msgspec.json.decode(ODD["NaN"])


def test_without_msgspec_the_standard_library_reads() -> None:
    """Where msgspec cannot be imported a long answer is read all the same."""
    code = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from aldeamo_async._codec import json_library\n"
        "from aldeamo_async._codec._json import loads\n"
        "print(json_library(), loads(b'[' + b' ' * 20_000 + b'5]'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["json", "[5]"]


def test_a_send_imports_no_msgspec() -> None:
    """Short answers are read by the standard library, so nothing is imported for them."""
    code = (
        "import sys\n"
        "from aldeamo_async._codec import Codec\n"
        "from aldeamo_async import Dialect, Drift\n"
        "codec = Codec(Dialect(), Drift())\n"
        "codec.envelope(b'{\"status\": true, \"data\": 32}', 'POST /messages')\n"
        "print([name for name in ('msgspec', 'cattrs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_oddity_is_read_alike(text: bytes) -> None:
    """Alone, in a row and among 500 rows an oddity is the same value or the same fault to both."""
    row = b'{"id": ' + text + b"}"
    for body in (text, row, json.dumps(envelope([USER] * 500)).encode().replace(b"null", text)):
        assert told(FAST, body) == told(_json.plain_loads, body) == told(_json.loads, body)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_a_text_inside_a_text_is_read_alike(text: bytes) -> None:
    """So is JSON that came as a text and may hold anything that Python's texts may."""
    inner = text.decode("utf-8", "surrogateescape")
    assert told(FAST, inner) == told(_json.plain_loads, inner)


@pytest.mark.slow
@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=300,
    suppress_health_check=list(HealthCheck),
)
@given(body=bodies)
def test_any_text_is_read_alike(body: bytes) -> None:
    """Whatever comes, sound or broken, is the same to both."""
    assert told(FAST, body) == told(_json.plain_loads, body)
