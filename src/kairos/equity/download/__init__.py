"""Downloading the vendor's tables through Nasdaq Data Link, into files that a load can read."""

from kairos.equity.download.report import DownloadReport, TableDownload
from kairos.equity.download.run import download

__all__ = ["DownloadReport", "TableDownload", "download"]
