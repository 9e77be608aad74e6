from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import container_scripts.select_flagtree_wheel as program
from container_scripts.select_flagtree_wheel import parse_version, select_wheel

NEWER = "flagtree-0.7"


@pytest.mark.parametrize(
    ("python", "glibc", "triton", "specifier"),
    [
        ("3.12", "2.39", "3.5", "flagtree==0.4.1+3.5"),
        ("3.12", "2.39", "3.5.0", "flagtree==0.4.1+3.5"),
        ("3.10", "2.35", "3.3", "flagtree==0.4.0+3.3"),
        ("3.10", "2.35", "3.2", "flagtree==0.4.0+3.2"),
        ("3.12", "2.31", "3.1", "flagtree==0.4.0"),
    ],
)
def test_the_required_triton_decides_the_row(python: str, glibc: str, triton: str, specifier: str) -> None:
    assert select_wheel("nvidia", python, glibc, triton)["specifier"] == specifier


@pytest.mark.parametrize("python", ["3.10", "3.11"])
def test_no_wheel_is_better_than_one_with_another_triton(python: str) -> None:
    document = select_wheel("nvidia", python, "2.35", "3.5")
    assert (document["status"], document["reason"]) == ("NOT_FOUND", "triton_mismatch")
    assert [row["triton"] for row in document["candidates"]] == ["3.1", "3.2", "3.3"]
    assert "3.5 is required" in document["suggestion"]


@pytest.mark.parametrize(("python", "glibc"), [("3.12", "2.39"), ("3.10", "2.35"), ("3.12", "2.31")])
def test_without_triton_and_variant_it_is_the_base_row_not_the_last(python: str, glibc: str) -> None:
    assert select_wheel("nvidia", python, glibc)["specifier"] == "flagtree==0.4.0"


def test_a_variant_names_its_row() -> None:
    assert select_wheel("nvidia", "3.12", "2.39", variant="nvidia_3.2")["specifier"] == "flagtree==0.4.0+3.2"
    assert select_wheel("nvidia_3.2", "3.12", "2.39")["specifier"] == "flagtree==0.4.0+3.2"


def test_a_variant_that_the_worker_cannot_take_is_not_replaced_by_another() -> None:
    document = select_wheel("nvidia_3.5", "3.10", "2.35")
    assert (document["status"], document["reason"]) == ("NOT_FOUND", "variant_unavailable")


def test_a_variant_with_another_triton_than_required_is_a_mismatch() -> None:
    document = select_wheel("nvidia", "3.12", "2.39", "3.5", variant="nvidia_3.2")
    assert document["reason"] == "triton_mismatch"


@pytest.mark.parametrize("glibc", ["2.35-0ubuntu3", "2.35.0", "2.035", " 2.35 "])
def test_glibc_suffixes_and_padding_do_not_matter(glibc: str) -> None:
    assert select_wheel("iluvatar", "3.10", glibc)["specifier"] == "flagtree==0.4.0+iluvatar3.1"


@pytest.mark.parametrize("glibc", [None, "", "None", "unknown", "٢.٣٥", "v2.35"])
def test_an_unknown_glibc_is_said_so(glibc: str | None) -> None:
    document = select_wheel("nvidia", "3.10", glibc)
    assert (document["status"], document["reason"]) == ("NOT_FOUND", "glibc_unknown")


def test_glibc_is_compared_as_numbers() -> None:
    assert select_wheel("nvidia", "3.10", "2.9")["reason"] == "glibc_too_old"
    assert select_wheel("nvidia", "3.10", "2.100")["status"] == "FOUND"


@pytest.mark.parametrize(("glibc", "libc"), [("1.2.3", "musl"), ("musl libc (x86_64) Version 1.2.3", None)])
def test_musl_has_no_wheel(glibc: str, libc: str | None) -> None:
    assert select_wheel("nvidia", "3.10", glibc, libc=libc)["reason"] == "libc_musl"


@pytest.mark.parametrize("python", ["3.12.3", "3.12.0rc1", "3.12+"])
def test_python_patch_versions_count_as_their_series(python: str) -> None:
    assert select_wheel("nvidia", python, "2.39", "3.5")["specifier"] == "flagtree==0.4.1+3.5"


@pytest.mark.parametrize("python", ["3", "", None, "three"])
def test_an_unreadable_python_is_said_so(python: str | None) -> None:
    assert select_wheel("nvidia", python, "2.35")["reason"] == "python_unknown"


@pytest.mark.parametrize("vendor", ["hygon", "hcu", "dcu", "HCU"])
def test_every_name_of_hygon_finds_its_row(vendor: str) -> None:
    assert select_wheel(vendor, "3.10", "2.35")["specifier"] == "flagtree==0.4.0+hcu3.0"


@pytest.mark.parametrize("arch", ["aarch64", "arm64", "riscv64"])
def test_an_x86_wheel_is_not_offered_to_another_architecture(arch: str) -> None:
    document = select_wheel("nvidia", "3.12", "2.39", "3.5", arch=arch)
    assert (document["reason"], document["candidates"]) == ("architecture_mismatch", [])
    assert document["available_for_vendor"]


