"""The rows of one answer as its bytes come in, in constant memory.

Rule 1: what is a row, a number or a text is decided by ``json`` of the standard library, as for a
whole body; nothing here reads JSON but the brackets, commas and colons around the rows.
Rule 2: only a list under ``data`` that no member before it spoils is read so; anything else is
``WHOLE``: collect it and judge it as ever.
Rule 3: the answer without its rows (the frame) is kept, and judged like any other at the end.
"""

from __future__ import annotations

from enum import Enum, auto
from json import JSONDecoder
from typing import Any, Final

from ._envelope import begin_of, read_envelope
from ._faults import Malformed

_WHITE: Final = " \t\r\n"
# Characters of a row that is not complete yet. One that is longer is tried again only when twice as
# much is there, so that a row of megabytes is not read anew with every piece of it.
_LONG: Final = 65_536
# What stands in the frame for the rows.
CUT: Final = ["…"]
_CUT: Final = '["…"]'.encode()

_decode: Final = JSONDecoder().raw_decode


class Stage(Enum):
    """How far an answer was read."""

    HEAD = auto()  # before the rows
    ROWS = auto()
    TAIL = auto()  # behind the last row
    WHOLE = auto()  # not to be read by rows


class RowStream:
    """Takes the pieces of a body, gives its rows back. Without I/O."""

    def __init__(self) -> None:
        self.stage = Stage.HEAD
        self._pending: list[bytes] = []  # behind the last bracket: there can be no row's end
        self._text = ""
        self._at = 0  # where in the text the next thing begins
        self._behind_row = False
        self._enough = 0  # characters to wait for
        self._head = b""
        self._tail: list[bytes] = []

    def feed(self, piece: bytes) -> list[Any]:
        """Take the next piece and return the rows that are complete with it.

        Raises ``Malformed`` for what cannot be the rest of a list, of UTF-8 or of JSON.
        """
        if self.stage is Stage.TAIL:
            self._tail.append(piece)
            return []
        # A row ends with a bracket, and no byte of a longer character looks like one. So the text
        # never ends within a character, nor within a number, which would seem complete.
        end = max(piece.rfind(b"}"), piece.rfind(b"]")) + 1
        self._pending.append(piece[:end] if end else piece)
        if not end:
            return []
        self._take_pending()
        self._pending.append(piece[end:])
        return self._read()

    def finish(self) -> list[Any]:
        """Take note that there is no more, and return the rows that were waited for.

        Raises ``Malformed`` where the list has no end.
        """
        self._enough = 0
        if self.stage is not Stage.TAIL:
            self._take_pending()
        rows = self._read()
        if self.stage is not Stage.TAIL:
            raise Malformed("body: not JSON")
        return rows

    def frame(self) -> bytes:
        """Return the answer with ``CUT`` in place of its rows."""
        return b"".join([self._head, _CUT, *self._tail])

    def _take_pending(self) -> None:
        data, self._pending = b"".join(self._pending), []
        if self.stage is Stage.HEAD and not self._head:
            begins = begin_of(data)
            if not begins.startswith(b"{"):
                self.stage = Stage.WHOLE
            self._head, data = data[: len(data) - len(begins)], begins
        try:
            text = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Malformed("body: not UTF-8") from None
        self._text, self._at = self._text[self._at :] + text, 0

    def _read(self) -> list[Any]:
        """Read what is there, as far as it is complete."""
        rows: list[Any] = []
        if len(self._text) < self._enough:
            return rows
        try:
            if self.stage is Stage.HEAD:
                self._read_head()
            while self.stage is Stage.ROWS:
                self._read_row(rows)
        except (ValueError, IndexError):  # cut off, or no JSON: the end of the answer will tell
            left = len(self._text) - self._at
            self._enough = 2 * left if left > _LONG else 0
        except RecursionError:
            raise Malformed("body: nested too deeply") from None
        return rows

    def _read_head(self) -> None:
        """Walk over the members before ``data``; begin anew where they are not all here."""
        members: dict[str, Any] = {}
        text, at, sign = self._text, 0, "{"
        while sign in "{,":
            name, at = _decode(text, self._skip(at + 1))
            at = self._skip(at)
            if not isinstance(name, str) or text[at] != ":":
                break
            at = self._skip(at + 1)
            if name == "data":
                self._open_list(members, at)
                return
            members[name], at = _decode(text, at)
            at = self._skip(at)
            sign = text[at]
        self.stage = Stage.WHOLE

    def _open_list(self, members: dict[str, Any], at: int) -> None:
        """Begin with the rows, unless there is no list or the API has said no."""
        if self._text[at] != "[" or read_envelope(members, _uncounted, strict=False).says_no:
            self.stage = Stage.WHOLE
            return
        self._head += self._text[:at].encode("utf-8", "surrogatepass")
        self.stage = Stage.ROWS
        self._at = at + 1
        at = self._skip(at + 1)
        if self._text[at] == "]":
            self._close_list(at)

    def _read_row(self, rows: list[Any]) -> None:
        """Read the comma or bracket behind a row, and the next row."""
        if self._behind_row:
            at = self._skip(self._at)
            sign = self._text[at]
            if sign == "]":
                self._close_list(at)
                return
            if sign != ",":
                raise Malformed("body: not JSON")
            self._at, self._behind_row = at + 1, False
        row, self._at = _decode(self._text, self._skip(self._at))
        rows.append(row)
        self._behind_row = True

    def _close_list(self, at: int) -> None:
        self.stage = Stage.TAIL
        rest = self._text[at + 1 :].encode("utf-8", "surrogatepass")
        self._tail, self._text, self._at = [rest, *self._pending], "", 0

    def _skip(self, at: int) -> int:
        """Return where the next thing begins, white space left out."""
        while self._text[at] in _WHITE:
            at += 1
        return at


def _uncounted(oddity: str) -> None:
    """Count nothing: the frame will be read once more, and counted then."""
