"""What people read: the report of a release as Markdown, HTML and terminal output, and the board.

Belongs here: laying out what the documents say, for a reader.
Does not belong here: judging it, storing it, Dagster.
"""

from flagrelease_assets.reporting.board import board_html
from flagrelease_assets.reporting.console import console_summary
from flagrelease_assets.reporting.html import report_html
from flagrelease_assets.reporting.markdown import report_markdown

__all__ = ["board_html", "console_summary", "report_html", "report_markdown"]
