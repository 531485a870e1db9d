"""send-many: a whole file, each row with its verdict."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from aldeamo_async.cli import aldeamo
from aldeamo_async.sandbox import Fault, Sandbox, Weather
from cli.conftest import HEADER, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Cli

    Serve = Callable[[Sandbox], Cli]
    Write = Callable[..., Path]
    Results = Callable[[Path], list[dict[str, Any]]]


def of(path: Path) -> Path:
    return path.with_name(path.name + ".results.jsonl")


class TestTheRun:
    def test_every_row_has_its_line(self, served: Serve, write: Write, results: Results) -> None:
        """Rows that are sent, rejected, unknown and bad each have one line; the report adds up."""
        weather = Weather.sequence([None, Fault.STATUS_FALSE, Fault.DROP_AFTER_EFFECT])
        sandbox = Sandbox(weather=weather)
        cli = served(sandbox)
        path = write(HEADER, *rows(3), "fax,1,x", *rows(5)[3:])
        result = cli("--json", "send-many", path, "--concurrency", 1)
        assert result.exit_code == 4
        report = json.loads(result.stdout)
        assert report["counts"] == {
            "sent": 3, "rejected": 1, "unknown": 1, "bad": 1, "not_started": 0,
        }  # fmt: skip
        assert (report["rows"], report["exit_code"], report["stopped"]) == (6, 4, None)
        assert report["problems"] == {"ApiError": 1, "DeliveryUnknown": 1}
        lines = results(of(path))
        assert [line["verdict"] for line in lines] == [
            "sent", "rejected", "unknown", "bad", "sent", "sent",
        ]  # fmt: skip
        assert [line["row"] for line in lines] == [1, 2, 3, 4, 5, 6]
        assert [line["line"] for line in lines] == [2, 3, 4, 5, 6, 7]
        assert (lines[0]["message_id"], lines[0]["attempts"]) == ("1", 1)
        assert lines[2]["error"] == "DeliveryUnknown"
        assert "MAY have been delivered" in lines[2]["help"]
        assert (sandbox.delivered, sandbox.duplicates) == (4, 0)

    def test_all_sent(self, served: Serve, write: Write) -> None:
        """A run without faults ends with 0, and says what it did and where the verdicts are."""
        path = write(HEADER, *rows(20))
        result = served(Sandbox())("send-many", path)
        assert result.exit_code == 0
        assert "20 rows in" in result.stdout
        assert f"Each row's verdict: {of(path)}" in result.stdout

    def test_retries_are_counted(self, served: Serve, write: Write, results: Results) -> None:
        """A refusal for now is retried, and the attempts are in the results and the report."""
        sandbox = Sandbox(weather=Weather.sequence([Fault.RATE_LIMITED.with_(retry_after=0)]))
        path = write(HEADER, *rows(1))
        report = served(sandbox).json("send-many", path)
        assert (report["retries"], report["counts"]["sent"]) == (1, 1)
        assert results(of(path))[0]["attempts"] == 2

    @pytest.mark.parametrize(
        ("fault", "code"), [(Fault.STATUS_FALSE, 3), (Fault.BAD_GATEWAY, 4), (None, 0)]
    )
    def test_exit_codes(self, served: Serve, write: Write, fault: Fault | None, code: int) -> None:
        """The exit code is that of the most serious verdict."""
        cli = served(Sandbox(weather=Weather.sequence([None, fault])))
        assert cli("send-many", write(HEADER, *rows(3))).exit_code == code

    def test_the_network_is_down(self, cli: Cli, write: Write, results: Results) -> None:
        """When nothing gets out, the code says so and every row may be sent again."""
        path = write(HEADER, *rows(2))
        options = ("--base-url", "http://127.0.0.1:9/bots", "--deadline", "0.3")
        result = cli(*options, "send-many", path)
        assert result.exit_code == 6
        assert {line["verdict"] for line in results(of(path))} == {"rejected"}
        assert "What stood in the way: " in result.stdout

    def test_a_refused_key_stops_the_run(
        self, served: Serve, write: Write, results: Results
    ) -> None:
        """A key that the API refuses again and again is not tried on the whole file."""
        sandbox = Sandbox(api_key="another-key")
        path = write(HEADER, *rows(3000), "fax,1,x")
        result = served(sandbox)("send-many", path, "--concurrency", 2)
        assert result.exit_code == 5
        assert "Stopped early: the API refuses the key." in result.stdout
        assert sandbox.requests["send"] < 100
        lines = results(of(path))
        assert len(lines) == 3001
        assert lines[2999]["verdict"] == "not_started"
        assert lines[3000]["verdict"] == "bad"
        assert "not started" in result.stdout

    def test_options_reach_the_run(self, served: Serve, write: Write) -> None:
        """Rate and burst pace the run, and an ordered run keeps each client's order."""
        sandbox = Sandbox()
        path = write(HEADER, *(f"sms,573000000001,{number}" for number in range(30)))
        options = ("--rate", 100, "--burst", 1, "--concurrency", 10, "--ordered")
        report = served(sandbox).json("send-many", path, *options)
        assert report["seconds"] >= 0.25
        assert [d.text for d in sandbox.deliveries] == [str(number) for number in range(30)]

    def test_channel_and_template(self, served: Serve, write: Write) -> None:
        """--channel and --template stand in for columns."""
        sandbox = Sandbox()
        path = write("client_id;name", "573000000001;Ana", "573000000002;Luis", name="x.txt")
        options = ("--channel", "sms", "--template", "Hola {name}")
        assert served(sandbox)("send-many", path, *options).exit_code == 0
        assert {d.text for d in sandbox.deliveries} == {"Hola Ana", "Hola Luis"}

    def test_json_lines_with_a_reference(
        self, served: Serve, write: Write, results: Results
    ) -> None:
        """JSON lines work as well, and the user's own reference comes back."""
        row = {"channel": "web", "client_id": 573000000001, "text": "Hola", "client_ref": "A-1"}
        path = write(json.dumps(row), name="rows.jsonl")
        assert served(Sandbox())("send-many", path).exit_code == 0
        assert results(of(path))[0]["client_ref"] == "A-1"

    def test_in_the_sandbox_inside(self, cli: Cli, write: Write) -> None:
        """--sandbox sends a file without a key or a socket."""
        report = cli.json("--sandbox", "send-many", write(HEADER, *rows(700)), key="")
        assert report["counts"]["sent"] == 700


