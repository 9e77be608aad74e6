"""Install one package of the multi-chip stack as its plan says, prove it, and undo collateral damage.

Belongs here: what holds for every method: disk check, idempotence, before and after, roll-back, document.
Does not belong here: the methods themselves (install_methods), the plans (catalog).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts import wheelhouse
from container_scripts.collect_env_info import libc_facts
from container_scripts.detect_network import GITHUB
from container_scripts.disk_space import disk_facts
from container_scripts.distributions import (
    GUARDED_DISTRIBUTIONS,
    changes,
    guarded_snapshot,
    installed_distributions,
    installed_version,
    normalise_name,
    origin_of,
    provider_of,
    refresh,
)
from container_scripts.document import Document, describe_exception, run_program
from container_scripts.install_methods import (
    Plan,
    Site,
    checkout_folder,
    complete_pip_plan,
    install_from_git,
    install_from_index,
    install_wheel,
    install_with_make,
    is_present,
    owns_import,
    restore,
)
from container_scripts.pip_runner import DISK, NO_MATCH, CommandRunner, InstallError
from container_scripts.select_flagtree_wheel import select_wheel

NOT_APPLICABLE, WHEEL_TABLE = "not_applicable", "wheel_table"


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", required=True, help="key of the package in the stack release")
    parser.add_argument("--plan", required=True, metavar="FILE", help="install plan (JSON), or plans by key")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder of the checkouts")
    parser.add_argument("--pip-arg", action="append", default=[], help="argument for pip (repeatable)")
    parser.add_argument("--github-prefix", default=GITHUB, metavar="URL", help="where to clone from")
    parser.add_argument("--wheelhouse", metavar="DIR", help="install from this folder, without any index")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for the whole installation")
    parser.add_argument("--min-free-gb", type=float, default=10.0, help="free space wanted in every target")
    return parser


def read_plan(path: str, package: str) -> Dict[str, Any]:
    """Return the plan of ``package`` from a file that holds it alone or under its key.

    Raises ValueError if the file holds neither.
    """
    with open(path, encoding="utf-8") as handle:
        content = json.load(handle)
    plan = content if "method" in content else content.get(package)
    if not isinstance(plan, dict) or "method" not in plan:
        raise ValueError(f"{path} holds no install plan for {package}")
    return plan


def require_space(paths: Sequence[str], min_free_gb: float) -> None:
    """Raise InstallError (disk) if any of ``paths`` has less than ``min_free_gb`` GB free."""
    short = [disk for disk in disk_facts(paths) if disk["free_gb"] < min_free_gb]
    if short:
        found = ", ".join(f"{disk['free_gb']} GB in {disk['path']}" for disk in short)
        raise InstallError(f"less than {min_free_gb:g} GB free ({found}): free some space first", DISK)


def require_wheels(plan: Plan, folder: str) -> None:
    """Raise InstallError (no match), naming everything that a plan wants and ``folder`` lacks."""
    try:
        there = wheelhouse.distributions_in(folder)
    except wheelhouse.NoWheelhouseError as error:
        raise InstallError(str(error), NO_MATCH) from error
    missing = wheelhouse.lacking(plan["requirements"], there)
    if missing:
        raise InstallError(
            f"the wheelhouse {folder} lacks {', '.join(missing)}; it holds {len(there)} distributions",
            NO_MATCH,
        )


def require_preinstalled(plan: Plan) -> None:
    """Raise InstallError if the image lacks what a plan builds on and never installs itself."""
    wrong = wheelhouse.wrongly_preinstalled(plan.get("preinstalled") or {})
    if wrong:
        raise InstallError(
            f"must be preinstalled: {', '.join(wrong)}; use an image that brings what the stack release names"
        )


def choose_wheel(plan: Plan) -> Document:
    """Return the wheel table's answer for this worker (``status`` FOUND or NOT_FOUND)."""
    libc, glibc = libc_facts()
    return select_wheel(
        vendor=plan["row"],
        python=platform.python_version(),
        glibc=glibc,
        triton=plan.get("required_triton"),
        arch=platform.machine(),
        libc=libc,
        table=plan["table"],
    )


def unexpected_changes(plan: Plan, changed: Sequence[Document]) -> List[Document]:
    """Return the changes of guarded packages that are not this plan's own purpose.

    What was absent before cannot have been damaged.
    """
    alias = plan.get("metadata_alias") or {}
    own = [plan["distribution"], plan["import_name"], alias.get("name") or "", *plan.get("may_change", ())]
    allowed = {normalise_name(name) for name in own}
    return [
        change for change in changed if change["before"] and normalise_name(change["name"]) not in allowed
    ]


def roll_back(runner: CommandRunner, before: Dict[str, str]) -> bool:
    """Bring every distribution back to its version in ``before``; say whether that succeeded."""
    refresh()
    after = installed_distributions()
    differing = {change["name"] or "": change["before"] for change in changes(before, after)}
    restore(runner, differing)
    return installed_distributions() == before


