"""Installation into real environments, with real pip and small real wheels and repositories."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from container_scripts.distributions import same_release
from container_scripts.install_package import choose_wheel, unexpected_changes
from container_scripts.pip_runner import classify_problem
from tests.unit.container_scripts.package_making import Environment

PIP_PLAN: dict[str, Any] = {
    "method": "pip",
    "gate": True,
    "distribution": "engine-cpu",
    "import_name": "vllm",
    "version": "1.2",
    "requirements": ["engine-cpu==1.2"],
    "remove": ["unwanted"],
    "metadata_alias": {"name": "vllm", "version": "1.2+cpu"},
    "fallback_index_urls": [],
    "may_change": [],
}


def make_engine(environment: Environment, **more: Any) -> None:
    environment.wheel("engine-cpu", "1.2", {"vllm/__init__.py": "__version__ = '1.2'\n"}, **more)


def test_a_second_installation_finds_everything_proven_and_touches_nothing(environment: Environment) -> None:
    make_engine(environment, requires=["unwanted"])
    environment.wheel("unwanted", "1", {"unwanted.py": ""})
    first = environment.install(PIP_PLAN)
    assert (first["status"], first["action"], first["provider"]) == ("PASS", "installed", "engine-cpu")
    assert environment.version("vllm") == "1.2+cpu"
    assert environment.version("unwanted") is None
    second = environment.install(PIP_PLAN)
    assert (second["status"], second["action"]) == ("PASS", "already_present")
    assert second["attempts"] == []


def test_a_missing_alias_is_mended_without_installing_again(environment: Environment) -> None:
    make_engine(environment)
    environment.pip_install("engine-cpu")
    document = environment.install(PIP_PLAN)
    assert document["action"] == "installed"
    assert document["attempts"] == []
    assert environment.version("vllm") == "1.2+cpu"


def test_a_package_that_changes_torch_fails_and_is_rolled_back(environment: Environment) -> None:
    for version in ("1.0", "2.0"):
        environment.wheel("torch", version, {"torch/__init__.py": f"__version__ = '{version}'\n"})
    environment.pip_install("torch==1.0")
    make_engine(environment, requires=["torch==2.0"])
    document = environment.install(PIP_PLAN)
    assert document["status"] == "FAIL"
    assert document["guarded_change"] is True
    assert {"name": "torch", "before": "1.0", "after": "2.0"} in document["changed"]
    assert "torch from 1.0 to 2.0" in document["error"]
    assert document["rolled_back"] is True
    assert environment.version("engine-cpu") is None
    assert environment.version("torch") == "1.0"
    allowed = environment.install({**PIP_PLAN, "may_change": ["torch"]})
    assert (allowed["status"], environment.version("torch")) == ("PASS", "2.0")


def test_nothing_matching_is_tried_once_more_with_the_fallback_index(environment: Environment) -> None:
    fallback = "https://user:secret@index.invalid/simple"
    document = environment.install({**PIP_PLAN, "fallback_index_urls": [fallback]})
    assert document["status"] == "FAIL"
    assert len(document["attempts"]) == 2
    assert document["attempts"][0]["problem"] == document["problem"] == "no_matching_distribution"
    assert "secret" not in str(document)
    assert "--extra-index-url" in document["attempts"][1]["argv"]


def test_a_wrong_version_in_the_index_is_no_success(environment: Environment) -> None:
    make_engine(environment)
    document = environment.install({**PIP_PLAN, "version": "1.3"})
    assert document["status"] == "FAIL"
    assert "left engine-cpu 1.2" in document["error"]


def test_too_little_space_fails_before_anything_is_touched(environment: Environment) -> None:
    make_engine(environment)
    document = environment.install(PIP_PLAN, "--min-free-gb", "1e9")
    assert (document["status"], document["problem"], document["attempts"]) == ("FAIL", "disk", [])


def test_a_full_disk_does_not_fail_what_is_already_there(environment: Environment) -> None:
    make_engine(environment)
    assert environment.install(PIP_PLAN)["status"] == "PASS"
    document = environment.install(PIP_PLAN, "--min-free-gb", "1e9")
    assert (document["status"], document["action"]) == ("PASS", "already_present")


def test_what_a_vendor_does_not_have_is_skipped_with_the_reason(environment: Environment) -> None:
    document = environment.install({"method": "not_applicable", "gate": False, "reason": "no such build"})
    assert (document["status"], document["reason"]) == ("SKIPPED", "no such build")


FLAGTREE_PLAN: dict[str, Any] = {
    "method": "wheel_table",
    "gate": False,
    "distribution": "flagtree",
    "import_name": "triton",
    "version": None,
    "table": "flagtree-0.4",
    "row": "nvidia",
    "required_triton": None,
    "replaces": ["triton"],
    "may_change": ["triton"],
}
needs_a_wheel = pytest.mark.skipif(
    choose_wheel(FLAGTREE_PLAN)["status"] != "FOUND", reason="the wheel table has no row for this machine"
)


@needs_a_wheel
@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        (None, "download of flagtree"),
        ({"triton/__init__.py": "raise OSError('libtriton.so is missing')\n"}, "libtriton.so is missing"),
        ({"flagtree/__init__.py": ""}, "No module named 'triton'"),
    ],
)
def test_triton_is_still_there_when_the_flagtree_wheel_is_of_no_use(
    environment: Environment, wheel: dict[str, str] | None, reason: str
) -> None:
    environment.wheel("triton", "3.5.0", {"triton/__init__.py": ""})
    environment.pip_install("triton")
    if wheel:
        environment.wheel("flagtree", "0.4.0", wheel)
    document = environment.install(FLAGTREE_PLAN)
    assert document["status"] == "FAIL"
    assert reason in document["error"]
    assert (environment.version("triton"), environment.version("flagtree")) == ("3.5.0", None)
    assert document["provider"] == "triton"


@needs_a_wheel
def test_flagtree_takes_the_place_of_triton_and_stays(environment: Environment) -> None:
    environment.wheel("triton", "3.5.0", {"triton/__init__.py": ""})
    environment.pip_install("triton")
    environment.wheel("flagtree", "0.4.0", {"triton/__init__.py": ""})
    first = environment.install(FLAGTREE_PLAN)
    assert (first["status"], first["provider"], first["version"]) == ("PASS", "flagtree", "0.4.0")
    assert first["changed"] == [{"name": "triton", "before": "triton==3.5.0", "after": "flagtree==0.4.0"}]
    assert environment.install(FLAGTREE_PLAN)["action"] == "already_present"


def test_no_fitting_flagtree_wheel_is_a_skip_not_a_failure(environment: Environment) -> None:
    document = environment.install({**FLAGTREE_PLAN, "required_triton": "9.9"})
    assert document["status"] == "SKIPPED"
    assert document["reason"].startswith("no wheel")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "origin" / "org" / "Kernels"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(
        "import zipfile, pathlib\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'kernels-1.0-py3-none-any.whl'\n"
        "    info = 'kernels-1.0.dist-info/'\n"
        "    files = {'kernels/__init__.py': pathlib.Path('source.py').read_text(),\n"
        "             info + 'METADATA': 'Metadata-Version: 2.1\\nName: kernels\\nVersion: 1.0\\n',\n"
        "             info + 'WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}\n"
        "    files[info + 'RECORD'] = ''.join(f'{path},,\\n' for path in [*files, info + 'RECORD'])\n"
        "    with zipfile.ZipFile(pathlib.Path(folder) / name, 'w') as archive:\n"
        "        for path, text in files.items():\n"
        "            archive.writestr(path, text)\n"
        "    return name\n"
    )
    git(folder, "init", "--quiet")
    commit(folder, "answer = 1\n", "v1")
    commit(folder, "answer = 2\n", "v2")
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def commit(folder: Path, source: str, tag: str) -> None:
    (folder / "source.py").write_text(source)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", tag)
    git(folder, "tag", tag)


def test_a_checkout_follows_its_pinned_ref_and_the_commit_is_remembered(
    environment: Environment, repository: Path
) -> None:
    plan = {
        "method": "git",
        "gate": False,
        "distribution": "kernels",
        "import_name": "kernels",
        "version": None,
        "repository": "org/Kernels",
        "ref": "v1",
        "no_build_isolation": True,
        "no_deps": True,
    }
    prefix = ["--github-prefix", str(repository.parents[1])]
    first = environment.install(plan, *prefix)
    assert (first["status"], first["action"], first["provider"]) == ("PASS", "installed", "kernels")
    assert environment.install(plan, *prefix)["action"] == "already_present"
    second = environment.install({**plan, "ref": "v2"}, *prefix)
    assert (second["status"], second["action"]) == ("PASS", "installed")
    assert first["commit"] != second["commit"]
    installed = [str(environment.python), "-c", "import kernels; print(kernels.answer)"]
    assert subprocess.run(installed, capture_output=True, text=True, check=True).stdout.strip() == "2"
    absent = environment.install({**plan, "ref": "v9"}, *prefix)
    assert absent["status"] == "FAIL"
    assert "v9" in absent["error"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("library", "status"), [("lib/libkernels.so", "PASS"), ("lib/other.so", "FAIL")])
def test_a_build_counts_only_when_its_library_is_there(
    environment: Environment, repository: Path, library: str, status: str
) -> None:
    (repository / "Makefile").write_text(
        "all:\n\ttest $(USE_TEST) = 1\n\tmkdir lib\n\ttouch lib/libkernels.so\n"
    )
    commit(repository, "import os\n", "v3")
    plan = {
        "method": "git_make",
        "gate": False,
        "distribution": "kernels",
        "import_name": "kernels",
        "version": None,
        "repository": "org/Kernels",
        "ref": "v3",
        "submodules": True,
        "subdirectory": ".",
        "library": library,
        "make_flag": "USE_TEST=1",
        "adaptor_variable": "TEST_ADAPTOR",
        "adaptor": "test",
        "no_build_isolation": True,
        "no_deps": True,
    }
    prefix = ["--github-prefix", str(repository.parents[1])]
    document = environment.install(plan, *prefix)
    assert document["status"] == status, document["error"]
    assert (environment.version("kernels") is not None) is (status == "PASS")
    if status == "PASS":
        assert environment.install(plan, *prefix)["action"] == "already_present"
        (Path(document["checkout"]) / library).unlink()
        assert environment.install(plan, *prefix)["action"] == "installed", "a lost library is built again"


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("NewConnectionError(...)\nERROR: No matching distribution found for x", "network"),
        ("ERROR: No matching distribution found for x", "no_matching_distribution"),
        ("error: subprocess-exited-with-error", "build"),
        ("fatal: unable to access 'https://…': Could not resolve host", "network"),
        ("ERROR: ResolutionImpossible", "other"),
    ],
)
def test_a_dead_network_is_told_from_a_missing_version(output: str, problem: str) -> None:
    assert classify_problem(output) == problem


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("0.13.0+cu129", "0.13.0", True),
        ("0.12.0", "0.13.0", False),
        ("2.35", "2.35.0", True),
        ("0.4.0", "0.4.0+3.3", False),
        ("0.4.0+3.3", "0.4.0+3.3", True),
        ("0.4.0rc1", "0.4.0", False),
        ("1.0rc1", "1.0rc2", False),
        (None, "1", False),
    ],
)
def test_releases_compare_by_public_version_and_by_a_wanted_local_part(
    found: str | None, wanted: str, same: bool
) -> None:
    assert same_release(found, wanted) is same


def test_two_owners_of_triton_are_an_unexpected_change() -> None:
    change = {"name": "triton", "before": "flagtree==0.4", "after": "flagtree==0.4, triton==3.5"}
    assert unexpected_changes(PIP_PLAN, [change]) == [change]


def test_a_wheelhouse_replaces_every_index(environment: Environment) -> None:
    make_engine(environment)
    environment.pip_arguments = []
    plan = {**PIP_PLAN, "fallback_index_urls": ["https://index.invalid/simple"]}
    document = environment.install(plan, "--wheelhouse", str(environment.wheels))
    assert (document["status"], document["action"]) == ("PASS", "installed")
    [attempt] = document["attempts"]
    assert "--no-index" in attempt["argv"]
    assert document["wheelhouse"] == str(environment.wheels)


def test_everything_that_a_wheelhouse_lacks_is_said_at_once_and_nothing_is_touched(
    environment: Environment,
) -> None:
    make_engine(environment)
    environment.pip_arguments = []
    plan = {**PIP_PLAN, "requirements": ["engine-cpu==1.2", "absent==3", "also-absent"]}
    document = environment.install(plan, "--wheelhouse", str(environment.wheels))
    assert document["status"] == "FAIL"
    assert "lacks absent==3, also-absent; it holds 1 distributions" in document["error"]
    assert document["attempts"] == []
    assert environment.version("engine-cpu") is None


def test_a_wheelhouse_that_is_not_there_says_what_to_do(environment: Environment) -> None:
    document = environment.install(PIP_PLAN, "--wheelhouse", "/nowhere/wheels")
    assert "copy or mount it into the worker" in document["error"]
    assert document["problem"] == "no_matching_distribution"


def test_what_the_image_must_bring_is_proven_and_never_installed(environment: Environment) -> None:
    make_engine(environment)
    for version in ("2.11.0+cu130", "2.12.0"):
        environment.wheel("torch", version, {"torch/__init__.py": ""})
    plan = {**PIP_PLAN, "preinstalled": {"torch": "2.11.0"}}
    without = environment.install(plan)
    assert "torch 2.11.0 (found none)" in without["error"]
    environment.pip_install("torch==2.12.0")
    assert "torch 2.11.0 (found 2.12.0)" in environment.install(plan)["error"]
    environment.pip_install("torch==2.11.0+cu130")
    proven = environment.install(plan)
    assert (proven["status"], proven["preinstalled"]) == ("PASS", {"torch": "2.11.0+cu130"})
