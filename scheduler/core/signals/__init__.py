"""From what providers tell to what is known: units, intervals on a grid, several sources in one series. Pure."""

from scheduler.core.signals.conversion import ExchangeRates, converted
from scheduler.core.signals.refusals import Refusal, Reject
from scheduler.core.signals.resample import Known, series_of
from scheduler.core.signals.stitch import stitched

__all__ = ["ExchangeRates", "Known", "Refusal", "Reject", "converted", "series_of", "stitched"]
