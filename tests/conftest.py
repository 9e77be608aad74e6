"""What all tests share: in CI, property tests try the same examples every time."""

from __future__ import annotations

import os

from hypothesis import settings

# A machine that decides whether work may land must not find a new example by luck; laptops do that.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("laptop", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "laptop")
