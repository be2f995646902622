"""Runs the verifier in this process, on files that a test has written."""

from pathlib import Path
from typing import Any

from tests.verify.writer import Log, Written
from verify import lockbox_verify as lv


def judged(path: Path, **options: Any) -> dict[str, Any]:
    """Verify a file, and return the verdict as data. Keys, witnesses and checkpoints are given as text.

    Without `keys`, the verifier trusts the bundle's own key.
    """
    options.setdefault("trust_bundle_key", options.get("keys") is None)
    for name in ("keys", "witnesses"):
        if options.get(name) is not None:
            options[name] = [lv.key_of(each) for each in options[name]]
    if options.get("previous") is not None:
        options["previous"] = lv.checkpoint_of(options["previous"].encode())
    if options.get("consistency") is not None:
        options["consistency"] = lv.growth_of(options["consistency"].encode())
    return lv.verify(path, lv.Options(**options))


def verdict(bundle: Written, folder: Path, **options: Any) -> dict[str, Any]:
    return judged(bundle.zip(folder / "evidence.zip"), **options)


def problems(data: dict[str, Any]) -> list[tuple[Any, str]]:
    return [(each["index"], each["why"]) for each in data["problems"]]


def is_good(data: dict[str, Any]) -> bool:
    assert (data["result"] == "good") == (data["exit"] == 0 and data["problems"] == data["gaps"] == [])
    return bool(data["result"] == "good")


def receipt(log: Log, index: int, folder: Path) -> Path:
    path = folder / "entry.tlog-proof"
    path.write_text(log.receipt(index), "utf-8")
    return path
