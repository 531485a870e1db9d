"""Rows of CSV and JSON-lines files, checked before anything is sent: for campaigns and the command
line.

Rule: nothing here sends; a row becomes a message that can be sent, or a bad row with its line and
reason.
"""

from ._fault import FileFault
from ._records import Format, Record, format_of, opened, records
from ._rows import BadRow, Row, RowMaker
from ._template import MissingColumn, Template

__all__ = [
    "BadRow",
    "FileFault",
    "Format",
    "MissingColumn",
    "Record",
    "Row",
    "RowMaker",
    "Template",
    "format_of",
    "opened",
    "records",
]
