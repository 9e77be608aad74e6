"""The platform of the double."""

from __future__ import annotations


class DoublePlatform:
    """A device that is none."""

    device_type = "double"

    def get_device_name(self, device_id: int = 0) -> str:
        """Return the name of the device."""
        return "vLLM double"

    def get_device_total_memory(self, device_id: int = 0) -> int:
        """Return a number of bytes."""
        return 2**33


current_platform = _current_platform = DoublePlatform()
