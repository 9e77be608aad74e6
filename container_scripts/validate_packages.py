"""Say of each of the five packages whether it really works: imported, proven, registered.

Belongs here: what counts as working for a package, and the gate.
Does not belong here: importing (package_probe does it, one process per package), installing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

if not __package__:  # run as a file: make this folder importable as the package it is
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from container_scripts.distributions import (
    installed_digest,
    installed_version,
    normalise_name,
    providers_of,
    same_release,
)
from container_scripts.document import Document, run_program
from container_scripts.package_probe import GENERAL_GROUP, PLATFORM_GROUP, ImportOutcome, probe_import

PACKAGES = ("vllm", "flagtree", "flaggems", "flagcx", "vllm_plugin_fl")
IMPORT_TIMEOUT_S = 60.0

Plan = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One package: the import's outcome and, if it does not work, the reason."""

    outcome: ImportOutcome
    version: Optional[str]
    providers: List[str]
    problem: Optional[str]


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", required=True, metavar="FILE", help="install plans by package (JSON)")
    parser.add_argument("--import-timeout", type=float, default=IMPORT_TIMEOUT_S, help="seconds for each")
    return parser


def examine(plan: Plan, timeout_s: float) -> Finding:
    """Import one package in its own process and compare what is there with its plan."""
    entry_points = plan.get("entry_points") or {}
    outcome = probe_import(plan["import_name"], timeout_s, entry_points.get("name"))
    version = installed_version(plan["distribution"]) or outcome.version
    providers = providers_of(plan["import_name"])
    return Finding(outcome, version, providers, _problem(plan, outcome, version, providers))


def _problem(
    plan: Plan, outcome: ImportOutcome, version: Optional[str], providers: List[str]
) -> Optional[str]:
    """Return why the package does not count as working, or None; the first cause decides."""
    name, wanted = plan["distribution"], plan.get("version")
    if outcome.error:
        return outcome.error
    if [normalise_name(provider) for provider in providers] != [normalise_name(name)]:
        owners = " and ".join(providers) or "no distribution"
        return f"import package {plan['import_name']} belongs to {owners}, not to {name}"
    if wanted and not same_release(version, wanted):
        return f"version {version} is installed, the stack release wants {wanted}"
    entry_points = plan.get("entry_points") or {}
    for group in entry_points.get("groups", ()):
        if entry_points["name"] not in outcome.entry_points.get(group, ()):
            return f"no entry point {entry_points['name']} is registered in {group}"
    return None


def describe(key: str, plan: Plan, finding: Finding) -> Document:
    """Return a package's own part of the document."""
    outcome = finding.outcome
    part: Document = {"importable": outcome.importable, "version": finding.version, "error": finding.problem}
    if key == "vllm":
        part["version_match"] = same_release(finding.version, plan.get("version") or finding.version)
    elif key == "flagtree":
        part["triton_path"] = outcome.path
        part["provider"] = " and ".join(finding.providers) or None
        part["is_flagtree"] = [normalise_name(name) for name in finding.providers] == ["flagtree"]
    elif key == "vllm_plugin_fl":
        part["registered"] = finding.problem is None
        part["platform_plugins"] = outcome.entry_points.get(PLATFORM_GROUP, [])
        part["general_plugins"] = outcome.entry_points.get(GENERAL_GROUP, [])
    return part


def summarise(finding: Finding) -> Document:
    """Return a package's status and its evidence."""
    return {
        "status": "FAIL" if finding.problem else "PASS",
        "version": finding.version,
        "provider": " and ".join(finding.providers) or None,
        "reason": finding.problem,
        "error": finding.outcome.error,
        "traceback": finding.outcome.traceback,
    }


def not_applicable(plan: Plan) -> Document:
    """Return the entry of a package that the vendor does not have; it is not imported."""
    fields = {"version": None, "provider": None, "error": None, "traceback": None}
    return {"status": "SKIPPED", "reason": plan["reason"], **fields}


def overall(packages: Mapping[str, Document], plans: Mapping[str, Plan]) -> Document:
    """Return status and gate: a failed gate package is FAIL, any other shortfall PARTIAL."""
    gate_passed = bool(packages) and all(
        packages[key]["status"] == "PASS" for key, plan in plans.items() if plan["gate"]
    )
    complete = all(package["status"] != "FAIL" for package in packages.values())
    status = "FAIL" if not gate_passed else "PASS" if complete else "PARTIAL"
    return {"status": status, "gate_passed": gate_passed}


def observe(arguments: argparse.Namespace) -> Document:
    """Return the document body. Raises ValueError if the plan names no package or an unknown one."""
    with open(arguments.plan, encoding="utf-8") as handle:
        plans: Dict[str, Plan] = json.load(handle)
    unknown = sorted(set(plans) - set(PACKAGES))
    if unknown or not plans:
        wanted = ", ".join(PACKAGES)
        raise ValueError(
            f"{arguments.plan} must hold plans by package ({wanted}); found {unknown or 'nothing'}"
        )
    parts: Document = {}
    packages: Dict[str, Document] = {}
    for key in [key for key in PACKAGES if key in plans]:
        if plans[key]["method"] == "not_applicable":
            parts[key] = {"importable": None, "version": None, "error": None}
            packages[key] = not_applicable(plans[key])
            continue
        finding = examine(plans[key], arguments.import_timeout)
        parts[key], packages[key] = describe(key, plans[key], finding), summarise(finding)
    verdict = overall(packages, plans)
    return {
        "status": verdict["status"],
        **parts,
        "overall": verdict,
        "packages": packages,
        "torch": probe_import("torch", arguments.import_timeout).torch,
        "distributions_digest": installed_digest()[0],
    }


if __name__ == "__main__":
    sys.exit(run_program("validate_packages", build_parser(), observe))