class TestBadRows:
    def test_they_are_named_before_the_run(self, served: Serve, write: Write) -> None:
        """Bad rows are listed with their lines, a handful of them, and the others are sent."""
        sandbox = Sandbox()
        path = write(HEADER, *rows(1), *["sms,5.73E+11,Hola"] * 12)
        result = served(sandbox)("send-many", path)
        assert result.exit_code == 3
        assert "  line 3: the client_id 5.73E+11 was shortened" in result.stderr
        assert "  and 2 more" in result.stderr
        assert sandbox.delivered == 1

    def test_strict_refuses_to_start(self, served: Serve, write: Write) -> None:
        """--strict sends nothing when a row is bad, and leaves no results behind."""
        sandbox = Sandbox()
        cli = served(sandbox)
        path = write(HEADER, *rows(1), "fax,1,x")
        result = cli("send-many", path, "--strict")
        assert (result.exit_code, sandbox.delivered) == (3, 0)
        assert "1 of 2 rows are bad" in result.stderr
        assert not of(path).exists()
        assert cli("send-many", write(HEADER, *rows(1)), "--strict").exit_code == 0

    @pytest.mark.parametrize(
        ("lines", "encoding", "words"),
        [
            ((HEADER, "sms,573000000001,Señal"), "cp1252", "line 2: byte 0xF1 is not UTF-8"),
            (("phone,text", "1,x"), "utf-8", "client_id, channel is missing"),
            ((), "utf-8", "empty"),
        ],
    )
    def test_a_file_that_cannot_be_used(
        self, served: Serve, write: Write, lines: tuple[str, ...], encoding: str, words: str
    ) -> None:
        """A file that is wrong as a whole ends with 2, and nothing is sent."""
        sandbox = Sandbox()
        result = served(sandbox)("send-many", write(*lines, encoding=encoding))
        assert (result.exit_code, sandbox.delivered) == (2, 0)
        assert words in result.stderr


