"""What a stored result depends on shows in a listing: that a file is there, and is the same."""

from __future__ import annotations

import os
from pathlib import Path

from container_scripts.worker_identity import build_parser, describe_path, observe


def test_a_file_that_was_built_again_or_lost_looks_different(tmp_path: Path) -> None:
    library = tmp_path / "libflagcx.so"
    lost = describe_path(str(library))
    library.write_bytes(b"one")
    built = describe_path(str(library))
    os.utime(library, (1, 1))
    built_again = describe_path(str(library))
    assert not lost["exists"] and built["exists"] and built["bytes"] == 3
    assert built != built_again
    assert describe_path(str(library)) == built_again


def test_paths_are_described_in_the_order_asked(tmp_path: Path) -> None:
    body = observe(build_parser().parse_args(["--path", str(tmp_path / "no"), "--path", str(tmp_path)]))
    assert [path["exists"] for path in body["paths"]] == [False, True]
