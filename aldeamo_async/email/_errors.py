"""The errors of a mail server's talk, each below the error of the tree that it is a kind of.

Rule 1: what catches ``NotSent``, ``AuthError``, ``RateLimited`` or ``DeliveryUnknown`` catches them
here too; only the advice is about mail.
Rule 2: what a server said is shown without the address and the texts of the message at hand.
"""

from __future__ import annotations

from attrs import define, field

from .._errors import ApiError, AuthError, DeliveryUnknown, NotSent, RateLimited

CALL = "SMTP submission"  # what the errors name as the call


@define(slots=False, eq=False)
class EmailNotSent(NotSent):
    """The e-mail provably did not go out: its end was never handed to the socket.

    A mail server delivers nothing before it has seen the end of the message. Safe to send again.
    """

    def __str__(self) -> str:
        """Say that nothing went out, and what to look at."""
        return (
            f"The e-mail was not sent{self._tried()}: {self.reason} (phase: {self.phase}). The end "
            "of the message never left this machine, so trying again cannot deliver twice; check "
            "host, port, tls= and verify=."
        )

    def _tried(self) -> str:
        return f" after {len(self.attempts)} attempts" if len(self.attempts) > 1 else ""


@define(slots=False, eq=False)
class EmailUnknown(DeliveryUnknown):
    """The whole e-mail was handed over and no answer came: it may have been delivered.

    ``message_id`` is its ``Message-ID``, by which the server's log, or the recipient, can find it.
    """

    message_id: str = field(default="", kw_only=True)

    def __str__(self) -> str:
        """Say that the e-mail may be out, and how to find out."""
        return (
            f"The fate of the e-mail is unknown: {self.reason} (phase: {self.phase}). It MAY have "
            "been delivered, so it was not sent again by itself; look for Message-ID "
            f"{self.message_id} in the mail server's log before you resend it."
        )


@define(slots=False, eq=False)
class EmailRejected(ApiError):
    """The mail server said no for good (5xx); nothing was delivered.

    ``code`` is its reply code, ``step`` the command that it answered, ``text`` its words.
    ``http_status`` is 0, for no HTTP was spoken.
    """

    step: str = field(default="", kw_only=True)

    def __str__(self) -> str:
        """Quote the server, with its code."""
        said = f": {self.text}" if self.text else " and gave no reason"
        tried = f" after {len(self.attempts)} attempts" if len(self.attempts) > 1 else ""
        return (
            f"The e-mail was refused by the mail server{tried} ({self.code} to {self.step})"
            f"{said.rstrip('.')}. Nothing was delivered; {self._advice()}"
        )

    def _advice(self) -> str:
        return "mend the message or the address before you send it again."


@define(slots=False, eq=False)
class EmailAuthError(EmailRejected, AuthError):
    """The mail server refused user name and password; every further e-mail will fail as well."""

    def _advice(self) -> str:
        return "check username= and password=, and that the account may send from this network."


@define(slots=False, eq=False)
class EmailRefused(EmailRejected, RateLimited):
    """The mail server refused the e-mail for now (4xx); SMTP names no time to come back."""

    def _advice(self) -> str:
        return "try again later; servers that put strangers off ask for some minutes."