@pytest.mark.parametrize("arch", ["x86_64", "amd64", "AMD64", None, ""])
def test_architecture_names_are_normalised_and_optional(arch: str | None) -> None:
    assert select_wheel("nvidia", "3.12", "2.39", arch=arch)["status"] == "FOUND"


@pytest.mark.parametrize(("vendor", "reason"), [("cpu", "no_wheel_for_vendor"), ("acme", "vendor_unknown")])
def test_no_rows_and_no_such_vendor_are_told_apart(vendor: str, reason: str) -> None:
    document = select_wheel(vendor, "3.10", "2.35")
    assert document["reason"] == reason and document["suggestion"]


def test_the_table_follows_the_stack_release() -> None:
    assert select_wheel("nvidia", "3.12", "2.39", "3.6", table=NEWER)["specifier"] == "flagtree===0.7.0"
    assert select_wheel("nvidia", "3.12", "2.39", "3.6")["reason"] == "triton_mismatch"
    assert select_wheel("kunlunxin", "3.10", "2.35", table=NEWER)["specifier"] == "flagtree===0.7.0rc3+xpu3.6"
    assert select_wheel("nvidia", "3.12", "2.39", table="none")["reason"] == "table_unknown"


def test_one_row_name_may_have_a_build_per_python() -> None:
    for python, glibc in (("3.12", "2.39"), ("3.10", "2.35")):
        document = select_wheel("iluvatar", python, glibc, "3.1", table=NEWER)
        assert document["specifier"] == "flagtree===0.5.1+iluvatar3.1"


def test_a_base_row_that_does_not_fit_is_not_replaced_silently() -> None:
    document = select_wheel("iluvatar", "3.10", "2.35", table=NEWER)
    assert document["reason"] == "base_row_mismatch" and "3.1" in document["suggestion"]


def test_flagtree_is_installed_without_dependencies_from_its_own_index() -> None:
    document = select_wheel("nvidia", "3.12", "2.39", "3.5")
    index, host, no_deps = document["pip_args"]
    assert index.startswith("--index-url=https://") and no_deps == "--no-deps"
    assert host.startswith("--trusted-host=") and "://" not in host
    assert document["install_argv"][-1] == "flagtree==0.4.1+3.5"
    assert document["install_cmd"].split() == document["install_argv"]


ANY_TEXT = st.one_of(st.none(), st.text(), st.from_regex(r"[0-9]{1,6}(\.[0-9]{0,30}){0,4}.{0,5}"))
VENDORS = st.one_of(st.text(), st.sampled_from(["nvidia", "hcu", "nvidia_3.2", "ascend", "cpu", "tileir"]))


@given(
    vendor=VENDORS, python=ANY_TEXT, glibc=ANY_TEXT, triton=ANY_TEXT, arch=ANY_TEXT, libc=ANY_TEXT,
    table=st.sampled_from([None, NEWER, "x"]), variant=ANY_TEXT,
)  # fmt: skip
def test_no_text_makes_it_raise_and_every_answer_is_whole(
    vendor: str,
    python: str | None,
    glibc: str | None,
    triton: str | None,
    arch: str | None,
    libc: str | None,
    table: str | None,
    variant: str | None,
) -> None:
    document = select_wheel(vendor, python, glibc, triton, arch, libc, table, variant)
    found = document["status"] == "FOUND"
    assert found or document["status"] == "NOT_FOUND"
    assert (document["specifier"] is not None) == found == (document["reason"] is None)
    assert all(row in document["available_for_vendor"] for row in document["candidates"])
    json.dumps(document)


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8))
def test_versions_order_like_their_numbers(a: int, b: int, c: int, d: int) -> None:
    left, right = parse_version(f"{a}.{b}"), parse_version(f"{c}.{d}-suffix")
    assert left is not None and right is not None
    assert (left < right) == ((a, b) < (c, d))
    assert (left == right) == ((a, b) == (c, d))


@given(minor=st.integers(0, 200))
def test_a_glibc_is_enough_exactly_from_the_minimum_on(minor: int) -> None:
    found = select_wheel("nvidia", "3.10", f"2.{minor}")["status"] == "FOUND"
    assert found == (minor >= 30)


def run_by_hand(*arguments: str) -> tuple[int, dict[str, object]]:
    script = Path(program.__file__)
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_run_by_hand_it_prints_one_document_and_exits_0_only_if_found() -> None:
    worker = ["--vendor", "nvidia", "--python", "3.12.3", "--glibc", "2.39"]
    code, document = run_by_hand(*worker, "--triton", "3.5")
    assert (code, document["status"], document["program"]) == (0, "FOUND", "select_flagtree_wheel")
    code, document = run_by_hand("--vendor", "nvidia", "--python", "3.10", "--glibc", "None")
    assert (code, document["reason"]) == (1, "glibc_unknown")
