"""Writes the bill of materials of a release (SBOM, CycloneDX 1.6) from the lock file. Same input, same bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from collections import defaultdict
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

VERSION = SchemaVersion.V1_6
#: One package of the lock file: its name, its version, on which systems it is needed, and the lines after it.
_PACKAGE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?: ?; ?(?P<marker>[^\\\n]+?))? *\\?\n"
    r"(?P<rest>(?:[ \t]+.*\n?)*)",
    re.MULTILINE,
)
#: The lock file's own word for the direct dependencies.
_DIRECT = "-r requirements.in"


def of(lock: Path, *, version: str, commit: str, epoch: int, wheel: Path) -> str:
    """Return the document. `epoch` is the time of the commit. Raise ValueError if the document breaks its schema."""
    text = lock.read_text(encoding="utf-8")
    found = {match["name"]: match for match in _PACKAGE.finditer(text)}
    if len(found) != len(re.findall(r"^[A-Za-z0-9].*==", text, re.MULTILINE)):
        raise ValueError(f"{lock} has lines that are not understood.")
    root = _root(version, commit, wheel)
    components = {name: _component(match) for name, match in found.items()}
    bom = Bom(
        components=components.values(),
        # Derived and not random: it names these packages, and nothing else.
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{commit} {hashlib.sha256(text.encode()).hexdigest()}"),
        metadata=BomMetaData(component=root, timestamp=dt.datetime.fromtimestamp(epoch, dt.UTC)),
    )
    needs = _needs(found)
    for name, component in {_DIRECT: root, **components}.items():
        bom.register_dependency(component, [components[each] for each in sorted(needs[name])])
    document = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=1) + "\n"
    if fault := JsonStrictValidator(VERSION).validate_str(document):
        raise ValueError(f"The bill of materials breaks its schema: {fault}")
    return document


def _root(version: str, commit: str, wheel: Path) -> Component:
    return Component(
        name="customer-lockbox",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="customer-lockbox",
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
        purl=PackageURL("pypi", name="customer-lockbox", version=version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(wheel.read_bytes()).hexdigest())],
        properties=[Property(name="customer-lockbox:commit", value=commit)],
    )


def _component(match: re.Match[str]) -> Component:
    name, version = match["name"], match["version"]
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", match["rest"])
    return Component(
        name=name,
        version=version,
        bom_ref=name,
        purl=PackageURL("pypi", name=name, version=version),
        properties=[Property(name="customer-lockbox:marker", value=match["marker"])] if match["marker"] else [],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(f"https://pypi.org/project/{name}/{version}/"),
                # Each file of the package: its source, and its wheels for the systems.
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
            )
        ],
    )


def _needs(found: dict[str, re.Match[str]]) -> dict[str, set[str]]:
    """Return which packages each package needs, from the comments of the lock file (`# via`)."""
    needs: dict[str, set[str]] = defaultdict(set)
    for name, match in found.items():
        comment = match["rest"].partition("# via")[2].replace("#", "")
        for line in comment.splitlines():
            if needed_by := line.strip():
                needs[needed_by].add(name)
    return needs
