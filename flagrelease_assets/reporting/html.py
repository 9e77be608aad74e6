"""The report of one release as one self-contained HTML page.

Belongs here: choosing what the page shows.
Does not belong here: how it looks (`templates/`), the Markdown report.
"""

from __future__ import annotations

from collections.abc import Mapping

from flagrelease_assets.contracts import ReleaseReport, StepDocument
from flagrelease_assets.reporting import facts
from flagrelease_assets.reporting.against_history import check_rows, waiver_lines
from flagrelease_assets.reporting.charts import performance_charts
from flagrelease_assets.reporting.claims import claims
from flagrelease_assets.reporting.documents import ReleaseDocuments
from flagrelease_assets.reporting.operators import search_accounts
from flagrelease_assets.reporting.pages import render_page


def report_html(report: ReleaseReport, documents: Mapping[str, StepDocument]) -> str:
    """Return the whole report as one page that needs nothing else.

    ``documents`` holds the steps' documents by step; what is not there is said to be missing.
    """
    release = ReleaseDocuments(report, documents)
    errors = release.errors
    profiles = facts.profile_results(release)
    series = {f"{release.benchmark.stack if release.benchmark else 'recommended'} stack": profiles}
    base = release.benchmark.base_performance if release.benchmark else None
    if base and base.profiles:
        series["base stack"] = base.profiles
    return render_page(
        "report.html.j2",
        "report.js",
        {
            "report": report,
            "recommended": release.recommended,
            "stack": report.steps.model_verify.recommended_stack,
            "errors": errors,
            "errors_by_layer": facts.errors_by_layer(errors),
            "layers": facts.LAYERS,
            "check_rows": check_rows(report),
            "waiver_lines": waiver_lines(report),
            "claims": claims(release),
            "packages": facts.package_rows(release),
            "profiles": facts.profile_rows(profiles),
            "against_base": facts.against_base(release),
            "base_profiles": facts.profile_rows(base.profiles) if base else [],
            "charts": performance_charts(series),
            "series": list(series),
            "searches": search_accounts(release),
            "samples": facts.samples(release),
            "versions": facts.version_rows(release),
            "release_facts": facts.release_facts(release),
            "environment_facts": facts.environment_facts(release),
            "logs": facts.log_rows(release),
            "longest_step": max((line.duration_s for line in report.step_lines), default=0.0),
        },
    )
