"""What the documentation says is so: its commands run, its examples validate, its tables are complete."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from flagrelease_assets.catalog import load_catalog
from flagrelease_assets.catalog.loader import DATA_FOLDER
from flagrelease_assets.catalog.timeouts import Timeouts
from flagrelease_assets.contracts import STEP_DOCUMENTS, StepDocument
from flagrelease_assets.definitions import defs
from flagrelease_assets.deployment import (
    Checks,
    Deployment,
    DockerWorkerEntry,
    LocalWorkerEntry,
    ModelEntry,
    NetworkSettings,
    OperatorSearchSettings,
    ReleaseSettings,
    Waiver,
    load_deployment,
)
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.workers.config import TlsConfig, WorkerTimeouts
from tests.integration.documentation import (
    DOCS,
    EXAMPLES,
    PAGES,
    PROJECT,
    Block,
    anchors,
    blocks,
    links,
    prose,
    section,
    table,
    tagged,
    text_of,
)

DEPLOYMENT_PAGE = DOCS / "deployment.md"
SCRIPTS_PAGE = DOCS / "container-scripts.md"
EXAMPLE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
# The screenshots are made from the running UI.
PICTURES = {"docs/images/graph.png", "docs/images/step.png", "docs/images/report.png"}
SHARED_FLAGS = ("Engine flags", "Server flags", "Client flags")
WORKER_PROGRAMS = (
    "collect_env_info",
    "detect_network",
    "select_flagtree_wheel",
    "install_package",
    "validate_packages",
    "worker_identity",
    "device_memory",
    "prepare_model",
    "run_offline_inference",
    "test_serve_mode",
    "run_benchmark",
    "run_all_benchmarks",
    "benchmark_stack",
    "diff_analysis",
    "flaggems_operators",
    "search_operators",
)


def name_of(block: Block) -> str:
    return block.name


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A folder as a reader would have it: deployment file, programs, stored results, example files."""
    (tmp_path / "flagrelease.yaml").write_text(
        yaml.safe_dump(
            {
                "results": "results",
                "workers": {"cpu": {"kind": "docker", "container": "flagrelease-cpu"}},
                "models": [{"id": EXAMPLE_MODEL}],
            }
        ),
        encoding="utf-8",
    )
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    programs = tmp_path / "container_scripts"
    shutil.copytree(PROJECT / "container_scripts", programs, ignore=shutil.ignore_patterns("__pycache__"))
    store = ResultStore(str(tmp_path / "results"))
    for file in EXAMPLES.glob("*.json"):
        store.put(example(file))
    for block in tagged("text", "failed.log"):
        (tmp_path / "failed.log").write_text(block.text, encoding="utf-8")
    return tmp_path


