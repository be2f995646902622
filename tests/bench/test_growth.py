"""The bench tells memory that grows from memory that has settled, and draws both."""

from __future__ import annotations

from xml.etree import ElementTree  # This test has made the text itself.

from bench.growth import Curve, svg

MB = 1_000_000


def curve(*megabytes: float) -> Curve:
    return Curve([60.0 * minute for minute in range(len(megabytes))], [int(each * MB) for each in megabytes])


def test_memory_that_settles_does_not_count_as_growth() -> None:
    assert curve(10, 80, 100, 100, 100, 100, 100, 100).growth() == 0


def test_memory_that_grows_counts_by_the_hour() -> None:
    assert round(curve(*(100 + minute for minute in range(12))).growth() / MB) == 60


def test_one_measurement_is_no_growth() -> None:
    assert curve(100).growth() == 0


def test_the_picture_has_a_line_and_a_name_for_each_part() -> None:
    found = ElementTree.fromstring(svg({"web": curve(50, 60, 70), "beat": curve(20, 20, 20)}))
    space = "{http://www.w3.org/2000/svg}"
    assert len(found.findall(f"{space}polyline")) == 2
    assert {"web", "beat"} <= {text.text for text in found.findall(f"{space}text")}