class TestResults:
    def test_are_never_overwritten(self, served: Serve, write: Write) -> None:
        """A second run refuses to start until another name or --force is given."""
        sandbox = Sandbox()
        cli = served(sandbox)
        path = write(HEADER, *rows(1))
        assert cli("send-many", path).exit_code == 0
        result = cli("send-many", path)
        assert (result.exit_code, sandbox.delivered) == (2, 1)
        assert "--force" in result.stderr
        assert cli("send-many", path, "--force").exit_code == 0

    def test_on_stdout(self, served: Serve, write: Write) -> None:
        """`--results -` gives stdout to the rows, and stderr to the report."""
        path = write(HEADER, *rows(2))
        cli = served(Sandbox())
        result = cli("send-many", path, "--results", "-")
        assert [json.loads(line)["verdict"] for line in result.stdout.splitlines()] == ["sent"] * 2
        assert "2 rows in" in result.stderr
        result = cli("--json", "send-many", path, "--results", "-")
        assert json.loads(result.stdout.splitlines()[-1])["counts"]["sent"] == 2

    def test_are_not_the_input(self, cli: Cli, write: Write) -> None:
        """The input file is never taken for the results, force or not."""
        path = write(HEADER, *rows(1))
        result = cli("--sandbox", "send-many", path, "--results", path, "--force")
        assert (result.exit_code, "input file itself" in result.stderr) == (2, True)
        assert path.read_text().startswith(HEADER)

    def test_a_full_disk_stops_the_run(self, served: Serve, write: Write) -> None:
        """When no verdict can be written, no more is sent, and those known go to stderr."""
        sandbox = Sandbox(latency=0.01)
        path = write(HEADER, *rows(2000))
        options = ("--results", "/dev/full", "--force", "--concurrency", 2)
        result = served(sandbox)("--json", "send-many", path, *options)
        assert result.exit_code == 1
        assert sandbox.delivered < 1900
        report = json.loads(result.stdout)
        assert "No space left on device" in report["fault"]
        told = [line for line in result.stderr.splitlines() if line.startswith("{")]
        assert len(told) == 2000


class TestDryRun:
    def test_measures_and_sends_nothing(self, cli: Cli, write: Write) -> None:
        """Every row is checked and every sms measured; no key, no request, no results file."""
        path = write(
            HEADER,
            *rows(6),
            f"sms,573000000001,{'a' * 161}",
            "sms,573000000002,Adiós",
            "web,7,Hola",
            "sms,5.73E+11,x",
        )
        result = cli("send-many", path, "--dry-run", key="")
        assert result.exit_code == 3
        assert "10 rows: 9 valid (sms 8, web 1), 1 bad." in result.stdout
        assert "sms: 9 segments for 8 messages (GSM-7 7, UCS-2 1)." in result.stdout
        assert "  line 8: 2 segments, GSM-7, 161 septets" in result.stdout
        assert "less than half the room: ó(1)" in result.stdout
        assert "  line 11: the client_id 5.73E+11" in result.stdout
        assert not of(path).exists()

    def test_for_programs(self, cli: Cli, write: Write, tmp_path: Path, results: Results) -> None:
        """--json gives the totals as one document; --results has each row."""
        path = write(HEADER, "sms,573000000001,Adiós", "web,7,Hola", "fax,1,x")
        where = tmp_path / "check.jsonl"
        report = cli.json("send-many", path, "--dry-run", "--results", where)
        assert (report["valid"], report["bad"], report["segments"]) == (2, 1, 1)
        assert report["worst"] == [
            {"row": 1, "line": 2, "encoding": "UCS-2", "units": 5, "segments": 1}
        ]
        assert report["bad_rows"][0]["line"] == 4
        assert [line["verdict"] for line in results(where)] == ["valid", "valid", "bad"]
        assert results(where)[0]["outside_gsm7"] == "ó"

    def test_a_clean_file(self, cli: Cli, write: Write) -> None:
        """A file without sms and without faults ends with 0 and a short report."""
        result = cli("send-many", write(HEADER, *["web,7,Hola"] * 600), "--dry-run")
        assert (result.exit_code, result.stdout) == (0, "600 rows: 600 valid (web 600), 0 bad.\n")

    def test_a_file_without_rows(self, cli: Cli, write: Write) -> None:
        """A header alone is no fault."""
        result = cli("send-many", write(HEADER), "--dry-run")
        assert (result.exit_code, result.stdout) == (0, "0 rows: 0 valid (none), 0 bad.\n")

    def test_of_stdin(self, cli: Cli) -> None:
        """Rows from a pipe can be checked as well."""
        text = "\n".join([HEADER, *rows(2)])
        assert cli.json("send-many", "-", "--dry-run", stdin=text)["valid"] == 2


