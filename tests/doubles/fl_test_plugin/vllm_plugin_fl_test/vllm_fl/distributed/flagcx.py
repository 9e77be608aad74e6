"""A communicator in the place of FlagCX, for one device: what is gathered is what was there."""

from __future__ import annotations

import faulthandler
import os
import threading
import time

import fl_test_mode

_TOO_LONG_S = 86_400

if fl_test_mode.misbehaves("flagcx", "raises_at_load"):
    raise OSError("libflagcx.so: cannot open shared object file: No such file or directory")


def connect():
    """Join the other devices."""
    if fl_test_mode.misbehaves("flagcx", "crashes_after_startup"):
        threading.Thread(target=_crash, name="flagcx", daemon=True).start()


def all_gather(tensor):
    """Return the parts of all devices; a defect mode spoils or delays them."""
    if fl_test_mode.misbehaves("flagcx", "hangs_in_first_request"):
        time.sleep(_TOO_LONG_S)
    if fl_test_mode.misbehaves("flagcx", "corrupts_logits"):
        return tensor.flip(-1)
    return tensor


def _crash():
    faulthandler.enable()
    fl_test_mode.wait_for_startup()
    os.abort()
