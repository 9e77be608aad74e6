"""The process that runs the model: here the stack's parts are switched on, in this process alone."""

from __future__ import annotations

import faulthandler
import os
import threading
import time

import fl_test_mode
from vllm.v1.worker.cpu_worker import CPUWorker

_TOO_LONG_S = 86_400


class WorkerFL(CPUWorker):
    """vLLM's CPU worker with FlagGems' operators and FlagCX's communicator, as the environment asks."""

    def init_device(self):
        """Prepare the device, then the parts of the stack."""
        super().init_device()
        if os.environ.get("USE_FLAGGEMS") == "1":
            import flag_gems

            unused = os.environ.get("VLLM_FL_FLAGOS_BLACKLIST", "").split(",")
            flag_gems.enable(unused=unused, record=True, path=os.environ["FLAGGEMS_ENABLE_OPLIST_PATH"])
        if os.environ.get("FLAGCX_PATH"):
            from vllm_fl.distributed import flagcx

            flagcx.connect()
        if fl_test_mode.misbehaves("plugin", "crashes_after_startup"):
            threading.Thread(target=_crash, name="vllm_fl", daemon=True).start()

    def load_model(self, *arguments, **keywords):
        """Load the model and put this worker between its logits and whoever samples from them."""
        super().load_model(*arguments, **keywords)
        compute = self.model_runner.model.compute_logits
        self.model_runner.model.compute_logits = lambda *given, **named: _gather(compute(*given, **named))

    def execute_model(self, scheduler_output):
        """Run one step of the model."""
        if scheduler_output.total_num_scheduled_tokens and fl_test_mode.misbehaves(
            "plugin", "hangs_in_first_request"
        ):
            time.sleep(_TOO_LONG_S)
        return super().execute_model(scheduler_output)


def _gather(logits):
    """Return the logits of all devices, of which there is one here."""
    if fl_test_mode.misbehaves("plugin", "corrupts_logits"):
        logits = logits.flip(-1)
    if os.environ.get("FLAGCX_PATH"):
        from vllm_fl.distributed import flagcx

        logits = flagcx.all_gather(logits)
    return logits


def _crash():
    faulthandler.enable()
    fl_test_mode.wait_for_startup()
    os.abort()
