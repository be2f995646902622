"""A library can be kept from importing optional packages, and nothing else is."""

from __future__ import annotations

import sys
import wave

import pytest

from requests_app.platform import extras


def test_a_module_is_missing_inside_the_block_only() -> None:
    sys.modules.pop("colorsys", None)
    with extras.left_out("colorsys", "wave"):
        with pytest.raises(ImportError):
            import colorsys
        import wave as again
    assert again is wave, "what was loaded before is left alone"
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_after_a_failure_nothing_is_missing() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(ZeroDivisionError), extras.left_out("colorsys"):
        1 / 0  # noqa: B018 - fails
    import colorsys  # noqa: F401 - must not raise
