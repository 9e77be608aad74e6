"""The programs as an engineer uses them by hand: `docker cp` the folder, `docker exec` one of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.containers import Container

from flagrelease_assets.demo.container import WORKER_PYTHON
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT
from tests.requirements import cannot_test

PROGRAMS = (
    "detect_network",
    "collect_env_info",
    "select_flagtree_wheel",
    "install_package",
    "validate_packages",
    "worker_identity",
    "prepare_model",
    "run_offline_inference",
    "test_serve_mode",
    "diff_analysis",
    "run_benchmark",
    "run_all_benchmarks",
    "benchmark_stack",
)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def container(worker_container: Container) -> Iterator[str]:
    if not shutil.which("docker"):
        cannot_test("no docker command here")
    name = str(worker_container.name)
    copied = docker("cp", str(SCRIPTS_ROOT), f"{name}:/tmp/")
    assert copied.returncode == 0, copied.stderr
    yield name


def by_hand(container: str, program: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    finished = docker("exec", container, WORKER_PYTHON, f"/tmp/container_scripts/{program}.py", *arguments)
    assert finished.stdout.strip(), finished.stderr
    document = json.loads(finished.stdout.strip().splitlines()[-1])
    assert isinstance(document, dict)
    return finished.returncode, document


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_explains_itself(container: str, program: str) -> None:
    finished = docker("exec", container, WORKER_PYTHON, f"/tmp/container_scripts/{program}.py", "--help")
    assert finished.returncode == 0, finished.stderr
    assert "--output" in finished.stdout


def test_environment_facts_are_those_of_the_container(container: str) -> None:
    code, document = by_hand(container, "collect_env_info", "--vendor", "cpu")
    assert (code, document["status"]) == (0, "PASS")
    assert document["libc"] == "glibc"
    assert document["vendor"] == "cpu"


def test_the_wheel_choice_needs_nothing_but_the_folder(container: str) -> None:
    code, document = by_hand(
        container,
        "select_flagtree_wheel",
        *("--vendor", "nvidia", "--python", "3.12", "--glibc", "2.39", "--triton", "3.5"),
    )
    assert (code, document["specifier"]) == (0, "flagtree==0.4.1+3.5")


def test_two_run_documents_are_compared_inside_the_container(container: str) -> None:
    writes = (
        "import json,sys\n"
        "json.dump({'status': 'PASS'}, open('/tmp/a.json', 'w'))\n"
        "json.dump({'status': 'FAIL', 'error': 'RuntimeError: flagcx failed'}, open('/tmp/b.json', 'w'))\n"
    )
    assert docker("exec", container, WORKER_PYTHON, "-c", writes).returncode == 0
    code, document = by_hand(container, "diff_analysis", "--run-a", "/tmp/a.json", "--run-b", "/tmp/b.json")
    assert code == 0
    assert (document["conclusion"], document["multichip_component"]) == ("MULTICHIP_ERROR", "FlagCX")
    assert document["recommended_stack"] == "base"
