"""How a package gets installed: from an index, from a wheel table, from a repository, with make first.

Belongs here: one function per method of an install plan, and how to prove that its result is there.
Does not belong here: what an installation may change elsewhere, documents, command line.
"""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from container_scripts.distributions import (
    Origin,
    find_distribution,
    installed_version,
    normalise_name,
    origin_of,
    provider_of,
    record_origin,
    refresh,
    same_release,
)
from container_scripts.metadata_alias import alias_is_present, write_metadata_alias
from container_scripts.package_probe import probe_import
from container_scripts.pip_runner import NO_MATCH, OTHER, CommandRunner, InstallError

IMPORT_TIMEOUT_S = 60.0

Plan = Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    """Where an installation works.

    Folder of checkouts, source host, guarded versions, free space wanted, and the folder of wheels that
    stands in the place of every index, if there is one.
    """

    workdir: str
    github_prefix: str
    constraints: Mapping[str, str]
    min_free_gb: float = 0.0
    wheelhouse: Optional[str] = None


def owns_import(plan: Plan) -> bool:
    """Say whether the plan's distribution, and no other, owns the plan's import package."""
    provider = provider_of(plan["import_name"])
    return provider is not None and normalise_name(provider) == normalise_name(plan["distribution"])


def repository_url(plan: Plan, github_prefix: str) -> str:
    """Return the address to clone a plan's repository from."""
    return f"{github_prefix.rstrip('/')}/{plan['repository']}"


def checkout_folder(plan: Plan, workdir: str) -> str:
    """Return the folder of a plan's checkout; it carries the repository's own name."""
    return os.path.join(workdir, plan["repository"].rpartition("/")[2])


def is_present(plan: Plan, site: Site, wheel: Optional[str] = None) -> bool:
    """Say whether what the plan asks for is already there, proven by version, owner and origin.

    ``wheel`` is the chosen requirement (``name==version``) of a wheel table.
    """
    version = installed_version(plan["distribution"])
    if version is None or not owns_import(plan):
        return False
    method = plan["method"]
    if method == "wheel_table":
        return same_release(version, (wheel or "").rpartition("=")[2])
    if plan.get("version") and not same_release(version, plan["version"]):
        return False
    if method == "pip":
        return True
    origin = origin_of(plan["distribution"])
    if origin is None or (origin.url, origin.ref) != (plan["repository"], plan["ref"]):
        return False
    library = plan.get("library")
    return library is None or os.path.exists(os.path.join(checkout_folder(plan, site.workdir), library))


def install_from_index(runner: CommandRunner, plan: Plan, only_here: bool = False) -> None:
    """Install the plan's requirements; once more with the fallback indexes if nothing matches.

    With ``only_here`` pip's own arguments name the one place to look in.
    """
    arguments = (["--no-deps"] if plan.get("no_deps") else []) + list(plan["requirements"])
    done = runner.pip("install", *arguments)
    no_match = not done.succeeded and runner.attempts[-1]["problem"] == NO_MATCH
    if no_match and plan.get("fallback_index_urls") and not only_here:
        extra = [word for url in plan["fallback_index_urls"] for word in ("--extra-index-url", url)]
        done = runner.pip("install", *extra, *arguments)
    if not done.succeeded:
        runner.fail(f"pip install {' '.join(plan['requirements'])}")


def complete_pip_plan(runner: CommandRunner, plan: Plan) -> bool:
    """Remove what the plan wants gone and write its metadata alias; say whether anything was to do."""
    refresh()
    unwanted = [name for name in plan.get("remove", ()) if find_distribution(name)]
    for name in unwanted:
        runner.uninstall(name)
    alias = plan.get("metadata_alias")
    if alias is None or alias_is_present(alias["name"], alias["version"]):
        return bool(unwanted)
    write_metadata_alias(plan["distribution"], alias["name"], alias["version"])
    return True


def install_wheel(runner: CommandRunner, plan: Plan, wheel: str, index_arguments: List[str]) -> None:
    """Replace the owner of an import package by ``wheel``: download first, prove it, else restore.

    ``index_arguments`` are pip's, for the download. Raises InstallError if the download, the
    installation or the proof fails; what was replaced is installed again in the two latter cases.
    """
    with tempfile.TemporaryDirectory(prefix="wheel-") as folder:
        argv = ["--only-binary", ":all:", "--dest", folder, *index_arguments, wheel]
        runner.require(f"download of {wheel}", runner.pip_command("download", *argv))
        files = glob.glob(os.path.join(folder, "*.whl"))
        replaced = {name: installed_version(name) for name in plan["replaces"]}
        try:
            for name, version in replaced.items():
                if version is not None:
                    runner.uninstall(name)
            runner.require(f"installation of {wheel}", runner.pip_command("install", "--no-deps", *files))
            _prove_wheel(plan, wheel)
        except InstallError:
            restore(runner, {**replaced, plan["distribution"]: None})
            raise


