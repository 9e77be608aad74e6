"""What a run did by its outputs: only those of base's own execution mode are held against base's."""

from __future__ import annotations

from typing import Any

import pytest

from container_scripts.failure_likeness import (
    UNCLEAR,
    WORKS,
    WRONG_OUTPUTS,
    Behaviour,
    Reference,
    read_behaviour,
)


def outputs(token: int) -> list[dict[str, Any]]:
    return [{"prompt_id": "p", "text": "a b", "token_ids": [token, 2], "top2_gap": [3.0, 3.0]}]


def behaviour(base_mode: str | None, mode: str | None, token: int = 1) -> Behaviour:
    config = {"execution": mode} if mode else {}
    document = {"status": "PASS", "phase": "offline", "outputs": outputs(token), "effective_config": config}
    return read_behaviour(document, "", 0, False, Reference(outputs(1), base_mode))


@pytest.mark.parametrize("token", [1, 9])
def test_outputs_of_another_execution_mode_neither_clear_nor_accuse(token: int) -> None:
    seen = behaviour("graphs", "eager", token)
    assert seen.kind == UNCLEAR
    assert "base ran in graphs mode and this run in eager mode" in seen.reason


@pytest.mark.parametrize("modes", [("eager", "eager"), (None, "eager"), ("eager", None), (None, None)])
def test_outputs_of_one_mode_or_an_unknown_one_are_compared(modes: tuple[str | None, str | None]) -> None:
    assert behaviour(*modes).kind == WORKS
    assert behaviour(*modes, token=9).kind == WRONG_OUTPUTS
