"""What cannot be scored or compared is refused here."""

from __future__ import annotations


class ReportError(ValueError):
    """Runs, motion files or scores that cannot be used; the message says what was received, what was expected and what to do."""
