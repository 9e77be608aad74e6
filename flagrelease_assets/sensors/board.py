"""The board follows the reports.

Belongs here: the sensor that asks for a board. Does not belong here: the board (`assets/release/board.py`).
"""

import dagster as dg

from flagrelease_assets.assets.release.report import REPORT_STEP
from flagrelease_assets.jobs import board_job


@dg.asset_sensor(
    asset_key=dg.AssetKey(REPORT_STEP),
    name="board_follows_reports",
    job=board_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the board anew after reports; several reports between two ticks need one board.",
)
def board_follows_reports(
    context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry
) -> dg.RunRequest:
    """Request one board for the newest report."""
    return dg.RunRequest(run_key=f"board-{asset_event.run_id}-{asset_event.timestamp}")