def _prove_wheel(plan: Plan, wheel: str) -> None:
    refresh()
    outcome = probe_import(plan["import_name"], IMPORT_TIMEOUT_S)
    if outcome.error:
        raise InstallError(f"{wheel} is installed, but import {plan['import_name']} fails: {outcome.error}")
    if not owns_import(plan):
        raise InstallError(f"{wheel} is installed, but does not own the import package {plan['import_name']}")


def restore(runner: CommandRunner, versions: Mapping[str, Optional[str]]) -> None:
    """Bring distributions back to ``versions`` (None: not installed), without touching their dependencies.

    Every attempt is recorded; one that fails does not keep the others from being tried.
    """
    refresh()
    for name in [name for name, version in versions.items() if version is None and find_distribution(name)]:
        runner.run(runner.pip_command("uninstall", "-y", name))
    for name, version in versions.items():
        if version is not None:
            runner.pip("install", "--no-deps", "--force-reinstall", f"{name}=={version}")
    refresh()


def install_from_git(runner: CommandRunner, plan: Plan, site: Site) -> str:
    """Install a repository's Python package at its pinned ref and return the commit."""
    folder = checkout_folder(plan, site.workdir)
    commit = check_out(runner, plan, site, submodules=False)
    with tempfile.TemporaryDirectory(prefix="constraints-") as temporary:
        constraints = _write_constraints(temporary, site.constraints)
        if plan.get("build_requirements"):
            what, wanted = "installation of build requirements", list(plan["build_requirements"])
            runner.require(what, runner.pip_command("install", *constraints, *wanted))
        if plan.get("requirements_file"):
            file = os.path.join(folder, plan["requirements_file"])
            runner.require(f"pip install -r {file}", runner.pip_command("install", *constraints, "-r", file))
        _install_folder(runner, plan, folder, constraints, plan.get("environment") or {})
    _remember_origin(plan, commit)
    return commit


def install_with_make(runner: CommandRunner, plan: Plan, site: Site) -> str:
    """Build a repository's library with make, install the Python package in its folder, return the commit."""
    folder = checkout_folder(plan, site.workdir)
    commit = check_out(runner, plan, site, submodules=bool(plan.get("submodules")))
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    runner.require(f"make {plan['make_flag']}", ["make", plan["make_flag"], jobs], cwd=folder)
    library = os.path.join(folder, plan["library"])
    if not os.path.exists(library):
        raise InstallError(f"make {plan['make_flag']} ended well, but left no {library}", OTHER)
    with tempfile.TemporaryDirectory(prefix="constraints-") as temporary:
        constraints = _write_constraints(temporary, site.constraints)
        source = os.path.join(folder, plan["subdirectory"])
        _install_folder(runner, plan, source, constraints, {plan["adaptor_variable"]: plan["adaptor"]})
    _remember_origin(plan, commit)
    return commit


def check_out(runner: CommandRunner, plan: Plan, site: Site, submodules: bool) -> str:
    """Bring a plan's checkout to exactly its pinned ref, whatever was there, and return the commit."""
    folder, url = checkout_folder(plan, site.workdir), repository_url(plan, site.github_prefix)
    os.makedirs(folder, exist_ok=True)
    git = ["git", "-C", folder]
    what = f"check-out of {url} at {plan['ref']}"
    if not os.path.isdir(os.path.join(folder, ".git")):
        runner.require(what, [*git, "init", "--quiet"])
    runner.require(what, [*git, "fetch", "--force", "--tags", url, plan["ref"]])
    runner.require(what, [*git, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"])
    runner.require(what, [*git, "clean", "-ffdxq"])
    if submodules:
        runner.require(what, [*git, "submodule", "update", "--init", "--recursive", "--force"])
    return runner.require(what, [*git, "rev-parse", "HEAD"]).output.strip()


def _write_constraints(folder: str, versions: Mapping[str, str]) -> List[str]:
    path = os.path.join(folder, "constraints.txt")
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(f"{name}=={version}\n" for name, version in versions.items())
    return ["--constraint", path]


def _install_folder(
    runner: CommandRunner, plan: Plan, folder: str, constraints: List[str], environment: Dict[str, str]
) -> None:
    options = [
        *constraints,
        *(["--no-build-isolation"] if plan.get("no_build_isolation") else []),
        *(["--no-deps"] if plan.get("no_deps") else []),
    ]
    argv = runner.pip_command("install", *options, folder)
    runner.require(f"installation of {plan['distribution']} from {folder}", argv, env=environment)
    refresh()


def _remember_origin(plan: Plan, commit: str) -> None:
    if not find_distribution(plan["distribution"]):
        raise InstallError(
            f"pip ended well, but distribution {plan['distribution']} is not installed in {sys.prefix}"
        )
    record_origin(plan["distribution"], Origin(plan["repository"], plan["ref"], commit))
