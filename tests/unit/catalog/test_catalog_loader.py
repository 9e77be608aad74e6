from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flagrelease_assets.catalog import CatalogDataError, load_catalog, vendor_names, with_stack_releases
from flagrelease_assets.catalog.loader import DATA_FOLDER

Change = Callable[[dict[str, Any]], object]
Spoil = Callable[[str, Change], Path]

NVIDIA = "vendors/nvidia.yaml"
RELEASE = "stack_releases/vllm-0.13.0.yaml"
CPU = "vendors/cpu.yaml"
CPU_RELEASE = "stack_releases/cpu-0.32.0.yaml"
PROFILES = "benchmark_profiles.yaml"
WHEELS = "flagtree_wheels.yaml"


def test_an_unspoilt_copy_loads_like_the_shipped_catalog(catalog_folder: Path) -> None:
    assert load_catalog(catalog_folder) == load_catalog()


def test_the_catalog_is_read_once_per_process() -> None:
    assert load_catalog() is load_catalog()


def _set(*path: Any, to: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        target: Any = data
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = to

    return change


def _drop(key: str) -> Change:
    return lambda data: data.pop(key)


def _repeat_first_row(data: dict[str, Any]) -> None:
    rows = data["tables"][0]["rows"]
    rows.append(rows[0])


WRONG_DATA: list[tuple[str, Change, str, str]] = [
    (NVIDIA, _set("colour", to="green"), "colour", "Extra inputs are not permitted"),
    (NVIDIA, _drop("source"), "source", "Field required"),
    (NVIDIA, _drop("date"), "date", "Field required"),
    (NVIDIA, _set("date", to="yesterday"), "date", "date"),
    (NVIDIA, _set("name", to="nvidea"), "name", "file is named"),
    (NVIDIA, _set("aliases", to=["huawei"]), "aliases", "already stands for"),
    (NVIDIA, _set("aliases", to=["ascend"]), "aliases", "already stands for ascend"),
    (NVIDIA, _set("aliases", to=["nvidia"]), "aliases", "already stands for nvidia"),
    (NVIDIA, _set("default_stack_release", to="vllm-9"), "default_stack_release", "does not exist"),
    (NVIDIA, _set("default_stack_release", to="cpu-0.32.0"), "default_stack_release", "does not list"),
    (NVIDIA, _set("flagtree_row", to="nvidea"), "flagtree_row", "no FlagTree table lists"),
    (NVIDIA, _drop("flagcx"), "flagcx", "either it is there"),
    (NVIDIA, _set("flagcx_reason", to="none"), "flagcx", "either it is there"),
    (NVIDIA, _set("flagcx", "make_flag", to="USE_NVIDIA=1; rm -rf /"), "flagcx.make_flag", "match pattern"),
    (NVIDIA, _set("supports_full_stack", to=False), "supports_full_stack", "either it is there"),
    (NVIDIA, _set("supports_full_stack", to="yes"), "supports_full_stack", "valid boolean"),
    (NVIDIA, _set("timeouts", to={"startup": 0}), "timeouts.startup", "greater than 0"),
    (NVIDIA, _set("timeouts", to={"startup": -1}), "timeouts.startup", "greater than 0"),
    (NVIDIA, _set("timeouts", to={"startup": "long"}), "timeouts.startup", "valid number"),
    (NVIDIA, _set("timeouts", to={"start": 5}), "timeouts.start", "Extra inputs"),
    (NVIDIA, _set("timeouts", to={"startup_idle": 99999}), "timeouts.startup_idle", "longer than startup"),
    (NVIDIA, _set("timeouts", to=5), "timeouts", "must be a mapping"),
    (NVIDIA, _set("environment", to={"VLLM_PLUGINS": "fl"}), "environment", "set per run, not per vendor"),
    (NVIDIA, _set("environment", to={"lower": "1"}), "environment.lower.[key]", "match pattern"),
    (NVIDIA, _set("markers", to=["/opt/cuda"]), "markers.0", "match pattern"),
    (NVIDIA, _set("detect", 0, "argv", to=[]), "detect.0.argv", "at least 1 item"),
    (NVIDIA, _set("detect", 0, "argv", to=["nvidia-smi; id"]), "detect.0.argv.0", "match pattern"),
    (NVIDIA, _set("detect", 0, "argv", to=["bin/nvidia-smi"]), "detect.0.argv.0", "neither a program name"),
    (NVIDIA, _set("detect", 0, "argv", to=["nvidia-*"]), "detect.0.argv", "absolute program path only"),
    (NVIDIA, _set("detect", 0, "parser", to="guess"), "detect.0.parser", "Input should be"),
    (NVIDIA, _set("detect", 0, "parser", to="smi_list"), "detect.0.label", "is needed by smi_list"),
    (NVIDIA, _set("detect", 0, "timeout_s", to=0), "detect.0.timeout_s", "greater than 0"),
    (NVIDIA, _set("smoke_model", to="/data/model"), "smoke_model", "match pattern"),
    (CPU, _set("profile_scale", "length", to=2), "profile_scale.length", "less than or equal"),
    (RELEASE, _set("vllm_version", to=0.13), "vllm_version", "valid string"),
    (CPU_RELEASE, _set("vendors", to=["cpu", "acme"]), "vendors", "unknown vendor 'acme'"),
    (RELEASE, lambda data: data["packages"].pop("flagcx"), "packages", "lacks flagcx"),
    (RELEASE, _set("packages", "extra", to={}), "packages.extra.[key]", "Input should be"),
    (RELEASE, _set("packages", "vllm", "method", to="conda"), "packages.vllm", "does not match any"),
    (RELEASE, _set("packages", "vllm", "gate", to=False), "packages.vllm.gate", "must be true"),
    (RELEASE, _set("packages", "vllm", "requirements", to=[]), "packages.vllm.pip", "at least 1"),
    (RELEASE, _set("packages", "flaggems", "ref", to="--upload-pack=x"), "packages.flaggems.git", "pattern"),
    (RELEASE, _set("packages", "flagtree", "table", to="old"), "packages.flagtree.table", "unknown"),
    (RELEASE, _set("overrides", 0, "vendors", to=["cpu"]), "overrides", "not in vendors"),
    (RELEASE, _set("overrides", 0, "vendors", to=["amd", "amd"]), "overrides", "more than once"),
    (CPU_RELEASE, _set("packages", "flagtree", "gate", to=True), "packages.flagtree", "False"),
    (WHEELS, _set("default", to="none"), "default", "unknown FlagTree table"),
    (WHEELS, _set("tables", to=[]), "tables", "at least 1 item"),
    (WHEELS, _set("tables", 0, "rows", 0, "min_glibc", to=2.3), "tables.0.rows.0.min_glibc", "valid string"),
    (WHEELS, _set("tables", 0, "rows", 0, "specifier", to="triton==3"), "tables.0.rows.0.spec", "pattern"),
    (WHEELS, _set("tables", 0, "rows", 0, "architectures", to=["x86"]), "tables.0.rows.0.arch", "x86_64"),
    (WHEELS, _set("tables", 0, "rows", 1, "triton", to="3.4"), "tables.0.rows.1.row", "must be"),
    (WHEELS, lambda data: data["tables"][0]["rows"].pop(0), "tables.flagtree-0.4.rows", "has no base row"),
    (WHEELS, _repeat_first_row, "tables.", "more than once"),
    (WHEELS, lambda data: data["tables"].append(data["tables"][0]), "tables", "more than once"),
    (WHEELS, lambda data: data["tables"][0].pop("source"), "tables.0.source", "Field required"),
    (PROFILES, _set("profiles", 0, "num_prompts", to=0), "profiles.0.num_prompts", "greater than"),
    (PROFILES, _set("profiles", 0, "num_prompts", to="100"), "profiles.0.num_prompts", "integer"),
    (PROFILES, _set("profiles", 1, "name", to="high_concurrency"), "profiles", "more than once"),
    (PROFILES, _set("profiles", to=[]), "profiles", "at least 1 item"),
    (PROFILES, _drop("date"), "date", "Field required"),
    ("images.yaml", _set("images", 0, "vendor", to="acme"), "images", "unknown vendor"),
    ("mirrors.yaml", _set("github", to="ftp://example"), "github", "match pattern"),
    ("timeouts.yaml", lambda data: data["seconds"].pop("request"), "seconds.request", "Field required"),
]


@pytest.mark.parametrize(("file", "change", "key", "reason"), WRONG_DATA)
def test_wrong_data_is_refused_with_file_key_and_reason(
    spoil: Spoil, file: str, change: Change, key: str, reason: str
) -> None:
    folder = spoil(file, change)
    with pytest.raises(CatalogDataError) as caught:
        load_catalog(folder)
    assert caught.value.file.name == Path(file).name
    assert caught.value.key.startswith(key)
    assert reason in caught.value.reason
    assert all(part in str(caught.value) for part in (str(caught.value.file), caught.value.key, reason))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: a\nname: b\n", "given twice"),
        ("- a\n- b\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("name: [a\n", "is not YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("? [a]\n: b\n", "is not YAML"),
    ],
)
def test_a_file_that_is_not_one_plain_mapping_is_refused(
    catalog_folder: Path, text: str, reason: str
) -> None:
    (catalog_folder / "mirrors.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogDataError, match=reason):
        load_catalog(catalog_folder)


def test_a_missing_file_is_refused_by_name(catalog_folder: Path) -> None:
    (catalog_folder / "images.yaml").unlink()
    with pytest.raises(CatalogDataError, match=r"images\.yaml.*cannot be read"):
        load_catalog(catalog_folder)


def test_a_catalog_without_vendors_is_refused(catalog_folder: Path) -> None:
    for file in (catalog_folder / "vendors").iterdir():
        file.unlink()
    with pytest.raises(CatalogDataError, match="holds no vendor"):
        load_catalog(catalog_folder)


def test_vendor_names_are_known_without_reading_the_records() -> None:
    assert vendor_names() == sorted(load_catalog().vendors)


@pytest.fixture
def own_release(tmp_path: Path) -> Callable[[Change], Path]:
    """Return a function that writes a changed copy of the CPU's stack release, called in-house."""

    def write(change: Change) -> Path:
        data = yaml.safe_load((DATA_FOLDER / CPU_RELEASE).read_text(encoding="utf-8"))
        data["id"] = "in-house"
        change(data)
        file = tmp_path / "in-house.yaml"
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        return file

    return write


def test_an_own_stack_release_stands_beside_those_that_ship(own_release: Callable[[Change], Path]) -> None:
    file = own_release(_set("packages", "vllm", "version", to="0.31.0"))
    catalog = with_stack_releases(load_catalog(), [file])
    assert catalog.stack_releases_for("cpu") == ["cpu-0.32.0", "in-house"]
    assert catalog.plan_for("cpu", "in-house")["vllm"] != catalog.plan_for("cpu")["vllm"]
    assert "in-house" not in load_catalog().stack_releases


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (_set("vendors", to=["acme"]), "vendors", "unknown vendor 'acme'"),
        (_set("id", to="other"), "id", "the file is named 'in-house'"),
        (_drop("packages"), "packages", "Field required"),
        (_set("packages", "vllm", "gate", to=False), "packages.vllm.gate", "must be true"),
    ],
)
def test_a_wrong_own_stack_release_is_refused_like_one_that_ships(
    own_release: Callable[[Change], Path], change: Change, key: str, reason: str
) -> None:
    file = own_release(change)
    with pytest.raises(CatalogDataError) as caught:
        with_stack_releases(load_catalog(), [file])
    assert (caught.value.file, caught.value.key) == (file, key)
    assert reason in caught.value.reason


def test_an_own_stack_release_never_replaces_one_that_ships_or_another_own_one(
    own_release: Callable[[Change], Path],
) -> None:
    shipped = DATA_FOLDER / CPU_RELEASE
    own = own_release(lambda data: None)
    for files in ([shipped], [own, own]):
        with pytest.raises(CatalogDataError, match="id of another stack release"):
            with_stack_releases(load_catalog(), files)