class TestStdin:
    def test_rows_from_a_pipe(self, served: Serve, tmp_path: Path, results: Results) -> None:
        """`-` reads rows from stdin, once."""
        sandbox = Sandbox()
        where = tmp_path / "r.jsonl"
        text = "\n".join([HEADER, *rows(300), "fax,1,x"])
        report = served(sandbox).json("send-many", "-", "--results", where, stdin=text)
        assert (report["rows"], report["counts"]["bad"]) == (301, 1)
        assert (len(results(where)), sandbox.delivered) == (301, 300)

    def test_from_a_real_pipe(
        self, served: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
    ) -> None:
        """A real pipe is read to its end and left open."""
        cli = served(Sandbox())
        reader, writer = os.pipe()
        os.write(writer, "\n".join([HEADER, *rows(5)]).encode())
        os.close(writer)
        monkeypatch.setenv("ALDEAMO_API_KEY", "test-key")
        monkeypatch.setenv("ALDEAMO_BASE_URL", str(cli.url))
        with open(reader) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(SystemExit) as end:
                aldeamo(["send-many", "-", "--results", str(tmp_path / "r.jsonl")])
            assert end.value.code == 0
            os.fstat(reader)
        assert "5 rows in" in capfd.readouterr().out

    @pytest.mark.parametrize(
        ("options", "words"),
        [((), "--results"), (("--strict", "--results", "r.jsonl"), "--strict needs a file")],
    )
    def test_what_a_pipe_cannot_do(self, cli: Cli, options: tuple[str, ...], words: str) -> None:
        """A pipe has no name for its results, and cannot be read twice."""
        result = cli("--sandbox", "send-many", "-", *options, stdin=HEADER)
        assert (result.exit_code, words in result.stderr) == (2, True)

    def test_a_fault_at_the_beginning(self, served: Serve, tmp_path: Path) -> None:
        """Input that cannot be used at all ends with 2 and leaves no results file."""
        where = tmp_path / "r.jsonl"
        result = served(Sandbox())("send-many", "-", "--results", where, stdin="phone\n1\n")
        assert (result.exit_code, where.exists()) == (2, False)
        assert "is missing" in result.stderr

    def test_a_fault_in_the_middle(self, served: Serve, tmp_path: Path, results: Results) -> None:
        """Input that breaks off is one bad row; what came before is sent."""
        sandbox = Sandbox()
        where = tmp_path / "r.jsonl"
        text = "\n".join([HEADER, *rows(2), "sms,573000000001,Señal"]).encode("cp1252")
        result = served(sandbox)("send-many", "-", "--results", where, stdin=text)
        assert (result.exit_code, sandbox.delivered) == (3, 2)
        last = results(where)[-1]
        assert (last["row"], last["line"], last["verdict"]) == (3, 4, "bad")
        assert "the input ends here: byte 0xF1" in last["help"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--burst", "5"), "--burst goes with --rate"),
        (("--template", "{a.b}"), "template"),
        (("--concurrency", "0"), "not in the range"),
        (("--format", "xml"), "is not one of"),
    ],
)
def test_usage_errors(cli: Cli, write: Write, options: tuple[str, ...], words: str) -> None:
    """Options that cannot work end with 2 before anything is read."""
    result = cli("--sandbox", "send-many", write(HEADER, *rows(1)), *options)
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_a_missing_file() -> None:
    """A file that is not there ends with 2."""
    result = CliRunner().invoke(aldeamo, ["--sandbox", "send-many", "/no/such/file.csv"])
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
