"""What one step of one release may use: its partition, its worker, upstream documents, supervised jobs.

Belongs here: opening the worker, running programs in it, keeping their logs, redaction.
Does not belong here: what any step does or how its status is judged.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from flagrelease_assets.assets.release.attempts import attempt_name, is_worth_another_attempt
from flagrelease_assets.assets.release.budget import Budget, budget_of, timeouts_of
from flagrelease_assets.assets.release.clean_hands import MemoryWatch
from flagrelease_assets.assets.release.devices import (
    Hold,
    HoldDevices,
    contender_of,
    used_memory,
    worker_environment,
)
from flagrelease_assets.assets.release.job_logs import read_log, received_log
from flagrelease_assets.assets.release.job_report import JobReport, R, report_of
from flagrelease_assets.assets.release.log_batches import LineBatches
from flagrelease_assets.catalog import (
    Catalog,
    InstallPlan,
    PackageKey,
    StackRelease,
    Timeouts,
    Vendor,
)
from flagrelease_assets.contracts.common import (
    JobRecord,
    StepDocument,
    utc_now,
)
from flagrelease_assets.contracts.worker import WorkerIdentity
from flagrelease_assets.deployment import (
    Deployment,
    DeploymentError,
    DockerWorkerEntry,
    LocalWorkerEntry,
    ModelEntry,
)
from flagrelease_assets.redaction import Redactor
from flagrelease_assets.results.store import ResultStore
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.factory import open_worker
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, JobSpec, run_job
from flagrelease_assets.workers.observe import observe

D = TypeVar("D", bound=StepDocument)


@dataclass(frozen=True)
class ObservedVersion:
    """What the discovery sensor saw last of a model: the revision that a source offered for a request."""

    source: str
    requested: str | None
    revision: str


@dataclass
class StepScope:
    """Everything that a step's code may touch; one instance for each materialization of a step."""

    step: str
    vendor: str
    model: str
    run_id: str
    load_deployment: Callable[[], Deployment]
    store: ResultStore
    upstream: Mapping[str, StepDocument | None]
    emit: Callable[[str], None]
    scripts_root: Path = SCRIPTS_ROOT
    observed_version: ObservedVersion | None = None
    lost_run: str | None = None
    root_run_id: str | None = None
    hold_devices: HoldDevices | None = None
    hold: Hold = field(default_factory=Hold)
    jobs: list[JobRecord] = field(default_factory=list)
    housekeeping: list[str] = field(default_factory=list)

    @cached_property
    def deployment(self) -> Deployment:
        """The deployment file's content; raises DeploymentError."""
        return self.load_deployment()

    @cached_property
    def catalog(self) -> Catalog:
        """What is known of vendors, stack releases and profiles; raises DeploymentError."""
        return self.deployment.catalog

    @property
    def vendor_facts(self) -> Vendor:
        """The catalog's entry of this vendor."""
        return self.catalog.vendors[self.vendor]

    @property
    def worker_entry(self) -> DockerWorkerEntry | LocalWorkerEntry:
        """The deployment's worker of this vendor; raises DeploymentError naming what to add."""
        return self.deployment.worker(self.vendor)

    @property
    def worker_environment(self) -> dict[str, str]:
        """Variables of model runs and of the vendor's tools on this worker; raises DeploymentError."""
        return worker_environment(self.vendor_facts, self.worker_entry)

    @property
    def model_entry(self) -> ModelEntry:
        """The deployment's entry of this model; raises DeploymentError naming what to add."""
        return self.deployment.model(self.model)

    @property
    def wanted_revision(self) -> str | None:
        """The hub's revision to release: what was observed last of the configured one, or that itself.

        A folder has none: what is in it in the worker is what counts. An observation of another source or
        of another configured revision says nothing about this one.
        """
        entry, observed = self.model_entry, self.observed_version
        if entry.source == "folder":
            return None
        if observed and (observed.source, observed.requested) == (entry.source, entry.revision):
            return observed.revision
        return entry.revision

    @property
    def stack_release(self) -> StackRelease:
        """The stack release of this vendor: the deployment's choice or the catalog's default.

        Raises DeploymentError if the deployment names one that this vendor does not have.
        """
        chosen = self.worker_entry.stack_release
        if chosen is None:
            return self.catalog.default_stack_release(self.vendor)
        known = self.catalog.stack_releases_for(self.vendor)
        if chosen not in known:
            raise DeploymentError(
                f"workers.{self.vendor}.stack_release: {chosen!r} is not one of {', '.join(known)}"
            )
        return self.catalog.stack_releases[chosen]

    @property
    def wheelhouse(self) -> str | None:
        """The folder of wheels in the worker that replaces every package index, if there is one."""
        return self.worker_entry.wheelhouse or self.stack_release.wheelhouse

    @property
    def install_plans(self) -> dict[PackageKey, InstallPlan]:
        """The plan of each package of the stack release for this vendor, in install order."""
        return self.catalog.plan_for(self.vendor, self.stack_release.id)

    @property
    def timeouts(self) -> Timeouts:
        """Deadlines in seconds: the vendor's, with the deployment's laid over them.

        Raises DeploymentError for a name or value that is none.
        """
        return timeouts_of(self.vendor_facts, self.worker_entry)

    @property
    def budget(self) -> Budget:
        """The longest that the jobs of a release may run on this worker; raises DeploymentError."""
        return budget_of(
            self.vendor_facts,
            self.worker_entry,
            profiles=len(self.catalog.profiles_for(self.vendor)),
            probes_s=self.catalog.probe_limits,
        )

    @cached_property
    def worker(self) -> Worker:
        """The opened worker, its devices held for this run.

        Raises WorkerError or DeploymentError with the one line that helps.
        """
        worker = open_worker(self.worker_entry, withheld=self.deployment.secrets)
        if self.hold_devices:
            contender = contender_of(self.run_id, self.root_run_id, self.vendor_facts, self.worker_entry)
            try:
                self.hold = self.hold_devices(
                    worker, replace(contender, scripts_root=self.scripts_root), self._note
                )
            except BaseException:
                worker.close()
                raise
        return worker

    def close(self) -> None:
        """Let go of the connections to the worker; its devices stay held for the run."""
        if "worker" in self.__dict__:
            self.worker.close()

    @cached_property
    def worker_identity(self) -> WorkerIdentity:
        """Who the worker is, for provenance; raises WorkerError if it is not there."""
        return self.worker.identity()

    @cached_property
    def redactor(self) -> Redactor:
        """Keeps the deployment's secrets (the usual ones if it is unreadable) out of all that is kept."""
        try:
            deployment = self.deployment
        except DeploymentError:
            deployment = Deployment.model_construct()
        return Redactor(deployment.secret_values.values())

    @property
    def pages_url(self) -> str | None:
        """Where reports and logs are served; None if the deployment is unreadable."""
        try:
            return self.deployment.pages_url
        except DeploymentError:
            return None

    def log(self, message: str) -> None:
        """Write a message to the run's log, without secrets."""
        self.emit(self.redactor.text(message))

    def _note(self, message: str) -> None:
        self.housekeeping.append(message)
        self.log(message)

    def upstream_document(self, step: str, kind: type[D]) -> D:
        """Return an upstream document that a gate has already found to be there."""
        document = self.upstream[step]
        if not isinstance(document, kind):
            raise TypeError(f"upstream {step} is {type(document).__name__}, expected {kind.__name__}")
        return document

    def document(self, kind: type[D], **fields: Any) -> D:
        """Return a document of this step, without secrets, with the fields of every document filled in."""
        document = kind.model_validate(
            {
                "step": self.step,
                "vendor": self.vendor,
                "model": self.model,
                "run_id": self.run_id,
                "created_at": utc_now(),
                "jobs": self.jobs,
                "housekeeping": self.housekeeping,
                "worker": self.__dict__.get("worker_identity"),
                **fields,
            }
        )
        content = document.model_dump(mode="json")
        redacted = self.redactor.values(content)
        return document if redacted == content else kind.model_validate(redacted)

    def observe(self, program: str, arguments: list[str] | None = None) -> dict[str, Any]:
        """Ask the worker a quick question, without a supervised job; raises WorkerError."""
        return observe(
            self.worker,
            program,
            arguments or [],
            timeout_s=self.timeouts.command,
            env=self.worker_environment,
            scripts_root=self.scripts_root,
        )

    def run_job(
        self,
        name: str,
        program: str,
        arguments: list[str],
        kind: type[R],
        *,
        deadline_s: float,
        idle_s: float | None = None,
        env: Mapping[str, str] | None = None,
        env_unset: tuple[str, ...] = (),
        inputs: Mapping[str, str] | None = None,
        logs: tuple[str, ...] = (),
        activity_paths: tuple[str, ...] = (),
        with_secrets: bool = False,
        uses_devices: bool = False,
    ) -> JobReport[R]:
        """Run one program in the worker under supervision and keep its log.

        Args:
            name: the job's name within the step.
            program: a program of `container_scripts`, without `.py`.
            arguments: its command line; `{job_dir}` stands for the job's folder in the worker.
            kind: the model of the document that the program writes.
            deadline_s: seconds after which the whole process tree is ended.
            idle_s: seconds without any activity after which it is ended; the deadline if None.
            env: variables to set.
            env_unset: variables that must be absent.
            inputs: files to put into the job's folder, by name.
            logs: further logs that the program writes into its folder, kept and judged like its own.
            activity_paths: files and folders whose change is a sign of life beside the log.
            with_secrets: whether the program gets the deployment's secret variables.
            uses_devices: whether device memory has to be free before it, and is again after it.

        What the harness failed is tried again, `retries` times at most, and every attempt is kept.

        Returns:
            How it ended; raises WorkerError only if the worker could not be reached at all.
        """
        _ = self.worker_identity  # every result says where it was measured
        spec = JobSpec(
            run_id=self.run_id,
            step=self.step,
            name=name,
            program=program,
            arguments=arguments,
            env=dict(env or {}),
            env_unset=list(env_unset),
            secret_env=self.deployment.secret_values if with_secrets else {},
            deadline_s=deadline_s,
            idle_s=min(idle_s or deadline_s, deadline_s),
            grace_s=self.timeouts.stop_grace,
            inputs=dict(inputs or {}),
            activity_paths=(*(f"{{job_dir}}/{log}" for log in logs), *activity_paths),
            lock=self.hold.record,
        )
        attempts = 1 + self.worker_entry.retries
        for attempt in range(1, attempts + 1):
            report = self._attempt(spec, kind, logs, attempt, uses_devices)
            if attempt == attempts or not is_worth_another_attempt(report.error):
                break
            self.log(
                f"{name}: the harness failed, not the model; attempt {attempt + 1} of {attempts} follows"
            )
        return report

    def _attempt(
        self, asked: JobSpec, kind: type[R], logs: tuple[str, ...], attempt: int, uses_devices: bool
    ) -> JobReport[R]:
        """Run one attempt at a job, and keep its record and its logs."""
        started = time.monotonic()
        name = attempt_name(asked.name, attempt)
        spec = asked.model_copy(update={"name": name})
        devices = self._memory_watch.before_job(name) if uses_devices else None
        self.log(f"{name}: started {spec.program} (deadline {spec.deadline_s:.0f} s)")
        times = {"duration_s": 0.0, "deadline_s": spec.deadline_s}
        record = JobRecord(
            name=name, program=spec.program, attempt=attempt, ended_by="lost", devices=devices, **times
        )
        with tempfile.TemporaryDirectory(prefix="flagrelease-") as folder:
            log_file = Path(folder) / "job.log"
            lines = LineBatches(lambda text: self.log(f"[{name}]\n{text}"))
            try:
                outcome = run_job(
                    self.worker,
                    spec,
                    on_line=lines.add,
                    log_file=log_file,
                    scripts_root=self.scripts_root,
                    redactor=self.redactor,
                )
            except Exception as error:
                lines.flush()
                self._keep(record, started, {f"{name}.log": received_log(log_file)}, error=str(error))
                raise
            lines.flush()
            texts = {f"{name}.log": received_log(log_file)}
        for log in logs:
            text = read_log(self.worker, f"{outcome.job_dir}/{log}", say=self.log)
            texts[f"{name}.{log}"] = self.redactor.text(text)
        devices = self._memory_watch.after_job(name, devices) if devices else None
        report = report_of(self.step, asked.name, outcome, kind, texts)
        self._keep(
            record,
            started,
            texts,
            ended_by=outcome.exit.reason,
            exit_code=outcome.exit.code,
            signal=outcome.exit.signal,
            error=report.error.cause if report.error else None,
            devices=devices,
        )
        status = report.document.status if report.document else "no result"
        self.log(f"{name}: {status} after {self.jobs[-1].duration_s:.1f} s")
        return report

    @property
    def _memory_watch(self) -> MemoryWatch:
        measure = partial(used_memory, self.observe, self.vendor_facts, self.worker_entry)
        return MemoryWatch(self.hold.memory, measure, self.log, self.worker.timeouts.busy_s)

    def _keep(self, record: JobRecord, started: float, texts: Mapping[str, str], **ending: Any) -> None:
        """Keep the logs of an attempt, and its record with how it ended."""
        logs = [self._keep_log(file, text) for file, text in texts.items() if text]
        duration_s = round(time.monotonic() - started, 3)
        self.jobs.append(record.model_copy(update={"duration_s": duration_s, "logs": logs, **ending}))

    def _keep_log(self, file: str, text: str) -> str:
        name = self.store.log_name(self.vendor, self.model, self.run_id, self.step, file)
        self.store.put_text(name, text)
        return name
