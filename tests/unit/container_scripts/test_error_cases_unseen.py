"""The unseen labelled failures: their form, and the figures on them, which no test may demand.

A bound on these figures would invite tuning the classifier on the cases, and then they measure nothing.
"""

from __future__ import annotations

from benchmarks.error_layers import CASES, UNSEEN_CASES, measure, read_cases
from container_scripts.error_vocabulary import (
    MEMORY,
    MODEL,
    MULTICHIP_COMPONENTS,
    NETWORK,
    TORCH,
    UNKNOWN,
    USER,
    VLLM,
)
from flagrelease_assets.catalog import load_catalog

FIELDS = {
    "id",
    "source",
    "vendor",
    "text",
    "layers",
    "component",
    "component_also",
    "fatal",
    "context",
    "why",
}
COMPONENTS = {*MULTICHIP_COMPONENTS, VLLM, TORCH, MEMORY, NETWORK, MODEL, USER, UNKNOWN}
LAYERS = {0, 1, 2, 3, 4, "X"}
FORBIDDEN_SOURCES = ("vllm-project", "flagos", "flagopen", "triton-lang", "tensorrt", "rocm", "torch_musa")
UNSEEN = read_cases(UNSEEN_CASES)


def normal(text: str) -> str:
    return " ".join(text.split())


def test_there_are_enough_cases_for_a_share_to_mean_something() -> None:
    assert len(UNSEEN) >= 60


def test_every_case_has_every_field_and_the_words_of_the_vocabulary() -> None:
    for case in UNSEEN:
        assert set(case) == FIELDS, case["id"]
        assert {case["component"], *case["component_also"]} <= COMPONENTS, case["id"]
        assert case["component"] not in case["component_also"], case["id"]
        assert case["layers"] and set(case["layers"]) <= LAYERS, case["id"]
        assert isinstance(case["fatal"], bool), case["id"]
        assert case["text"].strip() and case["why"].strip(), case["id"]
        assert len(case["text"].split("\n")) <= 40, case["id"]


def test_vendors_are_those_of_the_catalog() -> None:
    known = set(load_catalog().vendors)
    assert {case["vendor"] for case in UNSEEN} - {None} <= known


def test_no_case_is_told_twice_nor_known_from_the_first_set() -> None:
    texts = [normal(case["text"]) for case in UNSEEN]
    assert len(set(texts)) == len(texts)
    assert len({case["id"] for case in UNSEEN}) == len(UNSEEN)
    assert not set(texts) & {normal(case["text"]) for case in read_cases(CASES)}


def test_no_case_comes_from_where_the_check_cases_come_from() -> None:
    for case in UNSEEN:
        assert not [word for word in FORBIDDEN_SOURCES if word in case["source"].lower()], case["id"]


def test_every_layer_and_every_kind_of_answer_occurs() -> None:
    assert {layer for case in UNSEEN for layer in case["layers"]} == LAYERS
    assert {case["component"] for case in UNSEEN} >= {TORCH, MEMORY, NETWORK, MODEL, USER, UNKNOWN}
    assert {case["fatal"] for case in UNSEEN} == {True, False}


def test_the_figures_are_measured_but_not_demanded() -> None:
    found = measure(UNSEEN)
    print(found)
    assert found.cases == len(UNSEEN)
