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
    from flagrelease_assets.workers.factory import open_worker
    from flagrelease_assets.workers.observe import observe

    vendor = resolve_vendor(vendor)
    settings = open_deployment(deployment).load()
    entry = settings.worker(vendor)
    with open_worker(entry, withheld=settings.secrets) as worker:
        identity = worker.identity().model_dump(mode="json")
        facts = observe(worker, "worker_identity", timeout_s=entry.timeouts.command_s)
        timeouts = settings.catalog.vendors[vendor].timeouts
        limit = timeouts.collect_environment(settings.catalog.probe_limits)
        environment = observe(worker, "collect_env_info", ["--vendor", vendor], timeout_s=limit)
    if as_json:
        print_json({"worker": identity, "packages": facts, "environment": environment})
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
