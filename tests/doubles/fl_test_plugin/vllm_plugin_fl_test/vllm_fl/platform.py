"""The CPU as a platform of the plugin's own, with the plugin's worker."""

from __future__ import annotations

from vllm.platforms.cpu import CpuPlatform


class PlatformFL(CpuPlatform):
    """vLLM's CPU platform; only the worker differs."""

    @classmethod
    def check_and_update_config(cls, vllm_config):
        """Settle the configuration as vLLM does, then choose the plugin's worker."""
        super().check_and_update_config(vllm_config)
        vllm_config.parallel_config.worker_cls = "vllm_fl.worker.WorkerFL"
