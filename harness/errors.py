"""Errors that are the user's to mend: printed without a traceback, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: the message names what was given, where, and what is allowed."""
