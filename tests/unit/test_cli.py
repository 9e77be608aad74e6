"""The command line as a program: one line and exit code 3 for a mistake, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = "from flagrelease_assets.cli import main; main()"
DEPLOYMENT = "workers: {cpu: {kind: local}}\nmodels: [{id: org/toy}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flagrelease.yaml").write_text(DEPLOYMENT, encoding="utf-8")
    return tmp_path


def flagrelease(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["release", "nvidai", "org/toy"], "unknown vendor 'nvidai'; did you mean nvidia?"),
        (["release", "hcu", "org/toy"], "vendor 'hygon' has no worker: add `workers.hygon:"),
        (["release", "musa", "org/toy"], "vendor 'mthreads' has no worker"),
        (["release", "huawei", "org/toy"], "vendor 'ascend' has no worker"),
        (["release", "cpu", "org|toy"], "model 'org|toy' cannot be a partition key"),
        (["release", "cpu", "a/b/c"], "model 'a/b/c' cannot be a partition key"),
        (["release", "cpu", "../toy"], "model '../toy' cannot be a partition key"),
        (["release", "cpu", "org/other"], "model 'org--other' has no entry: add `- id: org/other`"),
        (
            ["release", "cpu", "org/toy", "--job", "board"],
            "unknown job 'board': use release, verify, install",
        ),
        (["release", "cpu"], "Missing argument"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["release", "cpu", "org/toy", "-d", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
        (["worker", "check", "nvidia"], "vendor 'nvidia' has no worker"),
        (["models", "add", "org|other"], "model 'org|other' cannot be a partition key"),
        (["classify", "/nowhere.log"], "'/nowhere.log' does not exist"),
        (["demo", "--engine", "podman"], "unknown engine 'podman'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_3(folder: Path, arguments: list[str], line: str) -> None:
    done = flagrelease(folder, *arguments)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert line in done.stderr


@pytest.mark.parametrize(
    "command", [["release", "cpu", "org/toy"], ["status"], ["board"], ["models", "list"]]
)
@pytest.mark.parametrize("content", ["workers: {", "workrs: {}", "models: [{id: 'a|b'}]"])
def test_a_broken_deployment_file_is_one_line_for_every_command(
    folder: Path, command: list[str], content: str
) -> None:
    (folder / "flagrelease.yaml").write_text(content, encoding="utf-8")
    done = flagrelease(folder, *command)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"{folder}/flagrelease.yaml: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_instance_that_cannot_be_configured_says_what_to_set(folder: Path) -> None:
    done = flagrelease(folder, "release", "cpu", "org/toy")
    assert done.returncode == 3
    assert "dagster.yaml" in done.stderr and "DAGSTER_HOME" in done.stderr


def test_models_list_shows_keys(folder: Path) -> None:
    done = flagrelease(folder, "models", "list", "--json")
    assert done.returncode == 0
    assert [model["key"] for model in json.loads(done.stdout)] == ["org--toy"]


def test_status_shows_a_corrupt_report_as_untested_with_the_reason(folder: Path) -> None:
    report = folder / ".flagrelease/results/release_report/cpu/org--toy/run.json"
    report.parent.mkdir(parents=True)
    report.write_text('{"schema_version"', encoding="utf-8")
    done = flagrelease(folder, "status", "--json")
    (cell,) = json.loads(done.stdout)
    assert cell["verdict"] == "untested"
    assert str(report) in cell["reason"] and "Invalid JSON" in cell["reason"]


def test_classify_names_component_and_cause_of_a_log(folder: Path) -> None:
    log = folder / "server.log"
    log.write_text("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.\n")
    found = json.loads(flagrelease(folder, "classify", str(log), "--json").stdout)
    assert (found["component"], found["category"]) == ("memory", "oom")


def test_diff_of_missing_files_answers_with_the_fail_exit_code(folder: Path) -> None:
    done = flagrelease(folder, "diff", "/nowhere/a.json", "/nowhere/b.json", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["conclusion"] == "MISSING_RESULT"


def test_help_is_no_mistake(folder: Path) -> None:
    assert flagrelease(folder, "--help").returncode == 0
