"""A loop over cases reports every case that fails. A loop without cases fails."""

from __future__ import annotations

import pytest

from tests.offenders import collected


def _walk() -> None:
    with collected() as case:
        for name in ("good", "wrong", "broken", "silent"):
            with case(name, 7):
                assert name != "wrong"
                if name == "broken":
                    raise RuntimeError("no answer")
                if name == "silent":
                    with pytest.raises(ValueError, match="never"):
                        pass


def test_each_case_that_fails_is_reported_by_its_name() -> None:
    with pytest.raises(pytest.fail.Exception) as report:
        _walk()
    text = str(report.value)
    assert text.startswith("3 of 4 cases failed:")
    assert "wrong, 7: AssertionError: assert 'wrong' != 'wrong'" in text
    assert "broken, 7: RuntimeError: no answer" in text
    assert "silent, 7: Failed: DID NOT RAISE" in text
    assert text.count(f"at {__file__}:") == 3
    assert "good, 7" not in text


def test_a_loop_without_a_case_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="no case"), collected():
        pass
