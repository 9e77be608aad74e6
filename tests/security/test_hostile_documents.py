"""Documents of hostile size, depth or spelling are refused by every reader, with the file and the limit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from container_scripts.model_files import inspect_model, list_files
from flagrelease_assets.catalog import CatalogDataError, load_catalog, with_stack_releases
from flagrelease_assets.deployment import DeploymentError, load_deployment
from flagrelease_assets.hubs import listing
from flagrelease_assets.hubs.config_facts import ConfigFacts
from flagrelease_assets.hubs.problem import LookupProblem
from flagrelease_assets.results.store import ResultStore, StoredResultError
from flagrelease_assets.strict_reading import (
    MAX_CONFIGURATION_BYTES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_YAML_NODES,
    RefusedDocumentError,
    TooLargeError,
    parse_json,
    parse_yaml,
    read_ordinary,
)
from flagrelease_assets.workers.job_results import parse_result

DEEP = 100_000
ALIAS_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
HOSTILE_YAML = {
    "flow sequences": ("models: " + "[" * DEEP, f"deeper than {MAX_DEPTH} levels"),
    "closed flow sequences": ("models: " + "[" * DEEP + "]" * DEEP, f"deeper than {MAX_DEPTH} levels"),
    "block sequences": ("- " * DEEP + "x", f"deeper than {MAX_DEPTH} levels"),
    "flow mappings": ("{a: " * DEEP, f"deeper than {MAX_DEPTH} levels"),
    "aliases that unfold without end": (ALIAS_BOMB, f"more than {MAX_YAML_NODES} values"),
    "a value that contains itself": ("models: &m [*m]", "&m contains itself"),
    "a key in itself": ("&m {a: *m}", "&m contains itself"),
    "a number without end": ("results: " + "9" * 5000, f"more than {MAX_DIGITS} digits"),
    "a negative number without end": ("results: -" + "9" * 5000, f"more than {MAX_DIGITS} digits"),
    "a key given twice": ("results: a\nresults: b", "'results' is given twice in line 2"),
    "a date that is none": ("results: 2026-99-99", "month must be in"),
    "an object of Python": (
        "results: !!python/object/apply:os.getcwd []",
        "could not determine a constructor",
    ),
    "a key that is a list": ("? [a]\n: b", "unhashable key"),
}
HOSTILE_JSON = {
    "lists": ("[" * DEEP, f"deeper than {MAX_DEPTH} levels"),
    "mappings": ('{"a":' * DEEP, f"deeper than {MAX_DEPTH} levels"),
    "one level too many": ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels"),
    "a number without end": ("9" * 5000, f"more than {MAX_DIGITS} digits"),
    "not a number": ('{"a": NaN}', "NaN is no JSON number"),
    "infinity": ('{"a": -Infinity}', "-Infinity is no JSON number"),
    "a key given twice": ('{"a": {"b": 1, "b": 2}}', "'b' is given twice"),
}


def huge(path: Path) -> Path:
    """Make a file of 1 GB that takes no room."""
    with path.open("wb") as handle:
        handle.truncate(1 << 30)
    return path


@pytest.mark.parametrize(("text", "reason"), HOSTILE_YAML.values(), ids=HOSTILE_YAML.keys())
def test_hostile_yaml_is_refused_before_anything_is_built_of_it(text: str, reason: str) -> None:
    with pytest.raises(RefusedDocumentError, match=reason):
        parse_yaml(text.encode())


@pytest.mark.parametrize(("text", "reason"), HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
def test_hostile_json_is_refused_with_the_limit(text: str, reason: str) -> None:
    with pytest.raises(RefusedDocumentError, match=reason):
        parse_json(text)


def test_brackets_in_strings_are_no_depth_and_as_many_levels_as_allowed_are_read() -> None:
    assert parse_json(json.dumps({"[" * DEEP: '\\"' + "{" * DEEP})) == {"[" * DEEP: '\\"' + "{" * DEEP}
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json("[" + ",".join(["[[]]"] * DEEP) + "]")


def test_an_alias_used_as_people_do_is_read() -> None:
    assert parse_yaml(b"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES)
def test_every_ordinary_value_comes_back_as_it_was_written(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.text() | st.text('[]{}",:\\ \n0123456789aeNflnrstu'))
@example('"\\')
@example('"' * 99)
def test_no_text_makes_the_json_reader_raise_anything_else(text: str) -> None:
    try:
        parse_json(text)
    except (json.JSONDecodeError, RefusedDocumentError):
        return


@given(st.binary() | st.text("[]{}&*a:-?!|>'\"%@`,# \n\t019.eN~<=", max_size=60).map(str.encode))
@example(b"\xff\xfe\x00a")
@example(b"=")
@example(b"<<: a")
@example(b"!!timestamp x")
@example(b"!!int x")
@example(b"!!int ''")
@example(b"!!bool x")
@example(b"!!set [a]")
@example(b"!!omap x")
@example(b"!!binary x")
@example(b"1:" + b"9" * 400)
@example(b"!!float 1:x")
def test_no_bytes_make_the_yaml_reader_raise_anything_else(content: bytes) -> None:
    try:
        parse_yaml(content)
    except RefusedDocumentError as error:
        assert "\n" not in str(error)


@given(st.dictionaries(st.text("abc", min_size=1), st.lists(st.text("abc1 -:#'\"") | st.integers())))
def test_yaml_that_was_written_for_people_comes_back(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value).encode()) == value


@pytest.mark.parametrize("text", [*(text for text, _ in HOSTILE_YAML.values())], ids=HOSTILE_YAML.keys())
def test_a_hostile_deployment_file_is_one_line_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "flagrelease.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeploymentError) as raised:
        load_deployment(file)
    assert str(file) in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("text", [*(text for text, _ in HOSTILE_YAML.values())], ids=HOSTILE_YAML.keys())
def test_a_hostile_stack_release_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogDataError, match=r"own\.yaml"):
        with_stack_releases(load_catalog(), [file])


def _deployment(path: Path) -> None:
    load_deployment(path)


def _stack_release(path: Path) -> None:
    with_stack_releases(load_catalog(), [path])


@pytest.mark.parametrize(
    ("read", "error"), [(_deployment, DeploymentError), (_stack_release, CatalogDataError)]
)
def test_a_configuration_file_of_a_gigabyte_is_not_read_to_its_end(
    read: Callable[[Path], None], error: type[Exception], tmp_path: Path
) -> None:
    file = huge(tmp_path / "big.yaml")
    with pytest.raises(error, match=f"big.yaml.*larger than {MAX_CONFIGURATION_BYTES} bytes"):
        read(file)


@pytest.mark.parametrize(
    ("read", "error"), [(_deployment, DeploymentError), (_stack_release, CatalogDataError)]
)
def test_a_pipe_in_place_of_a_configuration_file_is_not_waited_for(
    read: Callable[[Path], None], error: type[Exception], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(error, match=r"pipe\.yaml.*no ordinary file"):
        read(tmp_path / "pipe.yaml")


def test_a_device_is_no_document() -> None:
    with pytest.raises(RefusedDocumentError, match="no ordinary file"):
        read_ordinary(Path("/dev/zero"), 1000)


def test_a_file_of_just_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_ordinary(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(TooLargeError, match="larger than 9 bytes"):
        read_ordinary(tmp_path / "a", 9)


@pytest.mark.parametrize(("text", "reason"), HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
def test_a_hostile_result_of_a_worker_is_a_result_problem_with_the_limit(text: str, reason: str) -> None:
    result = parse_result(f'{{"run_token": "t", "extra": {text}}}', "t")
    assert (result.document, result.problem) == (None, "not_json")
    assert reason in (result.detail or "")


def test_a_result_of_the_greatest_depth_can_be_stored_and_read_back() -> None:
    text = '{"run_token": "t", "extra": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    assert parse_result(text, "t").document is not None


@pytest.mark.parametrize("name", ["lists", "mappings", "a number without end", "a key given twice"])
def test_a_hostile_config_of_a_model_defers_the_model(name: str) -> None:
    text, reason = HOSTILE_JSON[name]
    with pytest.raises(LookupProblem, match=f"config.json.*{reason}"):
        ConfigFacts.from_json(text.encode())


def test_the_infinity_in_the_config_of_some_real_models_is_no_reason_to_refuse_them() -> None:
    assert ConfigFacts.from_json(b'{"time_step_limit": [0.0, Infinity], "n_layer": 24}').layers == 24


HOSTILE_RESULTS = {
    "lists": ('{"conclusion": ' + "[" * DEEP, "recursion limit"),
    "number": ('{"schema_version": ' + "9" * 5000 + "}", "number out of range"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE_RESULTS.values(), ids=HOSTILE_RESULTS.keys())
def test_a_hostile_file_among_the_results_is_named_and_kept(text: str, reason: str, tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    latest = Path(str(store.folder("model_snapshot", "cpu", "toy"))) / "latest.json"
    latest.parent.mkdir(parents=True)
    latest.write_text(text)
    with pytest.raises(StoredResultError, match=f"latest.json.*{reason}"):
        store.latest("model_snapshot", "cpu", "toy")
    assert latest.exists()


def test_a_gigabyte_or_a_pipe_among_the_results_is_named_with_the_limit_and_not_read(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    folder = Path(str(store.folder("model_snapshot", "cpu", "toy")))
    folder.mkdir(parents=True)
    huge(folder / "latest.json")
    os.mkfifo(folder / "latest_pass.json")
    with pytest.raises(StoredResultError, match=r"latest\.json: larger than 50000000 bytes"):
        store.latest("model_snapshot", "cpu", "toy")
    with pytest.raises(StoredResultError, match=r"latest_pass\.json: no ordinary file"):
        store.latest_pass("model_snapshot", "cpu", "toy")


def test_a_model_whose_config_is_hostile_is_named_with_the_file_by_the_worker(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    for text in ("[" * DEEP, '{"a":' * DEEP, "9" * 5000):
        (tmp_path / "config.json").write_text(text)
        assert "config.json" in inspect_model(str(tmp_path))["error"]
    huge(tmp_path / "config.json")
    assert "config.json" in inspect_model(str(tmp_path))["error"]


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_text("x")
    for name in ("back", "again", "more"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    assert list_files(str(tmp_path)) == [("a/weights", 1)]


@pytest.mark.parametrize("link", ["<http://[>", "<http://x:port>", "", "<>", "<\x01>"])
def test_a_next_page_that_is_no_address_ends_the_listing_of_a_hub(link: str) -> None:
    headers = httpx.Headers({"link": f'{link}; rel="next"'})
    following = next(listing._next_page(headers), None)
    assert following is None or not following.params
