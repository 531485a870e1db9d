"""Observing a client: the port of observers, and the one for OpenTelemetry (extra ``otel``).

Rule: nothing here is loaded unless you ask for it, and nothing is installed with the package.
"""

from .._observer import CallRecord, Observer
from ._otel import OpenTelemetry

__all__ = ["CallRecord", "Observer", "OpenTelemetry"]
