"""`flagrelease worker …`: the workers of the deployment file."""

from __future__ import annotations

from typing import Annotated

import typer

from flagrelease_assets.cli.common import (
    DeploymentOption,
    JsonOption,
    console,
    open_deployment,
    print_json,
    resolve_vendor,
)


def check_worker(
    vendor: Annotated[str, typer.Argument(help="Vendor name or alias.")],
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reach VENDOR's worker and say who it is and what is installed."""
    from flagrelease_assets.assets.release.budget import budget_of, timeouts_of
    from flagrelease_assets.assets.release.devices import worker_environment
    from flagrelease_assets.workers.device_lock import holders_of
    from flagrelease_assets.workers.factory import open_worker
    from flagrelease_assets.workers.observe import observe

    vendor = resolve_vendor(vendor)
    settings = open_deployment(deployment).load()
    entry = settings.worker(vendor)
    with open_worker(entry, withheld=settings.secrets) as worker:
        identity = worker.identity().model_dump(mode="json")
        facts_of_vendor, probes = settings.catalog.vendors[vendor], settings.catalog.probe_limits
        variables = worker_environment(facts_of_vendor, entry)
        facts = observe(worker, "worker_identity", timeout_s=entry.timeouts.command_s, env=variables)
        profiles = len(settings.catalog.profiles_for(vendor))
        budget = budget_of(facts_of_vendor, entry, profiles=profiles, probes_s=probes)
        holders = holders_of(worker, entry.lock_root)
        limit = timeouts_of(facts_of_vendor, entry).collect_environment(probes)
        environment = observe(
            worker, "collect_env_info", ["--vendor", vendor], timeout_s=limit, env=variables
        )
    if as_json:
        print_json(
            {
                "worker": identity,
                "packages": facts,
                "environment": environment,
                "holders": [holder.model_dump(mode="json") for holder in holders],
                "longest_release_s": {**budget.steps, "total": budget.total_s},
            }
        )
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
    for holder in holders:
        console.print(f"  busy: {holder}", highlight=False)
    console.print(f"  a release needs it for {budget}", highlight=False)
