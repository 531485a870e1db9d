"""The reports of ``send-many``: one for people, one for programs.

Rule: every number is said once, with what it means and what to do next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from ._check import SHOWN_BAD, Check
from ._exit import Exit
from ._tally import Tally


@frozen
class RunReport:
    """How a run ended. ``total`` is the number of rows in the file, where that is known."""

    tally: Tally
    seconds: float
    results: Path
    total: int | None
    stopped: str | None
    fault: str | None
    code: Exit

    @property
    def rate(self) -> float:
        """Messages a second."""
        done = self.tally.sent + self.tally.rejected + self.tally.unknown
        return done / self.seconds if self.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """Return the report for programs."""
        tally = self.tally
        return {
            "counts": {
                "sent": tally.sent,
                "rejected": tally.rejected,
                "unknown": tally.unknown,
                "bad": tally.bad,
                "not_started": self.not_started,
            },
            "rows": tally.rows if self.total is None else self.total,
            "problems": dict(tally.problems.most_common()),
            "retries": tally.retries,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 1),
            "results": str(self.results),
            "stopped": self.stopped,
            "fault": self.fault,
            "exit_code": int(self.code),
        }

    @property
    def not_started(self) -> int:
        """Rows that the run did not come to, whether or not they have a line in the results."""
        tally = self.tally
        if self.total is None:
            return tally.not_started
        return self.total - (tally.rows - tally.not_started)

    def lines(self) -> list[str]:
        """Return the report for people."""
        tally = self.tally
        rows = tally.rows if self.total is None else self.total
        lines = [
            f"{rows} rows in {self.seconds:.1f} s ({self.rate:.0f}/s, {tally.retries} retries).",
            f"  sent         {tally.sent:>8}",
            f"  rejected     {tally.rejected:>8}   not delivered; mend them, or send them again",
            f"  unknown      {tally.unknown:>8}   may have been delivered: look, then resend",
            f"  bad rows     {tally.bad:>8}   never sent",
        ]
        if self.not_started:
            lines.append(f"  not started  {self.not_started:>8}   the run ended before them")
        if tally.problems:
            kinds = ", ".join(f"{kind} {count}" for kind, count in tally.problems.most_common())
            lines.append(f"What stood in the way: {kinds}.")
        lines += [f"Stopped early: {self.stopped}."] if self.stopped else []
        lines += [f"NOT ALL VERDICTS ARE WRITTEN: {self.fault}"] if self.fault else []
        lines.append(f"Each row's verdict: {self.results}")
        return lines


def check_document(found: Check) -> dict[str, Any]:
    """Return what a dry run found, for programs."""
    return {
        "rows": found.rows,
        "valid": found.valid,
        "bad": found.bad,
        "channels": dict(found.channels.most_common()),
        "sms": found.sms,
        "segments": found.segments,
        "encodings": dict(found.encodings.most_common()),
        "outside_gsm7": dict(found.outside.most_common()),
        "worst": [
            {"row": -row, "line": line, "encoding": encoding, "units": units, "segments": segments}
            for segments, row, line, encoding, units in sorted(found.worst, reverse=True)
        ],
        "bad_rows": [
            {"row": bad.number, "line": bad.line, "help": bad.problem} for bad in found.first_bad
        ],
    }


def check_lines(found: Check) -> list[str]:
    """Return what a dry run found, for people."""
    channels = ", ".join(f"{name} {count}" for name, count in found.channels.most_common())
    lines = [f"{found.rows} rows: {found.valid} valid ({channels or 'none'}), {found.bad} bad."]
    if found.sms:
        encodings = ", ".join(f"{name} {count}" for name, count in found.encodings.most_common())
        lines.append(f"sms: {found.segments} segments for {found.sms} messages ({encodings}).")
        lines.append("The largest:")
        lines += [
            f"  line {line}: {segments} segment{'s' if segments > 1 else ''}, {encoding}, "
            f"{units} {'septets' if encoding == 'GSM-7' else 'UTF-16 units'}"
            for segments, _, line, encoding, units in sorted(found.worst, reverse=True)
        ]
    if found.outside:
        characters = " ".join(
            f"{character}({count})" for character, count in found.outside.most_common(20)
        )
        lines.append(
            f"Not in GSM-7, so their messages are UCS-2 with less than half the room: {characters}"
        )
    return lines + bad_lines(found)


def bad_lines(found: Check) -> list[str]:
    """Return the first bad rows, with their lines."""
    lines = [f"  line {bad.line}: {bad.problem}" for bad in found.first_bad]
    more = found.bad - SHOWN_BAD
    if lines:
        lines.insert(0, "Bad rows, which are never sent:")
    if more > 0:
        lines.append(f"  and {more} more")
    return lines
