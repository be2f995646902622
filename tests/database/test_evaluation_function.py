"""The newest migration that changes the function of the decision point has it in full. Earlier ones undo changes."""

from __future__ import annotations

import pytest

from requests_app.migrations._evaluation import before


def test_each_change_is_undone() -> None:
    assert before("IF a AND b THEN c", {" AND b": "", "THEN c": "THEN d"}) == "IF a THEN d"


@pytest.mark.parametrize("text", ["IF a THEN c", "IF a AND b AND b THEN c"])
def test_a_change_that_is_not_there_once_is_refused_because_the_wrong_rule_could_be_lost(text: str) -> None:
    with pytest.raises(ValueError, match="not in the function once"):
        before(text, {" AND b": ""})
