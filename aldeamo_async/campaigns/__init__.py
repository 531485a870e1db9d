"""Campaigns: durable bulk sending that survives a kill with nothing lost and nothing doubled.

::

    async with Campaign.open("sqlite:///promo.db", client) as campaign:
        await campaign.load("customers.csv")
        report = await campaign.run(concurrency=200)

Law: a durable mark comes before every send; the ledger, not the process, knows where a campaign
stands.
"""

from .._settle import settle
from ._campaign import Campaign
from ._ledger import Ledger
from ._memory import MemoryLedger
from ._nouns import (
    Added,
    Aside,
    Counts,
    Entry,
    Fleet,
    Job,
    Line,
    Resolution,
    Result,
    State,
    Worker,
    span_of,
)
from ._postgres import PostgresLedger
from ._report import (
    BadRow,
    CampaignStatus,
    ChunkReport,
    LoadReport,
    PhaseTime,
    Progress,
    ResolveReport,
    RunReport,
)
from ._sqlite import SqliteLedger
from ._window import SendWindow

__all__ = [
    "Added",
    "Aside",
    "BadRow",
    "Campaign",
    "CampaignStatus",
    "ChunkReport",
    "Counts",
    "Entry",
    "Fleet",
    "Job",
    "Ledger",
    "Line",
    "LoadReport",
    "MemoryLedger",
    "PhaseTime",
    "PostgresLedger",
    "Progress",
    "Resolution",
    "ResolveReport",
    "Result",
    "RunReport",
    "SendWindow",
    "SqliteLedger",
    "State",
    "Worker",
    "span_of",
]

settle(Campaign, LoadReport, RunReport, SendWindow)
