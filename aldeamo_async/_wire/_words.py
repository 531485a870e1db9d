"""What a server said, made safe to show, as the error that fits.

Rule: nothing leaves this module that holds the key, a number, the message's text, or a row of
somebody's data; the one exception is ``ApiError.raw``, the caller's own copy of the answer, in
which the key alone is blanked.
"""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import frozen

from .._codec import Envelope, is_list, is_object
from .._errors import ApiError, AuthError, RateLimited, UnexpectedResponse
from .._redact import KEY_MARK, hide_key, hide_values, snippet_of
from .._retry import Verdict
from ._port import WireResponse
from ._request import WireRequest

_SNIPPET_BYTES: Final = 65_536  # enough to cut one line from; an error page can be megabytes
_NESTING_MAX: Final = 50  # levels kept of an answer in an error; Python pickles some hundreds
_DOCUMENTED_TEXTS: Final = frozenset({"Users for channel", "Client messages", "Message sent"})
_AUTH_STATUSES: Final = frozenset({401, 403})
# Not "token": on facebook it is the page's token that expires, and the key is as good as ever.
_AUTH_WORDS: Final = re.compile(
    r"\b(invalid|missing|wrong|unknown|expired)\b.{0,20}\b(api[ _-]?key|auth)\b", re.IGNORECASE
)


@frozen
class Words:
    """One answer, and the request whose secrets it may echo."""

    request: WireRequest
    answer: WireResponse
    envelope: Envelope | None

    def text(self) -> str:
        """Return the API's sentence, or else the start of the body."""
        if self.envelope is None:
            return self._body()
        said = self.envelope.text
        return said if said in _DOCUMENTED_TEXTS else self._safe(said)

    def refusal(self, verdict: Verdict, retry_after: float | None) -> ApiError:
        """Return the API's no as an error."""
        text = self.text()
        values = self._values(text)
        if verdict is Verdict.REFUSED:
            return RateLimited(**values, retry_after=retry_after)
        if self.answer.status in _AUTH_STATUSES or _AUTH_WORDS.search(text):
            return AuthError(**values)
        return ApiError(**values)

    def server_error(self) -> ApiError:
        """Return a no that came with a status which proves nothing, in the API's words."""
        return ApiError(**self._values(self.text()))

    def noise(self, problems: tuple[str, ...]) -> UnexpectedResponse:
        """Return an answer outside the contract as an error."""
        return UnexpectedResponse(
            call=self.request.endpoint.call,
            http_status=self.answer.status,
            problems=(*self._status_problem(), *problems),
            content_type=self._safe(self.answer.header("content-type") or ""),
            snippet=self._sentence() or self._body(),
        )

    def reason(self, error: ApiError | UnexpectedResponse) -> str:
        """Say in a few words how the attempt ended."""
        status = f"HTTP {self.answer.status}"
        if not self._is_success():
            return status
        if isinstance(error, UnexpectedResponse):
            return f"{status}, {error.problems[0]}"
        return status if error.code is None else f"{status}, codigo {error.code}"

    def _is_success(self) -> bool:
        return 200 <= self.answer.status < 300

    def _status_problem(self) -> tuple[str, ...]:
        if self._is_success():
            return ()
        if 300 <= self.answer.status < 400:
            return (f"HTTP {self.answer.status}: a redirect, and none is followed",)
        return (f"HTTP {self.answer.status}: neither a success nor a refusal",)

    def _values(self, text: str) -> dict[str, Any]:
        envelope = self.envelope
        return {
            "call": self.request.endpoint.call,
            "text": text,
            "http_status": self.answer.status,
            "code": self._code(),
            "raw": _blank(envelope.raw, self._key, _NESTING_MAX) if envelope else None,
        }

    def _code(self) -> int | str | None:
        """Return the code; one that echoes a number or the key is masked, and text then."""
        code = self.envelope.code if self.envelope else None
        safe = self._safe(str(code))
        return code if safe == str(code) else safe

    def _sentence(self) -> str:
        """Return the API's sentence where this is an envelope; elsewhere it may be a row's text."""
        envelope = self.envelope
        if envelope is None or (envelope.ok is None and envelope.code is None):
            return ""
        return self.text()

    def _body(self) -> str:
        start = self.answer.body[:_SNIPPET_BYTES].decode("utf-8", "replace")
        return self._safe(hide_values(start))

    def _safe(self, text: str) -> str:
        private = [value for name, value in self.request.params if name != "channel"]
        return snippet_of(text, key=self._key, private=private)

    @property
    def _key(self) -> str:
        return self.request.secret.reveal()


def _blank(value: Any, key: str, levels: int) -> Any:
    """Return a decoded answer with the key blanked, and cut where it is nested without end."""
    if isinstance(value, str):
        return hide_key(value, key)
    if is_list(value):
        return [_blank(item, key, levels - 1) for item in value] if levels else "…"
    if is_object(value):
        pairs = value.items() if levels else ()
        return {hide_key(name, key): _blank(held, key, levels - 1) for name, held in pairs}
    return KEY_MARK if str(value) == key else value
