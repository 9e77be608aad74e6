"""What happens without a click: new versions are found and released, the board follows reports, lost runs
get theirs, and an asset that was asked for alone gets what it needs above it.

Belongs here: sensors, one module for each reason to act. Does not belong here: what a launched job does.
"""

from flagrelease_assets.sensors.board import board_follows_reports
from flagrelease_assets.sensors.lost_runs import report_of_cancelled_run, report_of_failed_run
from flagrelease_assets.sensors.model_versions import model_versions
from flagrelease_assets.sensors.pull_upstream import pull_upstream
from flagrelease_assets.sensors.releases import release_on_new_version
from flagrelease_assets.sensors.stack_releases import stack_releases

ALL_SENSORS = [
    model_versions,
    release_on_new_version,
    stack_releases,
    pull_upstream,
    board_follows_reports,
    report_of_failed_run,
    report_of_cancelled_run,
]
