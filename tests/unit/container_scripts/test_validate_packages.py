"""A package works only if it is imported, owned and registered as its plan says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.container_scripts.package_making import Environment

ENTRY_POINTS = (
    "[vllm.platform_plugins]\nfl = vllm_fl:register\n[vllm.general_plugins]\nfl = vllm_fl:register\n"
)
GROUPS = ["vllm.platform_plugins", "vllm.general_plugins"]
PLUGIN_PLAN: dict[str, Any] = {
    "method": "git",
    "gate": True,
    "distribution": "vllm-fl",
    "import_name": "vllm_fl",
    "version": None,
    "entry_points": {"name": "fl", "groups": GROUPS},
}
ENGINE_PLAN: dict[str, Any] = {
    "method": "pip",
    "gate": True,
    "distribution": "vllm",
    "import_name": "vllm",
    "version": "0.13.0",
}
FLAGTREE_PLAN: dict[str, Any] = {
    "method": "wheel_table",
    "gate": False,
    "distribution": "flagtree",
    "import_name": "triton",
    "version": None,
}


def install_plugin(environment: Environment, source: str, entry_points: str = ENTRY_POINTS) -> None:
    environment.wheel("vllm-fl", "0.1", {"vllm_fl/__init__.py": source}, entry_points=entry_points)
    environment.pip_install("vllm-fl")


def test_a_healthy_plugin_opens_the_gate(environment: Environment) -> None:
    install_plugin(environment, "def register():\n    return 'platform'\n")
    document = environment.validate({"vllm_plugin_fl": PLUGIN_PLAN})
    assert document["overall"] == {"status": "PASS", "gate_passed": True}
    assert document["vllm_plugin_fl"]["platform_plugins"] == ["fl"]
    assert document["vllm_plugin_fl"]["registered"] is True


def test_good_entry_points_do_not_excuse_an_import_that_raises(environment: Environment) -> None:
    install_plugin(environment, "raise RuntimeError('no device library')\n")
    document = environment.validate({"vllm_plugin_fl": PLUGIN_PLAN})
    assert document["overall"]["gate_passed"] is False
    assert document["vllm_plugin_fl"]["registered"] is False
    assert document["packages"]["vllm_plugin_fl"]["error"] == "RuntimeError: no device library"


def test_an_entry_point_that_names_nothing_is_found_by_loading_it(environment: Environment) -> None:
    install_plugin(environment, "")
    document = environment.validate({"vllm_plugin_fl": PLUGIN_PLAN})
    assert document["vllm_plugin_fl"]["importable"] is True
    assert "AttributeError" in document["packages"]["vllm_plugin_fl"]["error"]


@pytest.mark.parametrize(("groups", "status"), [(GROUPS, "FAIL"), (GROUPS[:1], "PASS")])
def test_only_the_entry_point_groups_of_the_plan_are_required(
    environment: Environment, groups: list[str], status: str
) -> None:
    platform_only = ENTRY_POINTS.partition("[vllm.general")[0]
    install_plugin(environment, "def register():\n    return None\n", platform_only)
    plan = {**PLUGIN_PLAN, "entry_points": {"name": "fl", "groups": groups}}
    assert environment.validate({"vllm_plugin_fl": plan})["status"] == status


def test_a_crash_costs_one_package_only(environment: Environment) -> None:
    environment.wheel("vllm", "0.13.0+cu129", {"vllm/__init__.py": ""})
    environment.wheel(
        "flagcx",
        "0.10.0",
        {"flagcx/__init__.py": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"},
    )
    environment.pip_install("vllm", "flagcx")
    flagcx = {**FLAGTREE_PLAN, "method": "git_make", "distribution": "flagcx", "import_name": "flagcx"}
    document = environment.validate({"vllm": ENGINE_PLAN, "flagcx": flagcx})
    assert document["overall"] == {"status": "PARTIAL", "gate_passed": True}
    assert "SIGSEGV" in document["packages"]["flagcx"]["error"]
    assert document["vllm"]["version_match"] is True


def test_an_import_that_hangs_is_ended(environment: Environment) -> None:
    environment.wheel("vllm", "0.13.0", {"vllm/__init__.py": "import time\ntime.sleep(600)\n"})
    environment.pip_install("vllm")
    document = environment.validate({"vllm": ENGINE_PLAN}, "--import-timeout", "2")
    assert document["packages"]["vllm"]["error"].startswith("TimeoutError")


def test_another_version_of_the_engine_closes_the_gate(environment: Environment) -> None:
    environment.wheel("vllm", "0.12.0", {"vllm/__init__.py": ""})
    environment.pip_install("vllm")
    document = environment.validate({"vllm": ENGINE_PLAN})
    assert document["overall"]["gate_passed"] is False
    assert document["vllm"]["version_match"] is False


@pytest.mark.parametrize(("owner", "is_flagtree"), [("triton", False), ("flagtree", True)])
def test_stock_triton_is_not_flagtree(environment: Environment, owner: str, is_flagtree: bool) -> None:
    environment.wheel(owner, "3.5.0", {"triton/__init__.py": "__version__ = '3.5.0'\n"})
    environment.pip_install(owner)
    document = environment.validate({"flagtree": FLAGTREE_PLAN})
    assert document["flagtree"]["importable"] is True
    assert document["flagtree"]["is_flagtree"] is is_flagtree
    assert document["flagtree"]["provider"] == owner
    assert document["packages"]["flagtree"]["status"] == ("PASS" if is_flagtree else "FAIL")


def test_what_is_not_applicable_is_skipped_and_not_imported(environment: Environment) -> None:
    environment.wheel("vllm", "0.13.0", {"vllm/__init__.py": ""})
    environment.pip_install("vllm")
    skipped = {"method": "not_applicable", "gate": False, "reason": "no build for this chip"}
    document = environment.validate({"vllm": ENGINE_PLAN, "flagtree": skipped})
    assert document["status"] == "PASS"
    assert document["packages"]["flagtree"]["reason"] == "no build for this chip"
    assert document["flagtree"]["importable"] is None


def test_a_plan_without_packages_is_no_pass(environment: Environment) -> None:
    document = environment.validate({})
    assert document["status"] == "FAIL"
    assert "must hold plans" in document["error"]
