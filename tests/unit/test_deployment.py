"""The deployment file: what it may say, and the one line that answers each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from flagrelease_assets.catalog import UnknownVendorError, load_catalog
from flagrelease_assets.catalog.loader import DATA_FOLDER
from flagrelease_assets.contracts.keys import InvalidModelKeyError, model_key
from flagrelease_assets.deployment import DeploymentError, load_deployment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flagrelease.yaml"


def complaint(file: Path, content: str) -> str:
    """Return what loading this content complains of: one line that names the file."""
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DeploymentError) as caught:
        load_deployment(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")


@pytest.mark.parametrize(("alias", "vendor"), [("hcu", "hygon"), ("musa", "mthreads"), ("huawei", "ascend")])
def test_an_alias_names_the_worker_of_its_vendor(file: Path, alias: str, vendor: str) -> None:
    file.write_text(f"workers: {{{alias}: {{kind: docker, container: c}}}}")
    assert load_deployment(file).worker(vendor).kind == "docker"
    assert load_catalog().resolve_vendor(alias.upper()) == vendor


def test_two_names_of_one_vendor_are_refused_so_that_no_worker_is_lost_silently(file: Path) -> None:
    both = "workers: {hcu: {kind: docker, container: c}, hygon: {kind: docker, container: d}}"
    assert complaint(file, both) == "workers: hygon has two workers, one of them as 'hygon': keep one"


def test_an_unknown_vendor_is_answered_with_the_nearest_name_and_all_names(file: Path) -> None:
    text = complaint(file, "workers: {nvidai: {kind: docker, container: c}}")
    assert "unknown vendor 'nvidai'; did you mean nvidia? Vendors: amd, ascend," in text
    with pytest.raises(UnknownVendorError, match=r"unknown vendor 'xyzzy'\. Vendors: amd"):
        load_catalog().resolve_vendor("xyzzy")


@pytest.mark.parametrize("bad", ["org|toy", "org/toy/extra", "../toy", "org/..", "a..b", "", "-toy", "a,b"])
def test_a_model_id_that_would_be_misread_as_a_key_is_refused(file: Path, bad: str) -> None:
    assert complaint(file, f"models: [{{id: '{bad}'}}]").startswith(f"models.0.id: model {bad!r} cannot be")
    with pytest.raises(InvalidModelKeyError, match="use `org/name`"):
        model_key(bad)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("modles: []", "modles"),
        ("network: {pypi: x}", "network.pypi"),
        ("models: [{id: a, dtpye: float16}]", "models.0.dtpye"),
        ("workers: {cpu: {kind: docker, container: c, contaner: d}}", "workers.cpu.contaner"),
        ("workers: {cpu: {kind: local, container: c}}", "workers.cpu.container"),
        ("workers: {cpu: {kind: local, timeouts: {connect: 1}}}", "workers.cpu.timeouts.connect"),
        ("workers: {cpu: {kind: local, smoke_model: {id: a, x: 1}}}", "workers.cpu.smoke_model.x"),
        (
            "workers: {cpu: {kind: docker, container: c, engine: 'tcp://h:1', tls: {ca: x}}}",
            "workers.cpu.tls.ca",
        ),
    ],
)
def test_an_unknown_key_is_refused_at_every_level_by_its_own_path(file: Path, content: str, key: str) -> None:
    assert complaint(file, content) == f"{key}: unknown key"


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("workers: [cpu]", "workers: "),
        ("workers: {cpu: hello}", "workers.cpu: "),
        ("workers: {cpu: {container: c}}", "workers.cpu: "),
        ("workers: {cpu: {kind: vm}}", "workers.cpu: Input tag 'vm'"),
        ("workers: {cpu: {kind: docker}}", "workers.cpu.container: Field required"),
        ("workers: {cpu: {kind: docker, container: c, engine: 'http://h'}}", "workers.cpu.engine: "),
        ("workers: {cpu: {kind: docker, container: c, engine: 'tcp://h:1'}}", "workers.cpu: a tcp:// engine"),
        ("workers: {cpu: {kind: local, timeouts: {connect_s: 0}}}", "workers.cpu.timeouts.connect_s: "),
        ("workers: {cpu: {kind: local, minimum_free_gb: many}}", "workers.cpu.minimum_free_gb: "),
        ("workers: {cpu: {kind: local, work_root: ../up}}", "workers.cpu.work_root: "),
        ("models: 3", "models: "),
        ("models: [toy]", "models.0: "),
        ("models: [{}]", "models.0.id: Field required"),
        ("models: [{id: a, tensor_parallel_size: 0}]", "models.0.tensor_parallel_size"),
        ("models: [{id: a, tensor_parallel_size: many}]", "models.0.tensor_parallel_size"),
        ("models: [{id: a, max_model_len: -1}]", "models.0.max_model_len: "),
        ("models: [{id: a, vllm_args: '--x 1'}]", "models.0.vllm_args: "),
        ("models: [{id: a/b}, {id: a--b}]", "models: models 'a/b' and 'a--b' have the same key"),
        ("results: 3", "results: "),
        ("- a", "expected keys"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(file: Path, content: str, start: str) -> None:
    assert complaint(file, content).startswith(start)


@pytest.mark.parametrize(
    "content", ["workers: {", "a:\n\t- b", "a: [", "'", "\x00", "a: !!python/object:x {}"]
)
def test_malformed_yaml_says_so_in_one_line(file: Path, content: str) -> None:
    assert complaint(file, content).startswith("not readable as YAML: ")


def test_a_file_that_is_no_text_is_not_yaml(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00workers")
    with pytest.raises(DeploymentError, match="not readable as YAML"):
        load_deployment(file)


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    assert complaint(file, "#" * 2_000_000) == "larger than 1000000 bytes; not a deployment file"


def test_a_missing_file_says_where_to_get_one(file: Path) -> None:
    with pytest.raises(
        DeploymentError, match=r"no such file; copy flagrelease\.yaml .* FLAGRELEASE_DEPLOYMENT"
    ):
        load_deployment(file)


def test_a_folder_in_place_of_the_file_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="not readable"):
        load_deployment(tmp_path)


def test_an_empty_file_is_a_deployment_without_workers(file: Path) -> None:
    file.write_text("# nothing yet\n")
    deployment = load_deployment(file)
    assert (deployment.workers, deployment.models) == ({}, [])
    assert deployment.results == str(file.parent / ".flagrelease" / "results")


def test_a_missing_worker_or_model_names_what_to_add_to_the_file_that_was_read(file: Path) -> None:
    file.write_text("models: [{id: org/toy}]")
    deployment = load_deployment(file)
    assert deployment.model("org--toy").id == "org/toy"
    with pytest.raises(DeploymentError) as worker:
        deployment.worker("nvidia")
    with pytest.raises(DeploymentError) as model:
        deployment.model("org--other")
    assert "add `workers.nvidia: {kind: docker, container: NAME}`" in str(worker.value)
    assert "add `- id: org/other` under `models:`" in str(model.value)
    assert str(file) in str(worker.value) and str(file) in str(model.value)


def test_the_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("workers: {cpu: {kind: docker, container: one}}\nresults: here")
    monkeypatch.setenv("FLAGRELEASE_WORKERS__CPU__CONTAINER", "two")
    monkeypatch.setenv("FLAGRELEASE_RESULTS", "memory://results")
    deployment = load_deployment(file)
    worker = deployment.worker("cpu")
    assert worker.kind == "docker" and worker.container == "two"
    assert deployment.results == "memory://results", "a URL is no path to make absolute"


def test_an_environment_variable_that_is_no_json_is_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("")
    monkeypatch.setenv("FLAGRELEASE_WORKERS", "{bad")
    with pytest.raises(DeploymentError, match="environment variables") as caught:
        load_deployment(file)
    assert '"workers"' in str(caught.value)


def test_a_secret_in_a_workers_environment_is_refused_with_the_place_where_it_belongs(file: Path) -> None:
    worker = "workers: {{cpu: {{kind: local, environment: {{{}: hf_12345678}}}}}}"
    assert complaint(file, worker.format("HF_TOKEN")) == (
        "workers.cpu.environment: HF_TOKEN would be stored with every result: "
        "put HF_TOKEN into `secrets` and set it on the host"
    )
    file.write_text(worker.format("MAX_TOKENS"))
    assert "MAX_TOKENS" in load_deployment(file).worker("cpu").environment


def test_own_stack_releases_are_found_relative_to_the_file(file: Path) -> None:
    (file.parent / "own").mkdir()
    shipped = (DATA_FOLDER / "stack_releases" / "cpu-0.32.0.yaml").read_text(encoding="utf-8")
    own = shipped.replace("id: cpu-0.32.0", "id: in-house")
    (file.parent / "own" / "in-house.yaml").write_text(own, encoding="utf-8")
    file.write_text("stack_releases: [own/in-house.yaml]")
    assert "in-house" in load_deployment(file).catalog.stack_releases


def test_a_wrong_own_stack_release_is_named_with_its_file_key_and_reason(file: Path) -> None:
    missing = file.parent / "none.yaml"
    assert complaint(file, "stack_releases: [none.yaml]") == (
        f"stack_releases: {missing}: (whole file): cannot be read: No such file or directory"
    )
    (file.parent / "bad.yaml").write_text("id: bad\ncolour: green\n", encoding="utf-8")
    said = complaint(file, "stack_releases: [bad.yaml]")
    assert said.startswith(f"stack_releases: {file.parent / 'bad.yaml'}: ")


WAIVER = "vendor: cpu, model: org/toy, check: regression, reason: r, expires: 2027-01-01"


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (
            "checks: {regresion: {}}",
            "checks: unknown check 'regresion'; checks: regression, full_base_ratio, ",
        ),
        ("checks: {regression: {sevrity: warn}}", "checks.regression.sevrity: unknown key"),
        ("checks: {regression: {severity: loud}}", "checks.regression.severity: "),
        ("checks: {regression: {minimum_results: 1}}", "checks.regression.minimum_results: "),
        ("checks: {full_base_ratio: {since: 2026-01-01}}", "checks.full_base_ratio.since: unknown key"),
        ("waivers: {}", "waivers: "),
        (f"waivers: [{{{WAIVER}}}]", "waivers: unknown model 'org--toy'; models: none"),
        (f"waivers: [{{{WAIVER.replace('cpu', 'cpuu')}}}]", "waivers.0.vendor: unknown vendor 'cpuu'; did"),
        (
            f"waivers: [{{{WAIVER.replace('regression', 'speed')}}}]",
            "waivers.0.check: unknown check 'speed'; checks and steps: regression, ",
        ),
        (
            f"waivers: [{{{WAIVER.replace('check: regression', 'component: gems')}}}]",
            "waivers.0.component: unknown component 'gems'; components: FlagGems, ",
        ),
        (f"waivers: [{{{WAIVER.replace('check: regression, ', '')}}}]", "waivers.0: name the `check` or"),
        (f"waivers: [{{{WAIVER.replace('reason: r', 'reason: ')}}}]", "waivers.0.reason: "),
        (
            f"waivers: [{{{WAIVER.replace('reason: r', chr(34).join(['reason: ', ' ', '']))}}}]",
            "waivers.0.re",
        ),
        (
            f"waivers: [{{{WAIVER.replace(', expires: 2027-01-01', '')}}}]",
            "waivers.0.expires: Field required",
        ),
        (f"waivers: [{{{WAIVER.replace('2027-01-01', 'never')}}}]", "waivers.0.expires: "),
    ],
)
def test_a_check_or_waiver_with_a_wrong_name_is_answered_with_the_names_that_there_are(
    file: Path, content: str, start: str
) -> None:
    assert complaint(file, content).startswith(start)


def test_a_waiver_names_vendor_and_model_as_people_do_and_is_about_their_keys(file: Path) -> None:
    file.write_text(
        "models: [{id: org/toy}]\n"
        "waivers: [{vendor: hcu, model: org/toy, component: FlagGems, reason: r, expires: 2027-01-01}]"
    )
    [waiver] = load_deployment(file).waivers
    assert waiver.concerns("hygon", "org--toy")
    assert not waiver.concerns("hygon", "org--other")
    assert not waiver.concerns("nvidia", "org--toy")


def test_off_is_off_although_yaml_reads_it_as_false(file: Path) -> None:
    file.write_text("checks: {output_drift: {severity: off}}")
    assert load_deployment(file).checks.output_drift.severity == "off"
