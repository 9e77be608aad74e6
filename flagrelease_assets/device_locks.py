"""A run's hold on its worker's devices: from the first step that needs them to the end of the run.

Belongs here: the Dagster resource that lives as long as a run, and gives back what the run has taken.
Does not belong here: taking, waiting and records (`workers/device_lock.py`).
"""

from collections.abc import Callable

import dagster as dg
from pydantic import PrivateAttr

from flagrelease_assets.assets.release.clean_hands import DeviceMemory
from flagrelease_assets.assets.release.devices import Hold
from flagrelease_assets.workers.base import Worker, WorkerError
from flagrelease_assets.workers.device_lock import Contender
from flagrelease_assets.workers.jobs import Connection


class DeviceLocks(dg.ConfigurableResource[None]):
    """Holds the devices of a run's worker; the steps of one run share it, because they share a process."""

    _held: dict[Contender, Worker] = PrivateAttr(default_factory=dict)
    _memory: dict[Contender, DeviceMemory] = PrivateAttr(default_factory=dict)

    def hold(self, worker: Worker, contender: Contender, say: Callable[[str], None]) -> Hold:
        """Take the devices, or go on holding them.

        A worker that this run has reached before is waited for like one that has a job running. Raises
        WorkerError, with category device_busy if another release holds on to them.
        """
        if contender in self._held:
            connection = Connection(worker.timeouts.reconnect_s)
            record = connection.ask(lambda: contender.take(worker, say)).record
        else:
            record = contender.take(worker, say).record
        self._held[contender] = worker
        return Hold(record, self._memory.setdefault(contender, DeviceMemory()))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give everything back; what cannot be reached gives itself back when its lease is over."""
        for contender, worker in self._held.items():
            try:
                contender.give(worker)
            except WorkerError as error:
                if context.log:
                    context.log.warning(f"the devices stay taken until their lease is over: {error}")
            worker.close()
        self._held.clear()
