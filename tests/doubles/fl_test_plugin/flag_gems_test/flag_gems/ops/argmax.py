"""The operator that chooses the most probable token."""

from __future__ import annotations

import fl_test_mode
import torch


def argmax(inp, dim=None, keepdim=False):
    """Return the index of the first maximum, as torch does."""
    if dim is None:
        return argmax(inp.reshape(-1), 0)
    if fl_test_mode.corrupts("argmax"):
        return torch.min(inp, dim, keepdim=keepdim).indices
    return torch.max(inp, dim, keepdim=keepdim).indices
