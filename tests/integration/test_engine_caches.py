"""Which caches the jobs of a release get: one stack's phases share theirs, no other stack or release does.

Belongs here: the jobs. Does not belong here: the folders' names (`tests/unit/container_scripts`).
"""

from __future__ import annotations

import json
from pathlib import Path

from container_scripts.engine_caches import CACHE_VARIABLES
from tests.doubles.instant_scripts import FULL_STACK
from tests.integration.rig import Rig

BASE_JOBS = {"env_verification/offline", "run_a_result/offline", "run_a_result/serve"}
FULL_JOBS = {"run_b_result/offline", "run_b_result/serve", "benchmark_metrics/benchmark-full"}


def _caches(work_root: Path) -> dict[str, dict[str, set[str]]]:
    """Return the cache folders of every job that has any, by run and by step/job."""
    found: dict[str, dict[str, set[str]]] = {}
    for file in work_root.glob("runs/*/*/*/job.json"):
        variables = json.loads(file.read_text())["env_set"]
        run, step, job = file.parts[-4:-1]
        name = f"{step}/{job.rpartition('-')[0]}"
        if all(variable in variables for variable in CACHE_VARIABLES):
            found.setdefault(run, {})[name] = {variables[variable] for variable in CACHE_VARIABLES}
    return found


def test_no_stack_runs_what_another_stack_or_an_earlier_release_compiled(rig: Rig) -> None:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    rig.answer(FULL_STACK)
    for _ in range(2):
        rig.run(vendor="nvidia", force=True)
    releases = list(_caches(Path(rig.workers["nvidia"]["work_root"])).values())
    assert len(releases) == 2
    stacks = []
    for jobs in releases:
        assert set(jobs) >= BASE_JOBS | FULL_JOBS | {"benchmark_metrics/benchmark-base"}
        for group in (BASE_JOBS | {"benchmark_metrics/benchmark-base"}, FULL_JOBS):
            first = jobs[min(group)]
            assert all(jobs[name] == first for name in group), "phases of one stack share what they compile"
            stacks.append(first)
    assert len(set().union(*stacks)) == sum(len(stack) for stack in stacks)
