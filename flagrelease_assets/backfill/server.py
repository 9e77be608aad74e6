"""A backfill through a running Dagster webserver: the same request as the UI makes, then the daemon's queue.

Belongs here: the webserver's GraphQL interface, as far as backfills need it.
Does not belong here: which cells are released (`plan.py`), a backfill without a server (`here.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from flagrelease_assets.assets.release.step import FORCE_TAG
from flagrelease_assets.backfill.plan import PlannedCell
from flagrelease_assets.backfill.progress import LOST, NOT_RUN, Progress
from flagrelease_assets.jobs import RELEASE_JOB
from flagrelease_assets.partitions import MODEL_DIMENSION, split_release_key
from flagrelease_assets.results.store import ResultStore, StoredResultError

DEFAULT_URL = "http://127.0.0.1:3000"
REQUEST_TIMEOUT_S = 60.0
POLL_S = 2.0
_OVER = ("SUCCESS", "FAILURE", "CANCELED")
_BACKFILL_OVER = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")

_REPOSITORIES = """
query { repositoriesOrError { ... on RepositoryConnection {
  nodes { name location { name } pipelines { name } } } } }
"""
_ADD_PARTITION = """
mutation($selector: RepositorySelector!, $dimension: String!, $key: String!) {
  addDynamicPartition(repositorySelector: $selector, partitionsDefName: $dimension, partitionKey: $key) {
    __typename ... on PythonError { message } ... on UnauthorizedError { message } } }
"""
_LAUNCH = """
mutation($parameters: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $parameters) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_CANCEL = """
mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) {
  __typename ... on PythonError { message } } }
"""
_STATE = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename ... on PartitionBackfill { status error { message } } ... on PythonError { message } }
  runsOrError(filter: { tags: [{ key: "dagster/backfill", value: $id }] }) {
    ... on Runs { results { runId status tags { key value } stepStats { stepKey status } } } } }
"""


class ServerError(Exception):
    """The webserver refused or did not answer; the message says what to do."""


@dataclass(frozen=True)
class DagsterServer:
    """A running webserver of this project."""

    url: str

    def answers(self) -> bool:
        """Whether a webserver that has the release job answers here."""
        try:
            self._repository()
        except (ServerError, httpx.HTTPError):
            return False
        return True

    def launch(self, cells: Sequence[PlannedCell], *, force: bool = False, title: str = "") -> str:
        """Launch a backfill of the release job and return its id; raises ServerError."""
        selector = self._repository()
        for model in dict.fromkeys(cell.model for cell in cells):
            self._ask(_ADD_PARTITION, {"selector": selector, "dimension": MODEL_DIMENSION, "key": model})
        tags = [{"key": FORCE_TAG, "value": "all"}] if force else []
        parameters = {
            "selector": {
                "partitionSetName": f"{RELEASE_JOB}_partition_set",
                "repositorySelector": selector,
            },
            "partitionNames": [cell.partition for cell in cells],
            "tags": tags,
            "title": title or None,
        }
        answer = self._ask(_LAUNCH, {"parameters": parameters})["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise ServerError(
                f"{self.url} refused the backfill: {answer.get('message', answer['__typename'])}"
            )
        return str(answer["backfillId"])

    def cancel(self, backfill_id: str) -> None:
        """Cancel a backfill and its runs, whose jobs in the workers end; raises ServerError."""
        answer = self._ask(_CANCEL, {"id": backfill_id})["cancelPartitionBackfill"]
        if answer["__typename"] != "CancelBackfillSuccess":
            raise ServerError(
                f"{self.url} could not cancel {backfill_id}: {answer.get('message', answer['__typename'])}"
            )

    def follow(
        self,
        backfill_id: str,
        cells: Sequence[PlannedCell],
        progress: Progress,
        store: ResultStore,
        poll_s: float = POLL_S,
    ) -> None:
        """Follow a backfill until each of its cells is over; raises ServerError if the server stays away."""
        while any(not progress.cells[cell.vendor, cell.model].is_over for cell in cells):
            state = self._ask(_STATE, {"id": backfill_id})
            for run in state["runsOrError"].get("results", []):
                _note(run, progress, store)
            backfill = state["partitionBackfillOrError"]
            if backfill.get("status") in _BACKFILL_OVER:
                said = (backfill.get("error") or {}).get("message") or f"the backfill is {backfill['status']}"
                progress.abandon(said, cells)
            time.sleep(poll_s)

    def _repository(self) -> dict[str, str]:
        found = self._ask(_REPOSITORIES, {})["repositoriesOrError"].get("nodes", [])
        for node in found:
            if any(job["name"] == RELEASE_JOB for job in node["pipelines"]):
                return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        raise ServerError(f"{self.url} has no job {RELEASE_JOB!r}: is it flagrelease's own webserver?")

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = httpx.post(
                f"{self.url.rstrip('/')}/graphql",
                json={"query": query, "variables": variables},
                timeout=REQUEST_TIMEOUT_S,
                trust_env=False,
            )
            answer.raise_for_status()
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServerError(f"{self.url} does not answer as a Dagster webserver: {error}") from error
        if not isinstance(body, dict) or body.get("errors") or "data" not in body:
            raise ServerError(f"{self.url}: {body.get('errors') if isinstance(body, dict) else 'no answer'}")
        data: dict[str, Any] = body["data"]
        return data


def _note(run: dict[str, Any], progress: Progress, store: ResultStore) -> None:
    """Note what one run of the backfill says of its cell."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    vendor, model = split_release_key(tags["dagster/partition"])
    cell = progress.cells.get((vendor, model))
    if cell is None or cell.is_over:
        return
    if run["status"] in _OVER:
        state, detail = _verdict(store, vendor, model, run)
        progress.finish(vendor, model, state, detail, run["runId"])
    elif run["status"] in ("STARTED", "STARTING", "CANCELING"):
        if cell.started is None:
            progress.begin(vendor, model, run["runId"])
        running = [step["stepKey"] for step in run["stepStats"] if step["status"] == "IN_PROGRESS"]
        progress.update(vendor, model, detail=", ".join(running))


def _verdict(store: ResultStore, vendor: str, model: str, run: dict[str, Any]) -> tuple[str, str]:
    if run["status"] == "CANCELED":
        return NOT_RUN, "cancelled"
    try:
        report = store.of_run("release_report", vendor, model, run["runId"])
    except StoredResultError as error:
        return LOST, str(error)
    if report is None:
        return LOST, f"run {run['runId']} ended without a report"
    return report.status.value, report.reason or ""