def example(file: Path) -> StepDocument:
    return STEP_DOCUMENTS[file.stem].model_validate_json(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("block", tagged("bash", "run"), ids=name_of)
def test_a_command_of_the_documentation_runs_as_it_is_written(block: Block, installation: Path) -> None:
    hidden = ("FLAGRELEASE_", "DAGSTER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    tools = str(Path(sys.executable).parent)
    environment |= {"PATH": f"{tools}{os.pathsep}{environment['PATH']}", "COLUMNS": "120"}
    finished = subprocess.run(
        ["bash", "-euc", block.text],
        cwd=installation,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    expected = next((int(tag[len("exit=") :]) for tag in block.tags if tag.startswith("exit=")), 0)
    assert finished.returncode == expected, finished.stderr
    for line in expected_output(block):
        assert line.strip() in finished.stdout


def expected_output(block: Block) -> list[str]:
    """Return the lines that the page shows directly below a command, if it does."""
    below = [other for other in blocks(block.page) if other.line > block.line]
    shown = below[0] if below and "output" in below[0].tags else None
    return shown.text.splitlines() if shown else []


@pytest.mark.parametrize("block", tagged("yaml", "flagrelease.yaml"), ids=name_of)
def test_a_deployment_file_of_the_documentation_is_accepted(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "flagrelease.yaml"
    file.write_text(block.text, encoding="utf-8")
    assert load_deployment(file).workers


@pytest.mark.parametrize("block", tagged("yaml", "model"), ids=name_of)
def test_a_model_entry_of_the_documentation_is_accepted(block: Block) -> None:
    assert TypeAdapter(list[ModelEntry]).validate_python(yaml.safe_load(block.text))


def test_the_vendor_file_of_the_documentation_is_accepted_by_the_catalog(tmp_path: Path) -> None:
    [block] = tagged("yaml", "vendor")
    vendor = yaml.safe_load(block.text)
    name = vendor["name"]
    folder = tmp_path / "data"
    shutil.copytree(DATA_FOLDER, folder)
    (folder / "vendors" / f"{name}.yaml").write_text(block.text, encoding="utf-8")
    release = folder / "stack_releases" / f"{vendor['default_stack_release']}.yaml"
    content = yaml.safe_load(release.read_text(encoding="utf-8"))
    content["vendors"].append(name)
    release.write_text(yaml.safe_dump(content), encoding="utf-8")
    plans = load_catalog(folder).plan_for(name)
    assert plans["vllm"].gate


def test_the_stack_release_of_the_documentation_is_the_beginning_of_the_one_that_ships() -> None:
    shown = [block for page in PAGES for block in blocks(page) if "stack_releases/" in " ".join(block.tags)]
    assert shown
    for block in shown:
        assert (DATA_FOLDER / block.tags[0]).read_text(encoding="utf-8").startswith(block.text)


def test_there_is_one_valid_example_of_every_step() -> None:
    files = sorted(EXAMPLES.glob("*.json"))
    assert {file.stem for file in files} == set(STEP_DOCUMENTS)
    for file in files:
        assert example(file).step == file.stem
        assert f"(examples/{file.name})" in text_of(DOCS / "documents.md")


def test_the_common_keys_of_documents_are_all_explained() -> None:
    rows = table(section(DOCS / "documents.md", "What all have"), "Key")
    assert set(rows) == set(StepDocument.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_exactly_the_three_screenshots_are_shown() -> None:
    shown = {
        str((page.parent / link).resolve().relative_to(PROJECT))
        for page in PAGES
        for link in links(page)
        if link.endswith(".png")
    }
    assert shown == PICTURES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text_of(PROJECT / "Makefile"), re.MULTILINE))
    commands = [block.text for block in blocks(page) if block.language == "bash"]
    commands += re.findall(r"`(make [^`]+)`", prose(page))
    for command in commands:
        for words in re.findall(r"^make (.+)$", command, re.MULTILINE):
            named = {word for word in words.split() if "=" not in word}
            assert named <= targets, f"{page.name}: make {words}"


COMMON_WORKER_FIELDS = {
    **ReleaseSettings.model_fields,
    **{name: DockerWorkerEntry.model_fields[name] for name in ("work_root", "lock_root", "timeouts")},
}


def own_fields(worker: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields that only this kind of worker has, or has with a default of its own."""
    return {name: field for name, field in worker.model_fields.items() if name not in COMMON_WORKER_FIELDS}


DOCUMENTED_KEYS: dict[str, dict[str, FieldInfo]] = {
    "Top level": dict(Deployment.model_fields),
    "Worker": COMMON_WORKER_FIELDS,
    "Docker worker": own_fields(DockerWorkerEntry),
    "Local worker": own_fields(LocalWorkerEntry),
    "tls": dict(TlsConfig.model_fields),
    "timeouts": dict(WorkerTimeouts.model_fields),
    "operator_search": dict(OperatorSearchSettings.model_fields),
    "Model": dict(ModelEntry.model_fields),
    "network": dict(NetworkSettings.model_fields),
    "checks": dict(Checks.model_fields),
    "waivers": dict(Waiver.model_fields),
}


@pytest.mark.parametrize("title", DOCUMENTED_KEYS)
def test_the_key_table_has_every_key_with_its_default(title: str) -> None:
    rows = table(section(DEPLOYMENT_PAGE, title), "Key")
    fields = DOCUMENTED_KEYS[title]
    assert set(rows) == set(fields)
    for key, (said, *_) in rows.items():
        default = fields[key].default
        if fields[key].is_required():
            assert said == "required", key
        elif isinstance(default, BaseModel):
            assert said == "see below", key
        elif default is None:
            assert said == "–", key
        elif default == sys.executable:
            assert said == "the interpreter that runs flagrelease", key
        else:
            assert yaml.safe_load(said.strip("`")) == default, key


def test_the_keys_of_a_check_and_the_checks_of_a_report_are_all_explained() -> None:
    keys = {name for kind in Checks.model_fields.values() for name in type(kind.default).model_fields}
    assert set(table(section(DEPLOYMENT_PAGE, "Keys of a check"), "Key")) == keys
    rows = table(section(DOCS / "reading-a-report.md", "Against earlier results"), "Check")
    assert set(rows) == set(Checks.model_fields)


def test_the_table_of_deadlines_has_every_name_with_the_catalogs_default() -> None:
    rows = table(section(DEPLOYMENT_PAGE, "Deadlines"), "Key")
    common = yaml.safe_load((DATA_FOLDER / "timeouts.yaml").read_text(encoding="utf-8"))["seconds"]
    assert set(rows) == set(Timeouts.model_fields)
    assert {key: float(said.strip("`")) for key, (said, *_) in rows.items()} == common


def flags_in(text: str) -> set[str]:
    return {flag for row in table(text, "Flag") for flag in re.findall(r"--[a-z-]+", row)}


@pytest.mark.parametrize("program", WORKER_PROGRAMS)
def test_the_flags_of_a_worker_program_are_all_documented(program: str) -> None:
    text = section(SCRIPTS_PAGE, program)
    shared = [title for title in SHARED_FLAGS if f"(#{title.lower().replace(' ', '-')})" in text]
    said = flags_in(text).union(*(flags_in(section(SCRIPTS_PAGE, title)) for title in shared))
    parser = importlib.import_module(f"container_scripts.{program}").build_parser()
    real = {flag for action in parser._actions for flag in action.option_strings} - {"-h", "--help"}
    assert said == real


def test_every_program_that_steps_or_people_start_is_documented() -> None:
    programs = {
        file.stem
        for file in (PROJECT / "container_scripts").glob("*.py")
        if re.search(r'run_program\(\s*"', file.read_text(encoding="utf-8"))
    }
    started_by_other_programs = {"package_probe", "download_model"}
    assert programs - started_by_other_programs == set(WORKER_PROGRAMS)


def test_the_diagram_has_exactly_the_edges_of_the_graph() -> None:
    [diagram] = [block for block in blocks(DOCS / "concepts.md") if block.language == "mermaid"]
    drawn = set()
    for line in diagram.text.splitlines():
        if "-->" in line:
            above, _, below = line.partition("-->")
            drawn |= {(parent.strip(), below.strip()) for parent in above.split("&")}
    graph = defs.resolve_asset_graph()
    assert drawn == {
        (parent.to_user_string(), key.to_user_string())
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
    }


def test_the_table_of_assets_and_the_jobs_are_complete() -> None:
    page = DOCS / "concepts.md"
    assets = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert set(table(section(page, "The graph"), "Asset")) == assets
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert all(f"`{job}`" in section(page, "The graph") for job in jobs)


def test_the_config_that_forces_a_step_is_accepted_by_the_release_job() -> None:
    [block] = [
        block for block in blocks(DOCS / "concepts.md") if block.language == "yaml" and "ops:" in block.text
    ]
    config: dict[str, Any] = yaml.safe_load(block.text)
    dg.validate_run_config(defs.resolve_job_def("release"), config)


def test_no_example_or_page_names_the_machine_that_it_was_made_on() -> None:
    foreign = re.compile(r"/tmp/fr\b|/home/\w+|/root\b")
    for file in [*PAGES, *EXAMPLES.glob("*.json")]:
        assert not foreign.search(text_of(file)), file.name


def test_examples_are_small_enough_to_be_read() -> None:
    sizes: Iterable[int] = (len(json.dumps(json.loads(text_of(file)))) for file in EXAMPLES.glob("*.json"))
    assert max(sizes) < 40_000
