"""`flagrelease release` and `flagrelease demo`: one release, here and now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flagrelease_assets.cli.common import (
    DeploymentOption,
    JsonOption,
    console,
    fail,
    open_deployment,
    resolve_vendor,
    use_deployment,
)
from flagrelease_assets.cli.running import finish, launch_here, launch_job_for


def release(
    vendor: Annotated[str, typer.Argument(help="Vendor name or alias, such as nvidia, ascend, hcu, cpu.")],
    model: Annotated[
        str, typer.Argument(help="Model id (org/name) or key (org--name) of the deployment file.")
    ],
    job: Annotated[
        str,
        typer.Option(
            help="release, verify (no benchmark), or the job of one step: "
            "install, environment, snapshot, run_a, run_b, compare, benchmark, accuracy."
        ),
    ] = "release",
    force: Annotated[
        bool, typer.Option("--force", help="Measure anew instead of reusing unchanged results.")
    ] = False,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a release of MODEL on VENDOR's worker here and now, and print the report."""
    from flagrelease_assets.assets.release.budget import budget_of
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.jobs import TARGETS
    from flagrelease_assets.resources import DeploymentResource

    resource = open_deployment(deployment)
    settings = resource.load()
    vendor, key = resolve_vendor(vendor), model_key(model)
    entry = settings.worker(vendor)
    settings.model(key)
    if job not in TARGETS:
        fail(f"unknown job {job!r}: use {', '.join(TARGETS)}")
    if not as_json and job == "release":
        profiles = len(settings.catalog.profiles_for(vendor))
        probes = settings.catalog.probe_limits
        budget = budget_of(settings.catalog.vendors[vendor], entry, profiles=profiles, probes_s=probes)
        console.print(f"this release needs its worker for {budget}", highlight=False)
    assert isinstance(resource, DeploymentResource)
    finish(launch_here(vendor, key, job, force=force, quiet=as_json), resource, as_json=as_json)


def demo(
    engine: Annotated[str, typer.Option(help="auto, docker or local.")] = "auto",
    base_image: Annotated[str | None, typer.Option(help="Base image of the worker image.")] = None,
    home: Annotated[Path, typer.Option(help="Folder of everything that the demo makes.")] = Path(
        ".flagrelease/demo"
    ),
    force: Annotated[
        bool, typer.Option("--force", help="Measure anew instead of reusing unchanged results.")
    ] = False,
) -> None:
    """Release a small real model on this machine's CPU with real vLLM, from nothing to the report."""
    from flagrelease_assets.demo.release import prepare_release
    from flagrelease_assets.reporting.progress import StepProgress

    if engine not in ("auto", "docker", "local"):
        fail(f"unknown engine {engine!r}: use auto, docker or local")
    progress = StepProgress(console)
    prepared = prepare_release(home, engine, base_image, progress.line, launch_job_for)  # type: ignore[arg-type]
    use_deployment(prepared.deployment_file)
    result = launch_here(prepared.vendor, prepared.model, "release", force=force, quiet=False)
    finish(result, open_deployment(None), as_json=False, ui_hint="make demo-ui")
