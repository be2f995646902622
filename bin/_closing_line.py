"""Print the result of each part of the test run, and one closing line over all parts in pytest's form."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree  # this run wrote the files itself

ORDER = ("failed", "passed", "skipped", "errors")


def counts_of(report: Path) -> tuple[Counter[str], float]:
    """Return the number of tests by result in a JUnit report, and the report's duration in seconds."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        number = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        counts["failed"] += number["failures"]
        counts["errors"] += number["errors"]
        counts["skipped"] += number["skipped"]
        counts["passed"] += number["tests"] - number["failures"] - number["errors"] - number["skipped"]
        seconds += float(suite.get("time", 0))
    return counts, seconds


def tried_again(report: Path) -> list[str]:
    """Return the tests in a JUnit report that needed more than one try, each with its number of tries."""
    return [
        f"{case.get('classname')}::{case.get('name')} ({tries.get('value')} tries)"
        for case in ElementTree.parse(report).getroot().iter("testcase")
        for tries in case.iterfind("properties/property[@name='tries']")
    ]


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name]) or "no tests"


def main(results: Path, took: float | None = None) -> int:
    """Print the result of each part, and the closing line.

    `took` is the time of the whole run. Without it, the times of the parts are added up.
    """
    total: Counter[str] = Counter()
    seconds = 0.0
    again: list[str] = []
    print()
    for record in sorted(results.glob("*.status"), key=lambda path: path.stat().st_mtime):
        status, report = int(record.read_text()), record.with_suffix(".xml")
        if report.exists():
            counts, lasted = counts_of(report)
            seconds += lasted
            again += tried_again(report)
            # If a run broke off without a failed test, it must not look like a success.
            if status and not counts["failed"] and not counts["errors"]:
                counts["errors"] += 1
            outcome = f"{counted(counts)} in {lasted:.0f} s"
        else:
            counts = Counter(passed=1) if status == 0 else Counter(failed=1)
            outcome = "ok" if status == 0 else f"FAILED (exit status {status})"
        total += counts
        print(f"{record.stem:<12} {outcome}")
    if again:
        print("\n".join([f"Tests that needed more than one try: {len(again)}", *again]))
    bad = total["failed"] + total["errors"]
    print(f"{f' {counted(total)} in {seconds if took is None else took:.2f}s ':=^80}")
    return 1 if bad or not total else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
