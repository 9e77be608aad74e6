"""`flagrelease …`: the command line, thin over the same assets that the UI shows.

Belongs here: commands, options, exit codes. Does not belong here: launching (`launch.py`), how things
look in the terminal (`reporting/console.py`).

Exit codes: 0 PASS, 1 PARTIAL, 2 FAIL, 3 usage or configuration.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table

EXIT_CODES = {"PASS": 0, "SKIPPED": 0, "PARTIAL": 1, "FAIL": 2, "BLOCKED": 2}
EXIT_USAGE = 3

app = typer.Typer(
    help="Says with evidence whether an LLM can be released on a GPU vendor's chips.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
worker_app = typer.Typer(help="Look at the workers of the deployment file.", no_args_is_help=True)
models_app = typer.Typer(help="Look at the models of the deployment file.", no_args_is_help=True)
app.add_typer(worker_app, name="worker")
app.add_typer(models_app, name="models")

console = Console()
complaints = Console(stderr=True)

DeploymentOption = Annotated[
    Path | None,
    typer.Option(
        "--deployment", "-d", help="Deployment file; $FLAGRELEASE_DEPLOYMENT or ./flagrelease.yaml if absent."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def main() -> None:
    """Run the command line; a known problem is one line and exit code 3, never a traceback."""
    from flagrelease_assets.catalog import CatalogError, UnknownVendorError
    from flagrelease_assets.contracts.keys import InvalidModelKeyError
    from flagrelease_assets.demo.progress import DemoError
    from flagrelease_assets.deployment import DeploymentError
    from flagrelease_assets.home import HomeError
    from flagrelease_assets.results.store import StoredResultError
    from flagrelease_assets.workers.base import WorkerError

    try:
        raise SystemExit(app(standalone_mode=False))
    except typer.Abort:
        _fail("aborted")
    except (
        CatalogError,
        DemoError,
        DeploymentError,
        HomeError,
        InvalidModelKeyError,
        StoredResultError,
        UnknownVendorError,
        WorkerError,
    ) as error:
        _fail(str(error))
    except typer.TyperException as error:  # wrong usage; 2, its own exit code, means FAIL here
        _fail(error.format_message())


@app.command()
def release(
    vendor: Annotated[str, typer.Argument(help="Vendor name or alias, such as nvidia, ascend, hcu, cpu.")],
    model: Annotated[
        str, typer.Argument(help="Model id (org/name) or key (org--name) of the deployment file.")
    ],
    job: Annotated[str, typer.Option(help="release, verify (no benchmark) or install.")] = "release",
    force: Annotated[
        bool, typer.Option("--force", help="Measure anew instead of reusing unchanged results.")
    ] = False,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a release of MODEL on VENDOR's worker here and now, and print the report."""
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.jobs import TARGETS
    from flagrelease_assets.resources import DeploymentResource

    resource = _deployment(deployment)
    settings = resource.load()
    vendor, key = _vendor(vendor), model_key(model)
    settings.worker(vendor)
    settings.model(key)
    if job not in TARGETS:
        _fail(f"unknown job {job!r}: use release, verify or install")
    assert isinstance(resource, DeploymentResource)
    _finish(_launch(vendor, key, job, force=force, quiet=as_json), resource, as_json=as_json)


