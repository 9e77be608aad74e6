"""Every parser of what a worker, a hub or a user gives, as a function of bytes that fails for no input.

Belongs here: how bytes get to a parser, and which errors it documents; those pass, any other is a defect.
Does not belong here: where the bytes come from (hypothesis in `test_parsers.py`, atheris in `__main__.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from pydantic import AnyHttpUrl

from container_scripts import device_lock
from container_scripts.diff_analysis import analyse
from container_scripts.engine_flags import parse_assignments
from container_scripts.model_files import inspect_model
from container_scripts.run_documents import load_document, outputs_of, read_run
from container_scripts.server_config import effective_config
from flagrelease_assets.catalog import CatalogDataError, load_catalog, with_stack_releases
from flagrelease_assets.contracts import STEP_DOCUMENTS
from flagrelease_assets.deployment import DeploymentError, load_deployment
from flagrelease_assets.hubs.base import ModelReference, ModelSource
from flagrelease_assets.hubs.client import HubClient
from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.huggingface import HuggingFaceHub
from flagrelease_assets.hubs.modelscope import ModelScopeHub
from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.hubs.settings import ClientSettings, HubAddress
from flagrelease_assets.redaction import Redactor
from flagrelease_assets.reporting.markdown import escape, harmless_table
from flagrelease_assets.results.store import ResultStore, StoredResultError
from flagrelease_assets.sensors.model_versions import Cursor
from flagrelease_assets.strict_reading import RefusedDocumentError, parse_json, parse_yaml
from flagrelease_assets.workers.archives import unpack
from flagrelease_assets.workers.base import WorkerError
from flagrelease_assets.workers.job_results import parse_result

Target = Callable[[bytes], None]


@contextmanager
def holding(name: str, content: bytes) -> Iterator[Path]:
    """Give the path of a file of this name and content."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        yield file


def strict_json(content: bytes) -> None:
    with suppress(json.JSONDecodeError, RefusedDocumentError):
        parse_json(content)


def strict_yaml(content: bytes) -> None:
    with suppress(RefusedDocumentError):
        parse_yaml(content)


def worker_result(content: bytes) -> None:
    result = parse_result(content.decode("utf-8", "replace"), "token")
    assert (result.document is None) == (result.problem is not None)
    Redactor(["secret-value"]).values(result.document)


def worker_archive(content: bytes) -> None:
    with suppress(WorkerError):
        unpack([content], max_bytes=100_000, source="fuzz")


def phase_document(content: bytes) -> None:
    with holding("run.json", content) as file:
        document = load_document(str(file))
    run = read_run(document, "run_a_result")
    outputs_of(run)
    analyse(document, document)


def server_log(content: bytes) -> None:
    effective_config(content.decode("utf-8", "replace"))


def model_config(content: bytes) -> None:
    with suppress(LookupProblem):
        ConfigFacts.from_json(content)


def model_folder(content: bytes) -> None:
    with holding("config.json", content) as file:
        for name in ("model.safetensors.index.json", "tokenizer_config.json", "model.safetensors"):
            (file.parent / name).write_bytes(content)
        header = len(content).to_bytes(8, "little") + content
        (file.parent / "other.safetensors").write_bytes(header)
        inspect_model(str(file.parent))


def engine_arguments(content: bytes) -> None:
    with suppress(ValueError):
        parse_assignments(content.decode("utf-8", "replace").split("\n"))


def device_lock_record(content: bytes) -> None:
    with holding("record.json", content) as file:
        os.utime(file, (1, 1))
        device_lock.holders(str(file.parent))


def _hub(kind: type[HuggingFaceHub] | type[ModelScopeHub], source: ModelSource, content: bytes) -> None:
    async def ask() -> None:
        answers = httpx.MockTransport(lambda _request: httpx.Response(200, content=content))
        settings = ClientSettings(max_attempts=1)
        address = HubAddress(endpoint=AnyHttpUrl("https://hub.test"))
        async with httpx.AsyncClient(transport=answers) as http:
            client = HubClient(http, "hub", address, settings, time.monotonic() + 30)
            with suppress(LookupProblem):
                await kind(client).look_up(ModelReference(id="org/x", source=source), None)

    asyncio.run(ask())


def huggingface_answer(content: bytes) -> None:
    _hub(HuggingFaceHub, ModelSource.HUGGINGFACE, content)


def modelscope_answer(content: bytes) -> None:
    _hub(ModelScopeHub, ModelSource.MODELSCOPE, content)


def deployment_file(content: bytes) -> None:
    with holding("flagrelease.yaml", content) as file, suppress(DeploymentError):
        load_deployment(file)


def stack_release(content: bytes) -> None:
    with holding("own.yaml", content) as file, suppress(CatalogDataError):
        with_stack_releases(load_catalog(), [file])


def stored_results(content: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        store = ResultStore(folder)
        for step in STEP_DOCUMENTS:
            cell = Path(folder, step, "cpu", "toy")
            cell.mkdir(parents=True)
            for name in ("latest.json", "rows.json", "run.json"):
                (cell / name).write_bytes(content)
            with suppress(StoredResultError):
                store.latest(step, "cpu", "toy")
            store.rows(step, "cpu", "toy")
            store.history(step, "cpu", "toy")


def sensor_cursor(content: bytes) -> None:
    Cursor.read(content.decode("utf-8", "replace"))


def markdown_of_a_worker(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    assert "<" not in escape(text) + harmless_table(text)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        strict_json,
        strict_yaml,
        worker_result,
        worker_archive,
        phase_document,
        server_log,
        model_config,
        model_folder,
        engine_arguments,
        device_lock_record,
        huggingface_answer,
        modelscope_answer,
        deployment_file,
        stack_release,
        stored_results,
        sensor_cursor,
        markdown_of_a_worker,
    )
}
