"""Makes the demonstration's models, in the worker whose vLLM will run them.

Belongs here: which models there are, and the job that makes one.
Does not belong here: how a model is made (programs/make_model.py).
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flagrelease_assets.demo.progress import DemoError, Progress
from flagrelease_assets.deployment import ModelEntry
from flagrelease_assets.workers.base import Worker
from flagrelease_assets.workers.job_models import JobOutcome, JobSpec
from flagrelease_assets.workers.jobs import SCRIPTS_ROOT, run_job

PROGRAM = Path(__file__).parent / "programs" / "make_model.py"
DEADLINE_S = 1800
IDLE_S = 600


@dataclass(frozen=True)
class DemoModel:
    """One model that the demonstration can make.

    ``kind`` is what make_model.py calls it; ``coherent`` is false for random weights.
    """

    kind: str
    id: str
    coherent: bool

    def folder(self, models_root: Path) -> Path:
        """Return the model's folder, the same on the host and in the worker."""
        return models_root / self.id.rpartition("/")[2]

    def entry(self, models_root: Path) -> ModelEntry:
        """Return what the deployment file says of the model."""
        return ModelEntry(
            id=self.id,
            source="folder",
            path=str(self.folder(models_root)),
            coherent=self.coherent,
        )


SMOLLM2 = DemoModel("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", coherent=True)
TOY = DemoModel("toy", "flagrelease/toy-qwen3", coherent=False)


def make_model(worker: Worker, model: DemoModel, models_root: Path, progress: Progress) -> Path:
    """Make ``model`` in ``worker`` unless it is there; return its folder.

    The worker's interpreter needs torch and transformers, which come with vLLM: the model is made after
    the pipeline installed it. Raises DemoError with the program's own error if the model cannot be
    made, WorkerError if the worker cannot be reached.
    """
    target = model.folder(models_root)
    progress(f"Making the model {model.id} in worker {worker.name}")
    spec = JobSpec(
        run_id=f"demo-{uuid.uuid4().hex[:8]}",
        step="demo_models",
        name=model.kind,
        program=PROGRAM.stem,
        arguments=(model.kind, "--target", str(target)),
        deadline_s=DEADLINE_S,
        idle_s=IDLE_S,
    )
    with _scripts_with(PROGRAM) as scripts:
        outcome = run_job(worker, spec, on_line=progress, scripts_root=scripts)
    if not outcome.completed or outcome.result is None or outcome.result.get("status") != "PASS":
        raise DemoError(f"worker {worker.name} could not make the model {model.id}: {_reason(outcome)}")
    progress(f"The model {model.id} is in {target} ({outcome.result['origin']})")
    return target


@contextmanager
def _scripts_with(program: Path) -> Iterator[Path]:
    """Give a folder of container_scripts with one program more, for as long as a job runs."""
    with tempfile.TemporaryDirectory(prefix="flagrelease-scripts-") as work:
        folder = Path(work) / SCRIPTS_ROOT.name
        shutil.copytree(SCRIPTS_ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(program, folder)
        yield folder


def _reason(outcome: JobOutcome) -> str:
    if outcome.result and outcome.result.get("error"):
        return str(outcome.result["error"])
    last_line = outcome.log_tail[-1] if outcome.log_tail else "no output"
    return f"the program ended by {outcome.exit.reason} (code {outcome.exit.code}): {last_line}"