@app.command()
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
        _fail(f"unknown engine {engine!r}: use auto, docker or local")
    progress = StepProgress(console)
    prepared = prepare_release(home, engine, base_image, progress.line, _launch_job)  # type: ignore[arg-type]
    _use_deployment(prepared.deployment_file)
    result = _launch(prepared.vendor, prepared.model, "release", force=force, quiet=False)
    _finish(result, _deployment(None), as_json=False, ui_hint="make demo-ui")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    deployment: DeploymentOption = None,
) -> None:
    """Open the Dagster UI with its daemon (sensors, queue, backfills) on this machine only."""
    from flagrelease_assets.home import ensure_home

    _deployment(deployment)
    home = ensure_home()
    console.print(f"UI at http://127.0.0.1:{port} (instance {home}); end it with Ctrl-C")
    dagster = str(Path(sys.executable).with_name("dagster"))
    arguments = ["dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    os.execv(dagster, [dagster, *arguments])


@app.command()
def status(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Show the newest verdict of every vendor and model."""
    from flagrelease_assets.assets.release.board import board_cells, expected_cells

    resource = _deployment(deployment)
    resource.load()
    cells = board_cells(resource.store(), expected_cells(resource))
    if as_json:
        _print_json([cell.model_dump(mode="json") for cell in cells])
        return
    table = Table("Vendor", "Model", "Verdict", "Stack", "Profiles", "tok/s", "When", "Why")
    for cell in cells:
        table.add_row(
            cell.vendor,
            cell.model,
            str(cell.verdict),
            str(cell.recommended_stack or "-"),
            cell.profiles_passed or "-",
            f"{cell.throughput_tok_s:.1f}" if cell.throughput_tok_s else "-",
            cell.created_at.strftime("%Y-%m-%d %H:%M") if cell.created_at else "-",
            cell.reason or "",
        )
    console.print(table)


@app.command()
def board(deployment: DeploymentOption = None) -> None:
    """Write the board's page from the stored reports and say where it is."""
    from flagrelease_assets.assets.release.board import write_board

    resource = _deployment(deployment)
    resource.load()
    path, cells = write_board(resource)
    console.print(f"{len(cells)} cells: {path}")


@app.command()
def classify(
    log: Annotated[
        Path | None, typer.Argument(help="Log file; standard input if absent.", exists=True, dir_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the layer, component and cause of a failure from its log."""
    from container_scripts.error_layers import classify_stream

    if log is None:
        found = classify_stream(sys.stdin.buffer, "standard input").to_dict()
    else:
        with log.open("rb") as handle:
            found = classify_stream(handle, log.name).to_dict()
    if as_json:
        _print_json(found)
        return
    for name in ("layer", "component", "category", "cause", "fatal", "retryable"):
        console.print(f"[bold]{name:10}[/bold] {found[name]}", markup=True, highlight=False)
    for line in found["evidence"]:
        console.print(f"  {line['source']}:{line['line']}: {line['text']}", markup=False, highlight=False)


@app.command()
def diff(
    run_a: Annotated[Path, typer.Argument(help="Run document of the base stack.")],
    run_b: Annotated[Path, typer.Argument(help="Run document of the full stack.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two run documents: conclusion, component at fault, recommended stack."""
    from container_scripts.diff_analysis import analyse
    from container_scripts.run_documents import load_document

    found = analyse(load_document(str(run_a)), load_document(str(run_b)))
    if as_json:
        _print_json(found)
    else:
        console.print(f"{found['conclusion']}: {found['detail']}", markup=False)
        component = found["multichip_component"] or "none"
        console.print(f"recommended stack {found['recommended_stack']}, component {component}")
        for reason in found["reasons"]:
            console.print(f"  - {reason}", markup=False)
    raise typer.Exit(EXIT_CODES.get(str(found["status"]), 2))


@worker_app.command("check")
def check_worker(
    vendor: Annotated[str, typer.Argument(help="Vendor name or alias.")],
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reach VENDOR's worker and say who it is and what is installed."""
    from flagrelease_assets.workers.factory import open_worker
    from flagrelease_assets.workers.observe import observe

    vendor = _vendor(vendor)
    settings = _deployment(deployment).load()
    entry = settings.worker(vendor)
    with open_worker(entry, withheld=settings.secrets) as worker:
        identity = worker.identity().model_dump(mode="json")
        facts = observe(worker, "worker_identity", timeout_s=entry.timeouts.command_s)
        timeouts = settings.catalog.vendors[vendor].timeouts
        limit = timeouts.collect_environment(settings.catalog.probe_limits)
        environment = observe(worker, "collect_env_info", ["--vendor", vendor], timeout_s=limit)
    if as_json:
        _print_json({"worker": identity, "packages": facts, "environment": environment})
        return
    console.print(f"[green]reachable[/green] {entry.kind} {identity['name']}")
    for name in ("image", "container_id"):
        if identity.get(name):
            console.print(f"  {name}: {identity[name]}", highlight=False)
    console.print(f"  python {environment['python_full_version']}, {facts['package_count']} packages")
    console.print(f"  {environment['libc']} {environment['glibc_version']}, {environment['arch']}")
    console.print(f"  vendor {environment['vendor']}, {len(environment['devices'])} device(s)")
    for disk in environment["disks"]:
        console.print(f"  {disk['path']}: {disk['free_gb']} GB free", highlight=False)


@models_app.command("list")
def list_models(deployment: DeploymentOption = None, as_json: JsonOption = False) -> None:
    """Show the models of the deployment file with their partition keys."""
    models = _deployment(deployment).load().models
    if as_json:
        _print_json([{"key": model.key, **model.model_dump(mode="json")} for model in models])
        return
    table = Table(
        Column("Key", overflow="fold"), Column("Id", overflow="fold"), "Source", "Revision", "dtype", "TP"
    )
    for model in models:
        table.add_row(
            model.key,
            model.id,
            model.source,
            model.revision or "newest",
            model.dtype,
            str(model.tensor_parallel_size),
        )
    console.print(table)


@models_app.command("add")
def add_model(
    model: Annotated[str, typer.Argument(help="Model id or key of the deployment file.")],
    deployment: DeploymentOption = None,
) -> None:
    """Add the partition of a configured model now, so that the UI can launch it (a sensor does so too)."""
    from flagrelease_assets.contracts.keys import model_key
    from flagrelease_assets.home import open_instance
    from flagrelease_assets.partitions import MODEL_DIMENSION

    entry = _deployment(deployment).load().model(model_key(model))
    with open_instance() as instance:
        instance.add_dynamic_partitions(MODEL_DIMENSION, [entry.key])
    console.print(f"partition {entry.key} is there")


def _launch(vendor: str, model: str, job: str, *, force: bool, quiet: bool) -> Any:
    from flagrelease_assets.home import open_instance
    from flagrelease_assets.launch import launch
    from flagrelease_assets.reporting.progress import StepProgress

    progress = StepProgress(console)
    with open_instance() as instance:
        if quiet:
            return launch(instance, job, vendor, model, force=force)
        with progress:
            return launch(instance, job, vendor, model, force=force, on_message=progress.message)


def _launch_job(vendor: str, model: str, job: str) -> str | None:
    """Run a job and return why what it ends with cannot be built on, or None."""
    result = _launch(vendor, model, job, force=False, quiet=False)
    if result.document is None:
        return result.failure or "the run left no result"
    return None if result.document.usable else result.document.reason


def _finish(result: Any, deployment: Any, *, as_json: bool, ui_hint: str = "flagrelease ui") -> NoReturn:
    """Print a finished run and end with its exit code."""
    from flagrelease_assets.assets.release.report import report_file
    from flagrelease_assets.reporting.console import console_summary

    document = result.document
    if as_json:
        failed = {"run_id": result.run_id, "status": "FAIL", "reason": result.failure}
        _print_json(document.model_dump(mode="json") if document else failed)
        raise typer.Exit(EXIT_CODES[result.status.value])
    if result.report:
        page = deployment.store().root / report_file(result.report, "html")
        console.print(console_summary(result.report, str(page)))
    elif document:
        console.print(f"{document.step}: {document.status}: {document.reason or 'as expected'}", markup=False)
    else:
        complaints.print(result.failure or "the run left no result", style="red", markup=False)
    console.print(f"run {result.run_id} took {result.seconds:.0f} s; open the UI with `{ui_hint}`")
    raise typer.Exit(EXIT_CODES[result.status.value])


def _deployment(path: Path | None) -> Any:
    from flagrelease_assets.resources import DeploymentResource

    if path:
        _use_deployment(path)
    return DeploymentResource()


def _use_deployment(path: Path) -> None:
    """Make a deployment file the one of this process and of everything that it starts."""
    from flagrelease_assets.deployment import DEPLOYMENT_VARIABLE

    os.environ[DEPLOYMENT_VARIABLE] = str(path.absolute())


def _vendor(name: str) -> str:
    from flagrelease_assets.catalog import load_catalog

    return load_catalog().resolve_vendor(name)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _fail(message: str) -> NoReturn:
    complaints.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(EXIT_USAGE)


if __name__ == "__main__":
    main()
