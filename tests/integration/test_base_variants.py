"""Base on chips for which vLLM alone has no platform: the first variant that answers, and it is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from flagrelease_assets.contracts import EnvVerification, ModelRun
from flagrelease_assets.contracts.common import Status
from tests.doubles.instant_scripts import FULL_STACK, HEALTHY
from tests.integration.rig import Rig

NO_PLATFORM = {
    "status": "FAIL",
    "phase": "offline",
    "error": "RuntimeError: Failed to infer device type",
    "traceback": None,
}


def answers(plugins: list[str], working: str) -> dict[str, Any]:
    """Return answers of a worker on which only one value of VLLM_PLUGINS gives a working base."""
    identity = {**HEALTHY["worker_identity"], "platform_plugins": plugins}
    choices = {"default": NO_PLATFORM, f"VLLM_PLUGINS={working}": HEALTHY["run_offline_inference"]}
    serving = {
        "default": {**NO_PLATFORM, "phase": "serve"},
        f"VLLM_PLUGINS={working}": HEALTHY["test_serve_mode"],
    }
    return {
        **FULL_STACK,
        "worker_identity": identity,
        "run_offline_inference": choices,
        "test_serve_mode": serving,
    }


@pytest.mark.parametrize(
    ("plugins", "working", "variant"),
    [
        (["ascend", "fl"], "ascend", "vendor_plugin"),
        (["ascend", "fl"], "fl", "fl_without_flaggems"),
        (["fl"], "fl", "fl_without_flaggems"),
    ],
)
def test_the_first_base_that_answers_is_chosen_recorded_and_used_by_run_a(
    rig: Rig, plugins: list[str], working: str, variant: str
) -> None:
    rig.workers = {"ascend": rig.new_worker("ascend")}
    rig.answer(answers(plugins, working))
    rig.run(job="verify", vendor="ascend")
    environment = rig.document(EnvVerification, "env_verification", "ascend")
    assert (environment.status, environment.base_variant) == (Status.PASS, variant), environment.reason
    tried = [attempt.status for attempt in environment.base_attempts]
    assert tried == ["FAIL"] * (len(tried) - 1) + ["PASS"]
    run_a = rig.document(ModelRun, "run_a_result", "ascend")
    assert run_a.flags == {"VLLM_PLUGINS": working, "USE_FLAGGEMS": "0", "FLAGCX_PATH": None}


def test_a_chip_that_vllm_supports_by_itself_has_one_base_and_asks_for_no_other(rig: Rig) -> None:
    rig.workers = {"nvidia": rig.new_worker("nvidia")}
    rig.answer(answers(["fl"], "fl"))
    rig.run(job="verify", vendor="nvidia")
    environment = rig.document(EnvVerification, "env_verification", "nvidia")
    assert environment.status == Status.FAIL
    assert [attempt.variant for attempt in environment.base_attempts] == ["no_plugin"]
