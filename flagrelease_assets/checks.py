"""Dagster's checks of a release against its own history: green only where something was judged and is well.

Belongs here: check definitions, severity, and the metadata that shows figures and baseline in the UI.
Does not belong here: judging (`release_checks.py`), the status checks of steps (`assets/release/step.py`).
"""

import traceback
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import dagster as dg

from flagrelease_assets.contracts.checks import CheckOutcome, CheckState
from flagrelease_assets.contracts.common import utc_now
from flagrelease_assets.deployment import Deployment, DeploymentError
from flagrelease_assets.partitions import release_partitions, split_release_key
from flagrelease_assets.release_checks import (
    RELEASE_CHECKS,
    ReleaseCheck,
    StoredPast,
    finding_of,
    judge,
    setting,
)
from flagrelease_assets.resources import DeploymentResource
from flagrelease_assets.results.store import ResultStore, StoredResultError
from flagrelease_assets.waivers import accepted

_FIGURE_COLUMNS = (
    ("subject", "string"),
    ("metric", "string"),
    ("state", "string"),
    ("value", "float"),
    ("baseline", "float"),
    ("mean", "float"),
    ("standard_deviation", "float"),
    ("change_percent", "float"),
    ("results", "int"),
    ("baseline_run", "string"),
    ("text", "string"),
)


def release_asset_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of every step that has some, one definition for each step."""
    return [
        _checks_of_step(step, tuple(checks))
        for step, checks in groupby(RELEASE_CHECKS, key=lambda check: check.step)
    ]


def _checks_of_step(step: str, checks: tuple[ReleaseCheck, ...]) -> dg.AssetChecksDefinition:
    """Return the checks of one step; one that is switched off gives no evaluation and is shown as skipped."""

    @dg.multi_asset_check(name=f"{step}_against_history", specs=[*map(_spec, checks)], can_subset=True)
    def against_history(
        context: dg.AssetCheckExecutionContext, deployment: DeploymentResource
    ) -> Iterator[dg.AssetCheckResult]:
        vendor, model = split_release_key(context.partition_key)
        past = StoredPast(deployment.store(), vendor, model)
        for check in checks:
            if _key(check) in context.selected_asset_check_keys:
                yield from _evaluate(check, past, deployment, context.run.run_id)

    return against_history


def _key(check: ReleaseCheck) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(check.step), check.name)


def _spec(check: ReleaseCheck) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=check.name,
        asset=check.step,
        description=check.description,
        partitions_def=release_partitions,
    )


def _evaluate(
    check: ReleaseCheck, past: StoredPast, resource: DeploymentResource, run_id: str
) -> Iterator[dg.AssetCheckResult]:
    """Yield the evaluation of a check; what goes wrong here is a warning and costs neither run nor report."""
    try:
        deployment = resource.load()
        if setting(deployment.checks, check).severity != "off":
            document = _document(check, past.store, past.vendor, past.model, run_id)
            yield _result(check, judge(check, document, past, deployment.checks), deployment, past)
    except (DeploymentError, StoredResultError) as error:
        yield _not_judged(check, str(error))
    except Exception as error:  # a defect of ours must not look like one of the release
        yield _not_judged(check, f"{type(error).__name__}: {error}", traceback.format_exc())


def _document(check: ReleaseCheck, store: ResultStore, vendor: str, model: str, run_id: str) -> Any:
    """Return what this run stored, or the newest result where a check is executed alone."""
    return store.of_run(check.step, vendor, model, run_id) or store.latest(check.step, vendor, model)


def _not_judged(check: ReleaseCheck, cause: str, details: str | None = None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=check.step,
        check_name=check.name,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"not judged: {cause}",
        metadata={"state": "not_judged", **({"traceback": details} if details else {})},
    )


def _result(
    check: ReleaseCheck, outcome: CheckOutcome, deployment: Deployment, past: StoredPast
) -> dg.AssetCheckResult:
    waiver = _waived(outcome, deployment, past)
    is_error = outcome.state == CheckState.ALERT and setting(deployment.checks, check).severity == "error"
    return dg.AssetCheckResult(
        asset_key=check.step,
        check_name=check.name,
        passed=outcome.state == CheckState.OK,
        severity=dg.AssetCheckSeverity.ERROR if is_error and not waiver else dg.AssetCheckSeverity.WARN,
        description=f"{outcome.state}: {outcome.text}" + (f" ({waiver})" if waiver else ""),
        metadata={**_metadata(outcome), **({"waived": waiver} if waiver else {})},
    )


def _waived(outcome: CheckOutcome, deployment: Deployment, past: StoredPast) -> str | None:
    """Return what accepts an alert, in words; None if nothing does."""
    if outcome.state != CheckState.ALERT:
        return None
    finding = finding_of(outcome, deployment.checks)
    return accepted(finding, deployment.waivers, past.vendor, past.model, utc_now().date())


def _metadata(outcome: CheckOutcome) -> dict[str, Any]:
    changes = [figure.change_percent for figure in outcome.figures if figure.change_percent is not None]
    metadata: dict[str, Any] = {
        "state": outcome.state.value,
        "alerts": sum(figure.state == CheckState.ALERT for figure in outcome.figures),
    }
    if outcome.baseline_run and outcome.baseline_at:
        metadata["baseline_run"] = dg.MetadataValue.dagster_run(outcome.baseline_run)
        metadata["baseline_at"] = dg.MetadataValue.timestamp(outcome.baseline_at)
    if changes:
        metadata["largest_change_percent"] = max(changes, key=abs)
    if outcome.figures:
        metadata["comparable_results"] = min(figure.results for figure in outcome.figures)
        metadata["figures"] = _figure_table(outcome)
    return metadata


def _figure_table(outcome: CheckOutcome) -> dg.TableMetadataValue:
    """Return the figures as a table of the columns that any of them fills."""
    rows = [figure.model_dump(mode="json") for figure in outcome.figures]
    columns = [
        (name, kind) for name, kind in _FIGURE_COLUMNS if any(row[name] not in (None, "") for row in rows)
    ]
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: row[name] for name, _ in columns}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns]),
    )
