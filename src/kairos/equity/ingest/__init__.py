"""Loading vendor exports into the store: an upsert on the natural key, all tables at once or none."""

from kairos.equity.ingest.load import ingest
from kairos.equity.ingest.report import IngestReport, TableReport

__all__ = ["IngestReport", "TableReport", "ingest"]
