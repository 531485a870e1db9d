"""A campaign over many processes: jobs in procrastinate's tables, worked off by any number of
workers.

Rule: the jobs say who looks where; who sends what is decided by the ledger alone.
"""

from .._words import REFUSED_KEY
from ._order import Order
from ._queue import Queue
from ._start import opened_queue, start
from ._worker import Worker

__all__ = ["REFUSED_KEY", "Order", "Queue", "Worker", "opened_queue", "start"]