def perform(runner: CommandRunner, plan: Plan, site: Site, wheel: Optional[Document]) -> str:
    """Carry out the plan unless its result is already there; return the action taken."""
    specifier = wheel["specifier"] if wheel else None
    require_preinstalled(plan)
    if is_present(plan, site, specifier):
        if plan["method"] == "pip" and complete_pip_plan(runner, plan):
            return "installed"
        return "already_present"
    require_space([sys.prefix, tempfile.gettempdir(), site.workdir], site.min_free_gb)
    if site.wheelhouse and plan["method"] == "pip":
        require_wheels(plan, site.wheelhouse)
    if wheel:
        install_wheel(runner, plan, wheel["specifier"], wheel["pip_args"])
    elif plan["method"] == "pip":
        install_from_index(runner, plan, only_here=bool(site.wheelhouse))
        complete_pip_plan(runner, plan)
    elif plan["method"] == "git":
        install_from_git(runner, plan, site)
    else:
        install_with_make(runner, plan, site)
    refresh()
    if not is_present(plan, site, specifier):
        found = installed_version(plan["distribution"])
        owner = "" if owns_import(plan) else f", which does not own the import package {plan['import_name']}"
        raise InstallError(f"the installation ended well, but left {plan['distribution']} {found}{owner}")
    return "installed"


def install(runner: CommandRunner, plan: Plan, site: Site) -> Document:
    """Install the plan's package and return what changed; collateral changes are undone and are a FAIL."""
    wheel = choose_wheel(plan) if plan["method"] == WHEEL_TABLE else None
    if wheel and wheel["status"] != "FOUND":
        return _skipped(f"no wheel: {wheel['reason']}. {wheel['suggestion']}")
    guarded, installed = guarded_snapshot(), installed_distributions()
    failure: Optional[InstallError] = None
    action = None
    try:
        action = perform(runner, plan, site, wheel)
    except InstallError as error:
        failure = error
    refresh()
    changed = changes(guarded, guarded_snapshot())
    unexpected = unexpected_changes(plan, changed)
    rolled_back = roll_back(runner, installed) if unexpected else None
    if unexpected and failure is None:
        failure = InstallError(f"installing {plan['distribution']} changed {_list(unexpected)}")
    return {
        "status": "FAIL" if failure else "PASS",
        "action": None if failure else action,
        "changed": changed,
        "guarded_change": bool(unexpected),
        "rolled_back": rolled_back,
        "problem": failure.problem if failure else None,
        "reason": str(failure) if failure else None,
        **(describe_exception(failure) if failure else {"error": None, "traceback": None}),
        **_proof(plan, site),
    }


def _skipped(reason: str) -> Document:
    return {"status": "SKIPPED", "action": "skipped", "reason": reason, "error": None, "traceback": None}


def _list(changed: Sequence[Document]) -> str:
    return "; ".join(f"{change['name']} from {change['before']} to {change['after']}" for change in changed)


def _proof(plan: Plan, site: Site) -> Document:
    """Return what is there now: version, owner of the import package, commit, checkout."""
    origin = origin_of(plan["distribution"])
    folder = checkout_folder(plan, site.workdir) if "repository" in plan else None
    return {
        "version": installed_version(plan["distribution"]),
        "provider": provider_of(plan["import_name"]),
        "commit": origin.commit if origin else None,
        "checkout": folder if folder and os.path.isdir(folder) else None,
        "preinstalled": {name: installed_version(name) for name in plan.get("preinstalled") or {}},
        "wheelhouse": site.wheelhouse,
    }


def guarded_constraints(plan: Plan) -> Dict[str, str]:
    """Return the installed versions that pip must keep while this plan's package is installed."""
    free = {normalise_name(name) for name in [plan["distribution"], *plan.get("may_change", ())]}
    versions = {name: installed_version(name) for name in GUARDED_DISTRIBUTIONS if name not in free}
    return {name: version for name, version in versions.items() if version}


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body."""
    plan = read_plan(arguments.plan, arguments.package)
    from_folder = ["--no-index", "--find-links", arguments.wheelhouse] if arguments.wheelhouse else []
    runner = CommandRunner(arguments.timeout, [*from_folder, *arguments.pip_arg])
    body: Document = {
        "package": arguments.package,
        "version": None,
        "provider": None,
        "commit": None,
        "checkout": None,
        "changed": [],
        "guarded_change": False,
        "rolled_back": None,
        "problem": None,
        "attempts": runner.attempts,
    }
    if plan["method"] == NOT_APPLICABLE:
        return {**body, **_skipped(plan["reason"])}
    workdir = os.path.abspath(os.path.expanduser(arguments.workdir))
    site = Site(
        workdir,
        arguments.github_prefix,
        guarded_constraints(plan),
        arguments.min_free_gb,
        arguments.wheelhouse,
    )
    return {**body, **install(runner, plan, site)}


if __name__ == "__main__":
    sys.exit(run_program("install_package", build_parser(), observe))
