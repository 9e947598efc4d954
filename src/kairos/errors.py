"""The two ways in which a command fails, and their exit codes.

Every message says what is wrong, where (file, column, row, key) and what to do next.
"""

from __future__ import annotations


class KairosError(Exception):
    """Base of every error that a user is meant to read."""

    exit_code = 1


class WorkError(KairosError):
    """The input was fine but the work failed (exit code 1)."""


class InputError(KairosError):
    """The input or the configuration is wrong (exit code 2); nothing was written."""

    exit_code = 2


def out_of_threads(error: Exception) -> bool:
    """Whether a thread could not be started, for lack of memory mostly; nobody has an exception for that."""
    return "can't start new thread" in str(error) or "Failed to launch worker thread" in str(error)
