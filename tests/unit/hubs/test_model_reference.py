"""References: what a deployment may write, and what would break a URL or a partition key."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from flagrelease_assets.hubs.base import ModelFile, ModelReference, ModelSource, ModelVersionFacts
from flagrelease_assets.hubs.problem import LookupProblem

HUB = ModelReference(id="org/model", source=ModelSource.HUGGINGFACE)


def facts(revision: str = "abc1234", files: tuple[tuple[str, int], ...] = (("a", 1),)) -> ModelVersionFacts:
    return ModelVersionFacts.of(
        HUB,
        revision=revision,
        last_modified=None,
        files=[ModelFile(name=name, bytes=size) for name, size in files],
        config=None,
    )


@pytest.mark.parametrize(
    "model_id", ["../etc", "org/../x", "org/model?x=1", "org/a/b", "org|model", "", "a b/c"]
)
def test_an_id_that_could_leave_its_place_in_a_url_is_refused(model_id: str) -> None:
    with pytest.raises(ValidationError):
        ModelReference.model_validate({"id": model_id, "source": "huggingface"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "folder"}, "needs `path`"),
        ({"source": "folder", "path": "models/x"}, "absolute path"),
        ({"source": "folder", "path": "/models/x", "revision": "v1"}, "no revisions"),
        ({"source": "huggingface", "path": "/models/x"}, "for source folder only"),
    ],
)
def test_fields_that_do_not_fit_the_source_say_what_to_change(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelReference.model_validate({"id": "org/model", **fields})


def test_modelscope_needs_an_organisation_but_hugging_face_has_models_without_one() -> None:
    assert ModelReference.model_validate({"id": "gpt2", "source": "huggingface"}).id == "gpt2"
    with pytest.raises(ValidationError, match="organisation/name"):
        ModelReference.model_validate({"id": "gpt2", "source": "modelscope"})


def test_data_version_depends_on_revision_and_files_but_not_on_their_order() -> None:
    base = facts(files=(("a", 1), ("b", 2)))
    assert base.data_version == facts(files=(("b", 2), ("a", 1))).data_version
    others = [
        facts("abc1235", (("a", 1), ("b", 2))),
        facts(files=(("a", 1), ("b", 3))),
        facts(files=(("a", 1),)),
    ]
    assert len({base.data_version, *(other.data_version for other in others)}) == 4


def test_facts_survive_being_stored_as_json() -> None:
    assert ModelVersionFacts.model_validate_json(facts().model_dump_json()) == facts()


def test_a_version_without_files_is_a_problem_and_no_version() -> None:
    with pytest.raises(LookupProblem, match="no files"):
        facts(files=())
