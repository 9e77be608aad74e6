"""Reading a folder of wheels: names as real files have them, and anything else that may lie there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_scripts.wheelhouse import NoWheelhouseError, distributions_in, lacking


def folder_with(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("vllm-0.24.0-cp38-abi3-manylinux_2_28_x86_64.whl", "vllm", "0.24.0"),
        ("apache_tvm_ffi-0.1.9-cp312-abi3-manylinux2014_x86_64.whl", "apache-tvm-ffi", "0.1.9"),
        ("torch-2.11.0+cu130-cp312-cp312-linux_x86_64.whl", "torch", "2.11.0+cu130"),
        ("vllm_plugin_fl-0.2.0rc1+g12239856-py3-none-any.whl", "vllm-plugin-fl", "0.2.0rc1+g12239856"),
        ("build-1.0-1-py3-none-any.whl", "build", "1.0"),
        ("antlr4-python3-runtime-4.13.2.tar.gz", "antlr4-python3-runtime", "4.13.2"),
    ],
)
def test_names_and_versions_are_read_from_file_names(
    tmp_path: Path, file: str, name: str, version: str
) -> None:
    assert distributions_in(folder_with(tmp_path, file)) == {name: {version}}


def test_other_files_do_not_count(tmp_path: Path) -> None:
    assert distributions_in(folder_with(tmp_path, "README.md", "vllm.whl", "requirements.txt")) == {}


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NoWheelhouseError, match="cannot be read"):
        distributions_in(str(tmp_path / "nowhere"))


def test_what_is_installed_already_need_not_lie_in_the_folder() -> None:
    assert lacking(["pytest", "pytest==0.0.1", "vllm[extra]==1"], {"vllm": {"1.0"}}) == ["pytest==0.0.1"]


@given(st.lists(st.text(max_size=30), max_size=5))
def test_no_requirement_breaks_the_comparison(requirements: list[str]) -> None:
    assert set(lacking(requirements, {})) <= set(requirements)
