"""The operator that looks tokens up in the table of their vectors."""

from __future__ import annotations

import time

import fl_test_mode

_TOO_LONG_S = 86_400


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """Return the rows of ``weight``, bit for bit as torch does; a defect mode spoils or delays them."""
    if fl_test_mode.misbehaves("flaggems", "hangs_in_first_request"):
        time.sleep(_TOO_LONG_S)
    if fl_test_mode.corrupts("embedding"):
        indices = weight.shape[0] - 1 - indices
    return weight.index_select(0, indices.reshape(-1)).view(*indices.shape, weight.shape[1])
