"""The e-mail client as a campaign sees it; loaded by who campaigns with one.

Rule 1: a row keeps its columns: the channel ``email``, the address as client id, and for a text
one JSON object of subject, text and html, spelled one way for each e-mail.
Rule 2: nothing that a row holds is left out of an e-mail: a field that is not known here, from a
newer version say, is an error before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import evolve, frozen

from .._errors import CampaignError, UsageError
from .._files import FileFault, Record
from .._models import Outcome, Outgoing, Rejected
from ..email import AsyncEmailClient, OutgoingEmail
from ..email._client import post_of
from ..email._letter import Content, content_of
from ..email._submission import Post, send
from ._load import bad_entry, reference_of
from ._nouns import Entry
from ._words import EMAIL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..limits import Permit, RateLimiter
    from ._nouns import Job

# Characters of one row. A claim holds 500 rows in memory; a mailbox such as Gmail shows about
# 102,000 bytes of an e-mail and cuts the rest.
CHARACTERS_MAX: Final = 250_000
# Seconds. Servers that put strangers off (greylisting) ask for some minutes; Postfix comes back
# after 300 (minimal_backoff_time).
_REFUSED_SECONDS: Final = 300.0
_COLUMNS: Final = ("to", "subject")


@frozen
class EmailSender:
    """A ``Sender`` over the connections, limiter and options of an ``AsyncEmailClient``."""

    client: AsyncEmailClient
    post: Post
    refused_seconds: float = _REFUSED_SECONDS
    refused_key: str = "the mail server refuses the login"

    @classmethod
    def of(cls, client: AsyncEmailClient) -> EmailSender:
        """Take a client as it is now; raise ``UsageError`` if it is closed."""
        return cls(client, post_of(client))

    @property
    def limiter(self) -> RateLimiter:
        """See ``Sender.limiter``."""
        return self.post.limiter

    @property
    def at_once(self) -> int:
        """See ``Sender.at_once``: as many as there are connections."""
        return self.post.lines.stats().max_connections

    def once(self) -> EmailSender:
        """See ``Sender.once``."""
        return evolve(self, post=evolve(self.post, policy=evolve(self.post.policy, attempts=1)))

    def is_gone(self) -> bool:
        """See ``Sender.is_gone``."""
        return self._closed() is not None

    def _closed(self) -> UsageError | None:
        try:
            post_of(self.client)
        except UsageError as error:
            return error
        return None

    async def send(self, outgoing: Outgoing, permit: Permit) -> Outcome:
        """See ``Sender.send``; nothing is sent through a client that was closed."""
        closed = self._closed()
        if closed is None:
            return await send(self.post, outgoing, permit)
        permit.release()
        return Rejected(outgoing, closed)

    def maker(self, channel: str | None, template: str | None) -> EmailMaker:
        """See ``Sender.maker``."""
        for name, value in (("channel", channel), ("template", template)):
            if value is not None:
                raise UsageError(
                    f"{name}= is for messages of the BOTS API. E-mails have the columns to, "
                    "subject, text and html; to fill in a text, load a generator of OutgoingEmail."
                )
        return EmailMaker()

    def check(self, channel: str) -> None:
        """See ``Sender.check``."""
        if channel != EMAIL:
            raise CampaignError(
                f"This campaign holds messages of the BOTS API (channel {channel}), which an "
                "AsyncEmailClient cannot send; open it with an AsyncBotsClient. Nothing of this "
                "was sent."
            )

    def jobs(self, claimed: Sequence[Job]) -> Sequence[Job]:
        """See ``Sender.jobs``."""
        return [self._job(job) for job in claimed]

    def _job(self, job: Job) -> Job:
        row = job.outgoing
        self.check(row.channel)
        return evolve(job, outgoing=_unpacked(job.id, row))


@frozen
class EmailMaker:
    """Turns rows into entries, by the rules that the client itself checks an e-mail with."""

    def from_record(self, record: Record) -> Entry:
        """Check one row of a file."""
        cells = record.cells
        if record.number == 1 and record.header:
            _check_columns(record.header)
        given = tuple(_shown(cells.get(name)) for name in ("channel", "to", "text"))
        reference = cells.get("client_ref")
        try:
            outgoing = _outgoing(record)
        except UsageError as error:
            return bad_entry(record.line, str(error), given, reference)
        return _entry(record.line, outgoing, reference)

    def from_row(self, number: int, row: object) -> Entry:
        """Check one row of another source; ``number`` is its place, from 1."""
        if isinstance(row, Mapping):
            return self.from_record(Record(number, number, dict(cast("Mapping[str, Any]", row))))
        if isinstance(row, Outgoing) and not isinstance(row, OutgoingEmail):
            raise UsageError(
                f"Row {number} is an Outgoing, a message of the BOTS API, and this campaign's "
                "client sends e-mail: load OutgoingEmail(to, subject, text), or open another "
                "campaign with an AsyncBotsClient. The rows of its batch were not added."
            )
        if not isinstance(row, OutgoingEmail):
            kind = type(row).__name__
            problem = f"A row is an OutgoingEmail or a mapping of columns, not {kind}."
            return bad_entry(number, problem, (EMAIL, "", ""), None)
        return _entry(number, row, row.client_ref)


def _check_columns(header: tuple[str, ...]) -> None:
    missing = [name for name in _COLUMNS if name not in header]
    if "text" not in header and "html" not in header:
        missing.append("text (or html)")
    if missing:
        raise FileFault(
            f"the column {', '.join(missing)} is missing; the file has: {', '.join(header)}. "
            "E-mails have the columns to, subject, text and, if you have it, html."
        )


def _outgoing(record: Record) -> OutgoingEmail:
    """Make an e-mail of the cells of a row, whatever they hold."""
    cells = record.cells
    if record.problem:
        raise UsageError(record.problem)
    channel = cells.get("channel")
    if channel not in (None, "", EMAIL):
        raise UsageError(f"The channel is {channel!r}; this campaign's client sends e-mail.")
    for name in _COLUMNS:
        if cells.get(name) is None:
            raise UsageError(f"no value for {name}")
    text = cells.get("text")
    return OutgoingEmail(
        cells["to"], cells["subject"], "" if text is None else text, cells.get("html")
    )


def _entry(line: int, outgoing: OutgoingEmail, client_ref: object) -> Entry:
    try:
        content = content_of(outgoing)
        text = _packed(content)
    except UsageError as error:
        given = (outgoing.channel, outgoing.client_id, outgoing.text)
        return bad_entry(line, str(error), given, client_ref)
    # A domain is the same in capitals (RFC 5321, 2.4), a mailbox need not be.
    local, _, domain = content.to.rpartition("@")
    row = (EMAIL, f"{local}@{domain.lower()}", text)
    return Entry(line, reference_of(client_ref, row), *row)


def _packed(content: Content) -> str:
    """Write an e-mail as the text of a row: the same one always in the same way."""
    fields = {"subject": content.subject, "text": content.text}
    if content.html:
        fields["html"] = content.html
    text = json.dumps(fields, ensure_ascii=False)
    if len(text) > CHARACTERS_MAX:
        raise UsageError(
            f"The e-mail has {len(text):,} characters; one of a campaign has {CHARACTERS_MAX:,} at "
            "most, subject, text and html together. Put what is large behind a link."
        )
    return text


def _unpacked(number: int, row: Outgoing) -> OutgoingEmail:
    """Read the row of an e-mail."""
    try:
        fields = json.loads(row.text)
        subject, text, html = fields.pop("subject"), fields.pop("text"), fields.pop("html", None)
    except (ValueError, KeyError, TypeError, AttributeError):
        fields, subject, text, html = {"?": None}, "", "", None
    if fields:
        raise CampaignError(
            f"Message {number} of this campaign is no e-mail that this version can read: its "
            "ledger was damaged, or written by a newer version of aldeamo-async. Update the "
            "package, or look at the row. It was not sent."
        )
    return OutgoingEmail(str(row.client_id), subject, text, html, client_ref=row.client_ref)


def _shown(cell: object) -> str:
    return "" if cell is None else str(cell)
