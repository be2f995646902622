"""The manifests for Kubernetes are valid, and keep the rules that `docs/kubernetes.md` promises."""

from __future__ import annotations

import argparse
import copy
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from lockbox_site.backup import restoring as restoring_command
from tests.deploy import rules
from tests.sources import ROOT, text_of

EXAMPLE = ROOT / "deploy" / "kubernetes" / "example"
#: The oldest version that providers still offer, and the newest whose schemas are here.
VERSIONS = ("1.30", "1.37")
#: Pods that end by themselves need no probes.
ENDING = {"Job", "CronJob"}
SECRETS = "/run/secrets/lockbox"

Manifest = dict[str, Any]


@cache
def rendered(overlay: Path = EXAMPLE) -> tuple[Manifest, ...]:
    assert shutil.which("kubectl"), "Install kubectl (Debian: kubernetes-client)."
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def pods(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, str, Manifest]]:
    """Yield the kind, the name and the pod's spec of each manifest that makes pods."""
    for each in manifests:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield each["kind"], each["metadata"]["name"], spec["template"]["spec"]


def breaches(manifests: tuple[Manifest, ...]) -> list[str]:
    return [line for kind, name, pod in pods(manifests) for line in pod_breaches(kind, name, pod)] + list(
        set_breaches(manifests)
    )


def pod_breaches(kind: str, name: str, pod: Manifest) -> Iterator[str]:
    held = pod.get("securityContext", {})
    if not (held.get("runAsNonRoot") and held.get("runAsUser", 0) >= 1000 and held.get("fsGroup", 0) >= 1000):
        yield f"{name}: may run as root"
    if held.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name}: no seccomp profile"
    if held.get("fsGroupChangePolicy") != "OnRootMismatch":
        yield f"{name}: each start opens the log's key to the group"
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{name}: has a token for the cluster"
    [container] = pod["containers"]
    pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])[-1]
    if pod.get("terminationGracePeriodSeconds", 30) < int(pause) + settings.STOP_SECONDS + 10:
        yield f"{name}: is killed before it can end"
    yield from container_breaches(name, container, has_probes=kind not in ENDING)
    mounted = {volume["name"]: volume for volume in pod["volumes"]}
    if mounted["secrets"]["secret"]["defaultMode"] & 0o337:
        yield f"{name}: others can read the secrets"
    missing = {mount["name"] for mount in container["volumeMounts"]} - set(mounted)
    if missing:
        yield f"{name}: no volume {sorted(missing)}"


def container_breaches(name: str, container: Manifest, *, has_probes: bool) -> Iterator[str]:
    limits = container.get("securityContext", {})
    if limits.get("allowPrivilegeEscalation") is not False or limits.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: can gain rights"
    if limits.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: its root can be written"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
        yield f"{name}: says not what it needs"
    probes = {"startupProbe", "livenessProbe", "readinessProbe"} if has_probes else set()
    if not probes <= set(container):
        yield f"{name}: lacks a probe"
    if has_probes and container.get("livenessProbe", {}).get("exec", {}).get("command", [])[-1:] != ["live"]:
        yield f"{name}: is restarted when the database is away"
    given = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
    if any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container.get("env", [])):
        yield f"{name}: a secret is in the environment"
    yield from rules.environment_breaches(name, given, set())
    yield from rules.word_breaches(name, container["args"])


def set_breaches(manifests: tuple[Manifest, ...]) -> Iterator[str]:
    """Judge the manifests together: settings, what signs, what a rollout or a drain of a node may stop."""
    kinds: dict[str, list[Manifest]] = {}
    for each in manifests:
        kinds.setdefault(each["kind"], []).append(each)
    if "Secret" in kinds:
        yield "A secret is in the manifests"
    [config] = kinds["ConfigMap"]
    files = {value for value in config["data"].values() if value.startswith(SECRETS)}
    yield from rules.environment_breaches(config["metadata"]["name"], config["data"], files)
    deployments = {each["metadata"]["name"].removeprefix("lockbox-"): each["spec"] for each in kinds["Deployment"]}
    holders = [name for _, name, pod in pods(manifests) if _claims(pod, "lockbox-signer") and "signer" in name]
    if holders != ["lockbox-signer"]:
        yield "No pod has the heads"
    signer = deployments["signer"]
    if signer["replicas"] != 1 or signer["strategy"] != {"type": "Recreate"}:
        yield "Two signers could use one heads file"
    guarded = {each["metadata"]["name"].removeprefix("lockbox-") for each in kinds["PodDisruptionBudget"]}
    for name, spec in deployments.items():
        if name != "signer" and spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
            yield f"{name}: a rollout takes it away"
        if (spec["replicas"] > 1) != (name in guarded):
            yield f"{name}: the budget for disruptions does not fit its replicas"
        ports = {port["name"]: port["containerPort"] for port in spec["template"]["spec"]["containers"][0]["ports"]}
        asked = {"http": settings.PORT} if name == "web" else {"metrics": int(config["data"]["METRICS_PORT"])}
        if not asked.items() <= ports.items() or not asked.keys() <= _open_ports(kinds["NetworkPolicy"], name):
            yield f"{name}: Prometheus can't read its counters"
        if spec["replicas"] > 1 and "topologySpreadConstraints" not in spec["template"]["spec"]:
            yield f"{name}: all pods may be on one node"


def _open_ports(policies: list[Manifest], name: str) -> set[str]:
    """Return the names of the ports of a part that others may reach."""
    found = set()
    for policy in policies:
        chosen = policy["spec"]["podSelector"].get("matchExpressions", [])
        if any(name in each["values"] for each in chosen if each["key"].endswith("/component")):
            found |= {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    return found


def _claims(pod: Manifest, claim: str) -> bool:
    return any(volume.get("persistentVolumeClaim", {}).get("claimName") == claim for volume in pod["volumes"])


@pytest.mark.parametrize("version", VERSIONS)
def test_each_manifest_is_valid(version: str) -> None:
    for each in rendered():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_validator_finds_a_mistake() -> None:
    wrong = copy.deepcopy(next(each for each in rendered() if each["kind"] == "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_manifests_keep_the_rules() -> None:
    assert breaches(rendered()) == []


def test_the_web_server_is_asked_for_its_own_part() -> None:
    [web] = [pod for _, name, pod in pods(rendered()) if name == "lockbox-web"]
    assert web["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/readyz?part=web", "port": "http"}
    assert "exec" not in web["containers"][0]["readinessProbe"]


def test_the_steps_of_a_rollout_select_what_they_need() -> None:
    """docs/kubernetes.md applies the settings and the Job first, by their labels, and then the rest."""
    steps = [each["metadata"]["labels"].get("app.kubernetes.io/component") for each in rendered()]
    assert None not in steps
    first = [each["kind"] for each, step in zip(rendered(), steps, strict=True) if step in ("settings", "migrate")]
    assert sorted(first) == ["ConfigMap", "Job"]


# --- The restore -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def restoring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """Return the manifests while the overlay has the lines that docs/kubernetes.md says."""
    place = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(EXAMPLE.parent, place)
    [lines] = re.findall(r"```yaml\n(components:\n.+?)```", text_of(ROOT / "docs" / "kubernetes.md"), flags=re.DOTALL)
    with (place / "example" / "kustomization.yaml").open("a") as file:
        file.write(lines)
    return rendered(place / "example")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_of_a_restore_are_valid(restoring: tuple[Manifest, ...], version: str) -> None:
    for each in restoring:
        kubernetes_validate.validate(each, version, strict=True)


def test_only_the_restore_runs_while_it_is_applied(restoring: tuple[Manifest, ...]) -> None:
    replicas = {each["spec"]["replicas"] for each in restoring if each["kind"] == "Deployment"}
    waits = {each["spec"]["suspend"] for each in restoring if each["kind"] == "CronJob"}
    jobs = [each["metadata"]["name"] for each in restoring if each["kind"] == "Job"]
    assert (replicas, waits, jobs) == ({0}, {True}, ["lockbox-restore"])
    # Without the component, each number is named again, so that applying it brings all parts back.
    assert all(each["spec"]["replicas"] >= 1 for each in rendered() if each["kind"] == "Deployment")
    assert not any(each["spec"].get("suspend") for each in rendered() if each["kind"] == "CronJob")


def test_the_restore_keeps_the_rules_of_the_other_jobs(restoring: tuple[Manifest, ...]) -> None:
    [(kind, name, pod)] = [each for each in pods(restoring) if each[1] == "lockbox-restore"]
    assert list(pod_breaches(kind, name, pod)) == []
    [(_, _, other)] = [each for each in pods(rendered()) if each[1] == "lockbox-migrate"]
    for field in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert pod[field] == other[field]
    [container], [like] = pod["containers"], other["containers"]
    for field in ("image", "securityContext"):
        assert container[field] == like[field]
    [config] = [each for each in restoring if each["kind"] == "ConfigMap"]
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]


def test_the_restore_writes_where_the_signer_reads_and_finds_what_the_timers_wrote(
    restoring: tuple[Manifest, ...],
) -> None:
    found = {name: pod for _, name, pod in pods(restoring)}
    at = {name: _claims_by_place(pod) for name, pod in found.items()}
    assert at["lockbox-restore"]["/var/lib/lockbox"] == at["lockbox-signer"]["/var/lib/lockbox"]
    assert at["lockbox-restore"]["/backup"] == at["lockbox-backup"]["/backup"]
    assert at["lockbox-restore"]["/heads"] == at["lockbox-heads"]["/heads"]
    command, *words = found["lockbox-restore"]["containers"][0]["args"]
    given = argparse.ArgumentParser()
    restoring_command.add_arguments(given)
    options = given.parse_args(words)
    assert (command, options.check, options.heads) == ("restore", False, "/heads")
    assert options.file.parent == Path("/backup")
    places = [mount["mountPath"] for mount in found["lockbox-restore"]["containers"][0]["volumeMounts"]]
    assert str(options.identity.parent) in places


def _claims_by_place(pod: Manifest) -> dict[str, str]:
    claims = {volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]}
    return {mount["mountPath"]: claims.get(mount["name"]) for mount in pod["containers"][0]["volumeMounts"]}


def changed(name: str, change: Callable[[Manifest, Manifest], object]) -> list[str]:
    manifests = copy.deepcopy(rendered())
    [found] = [each for each in manifests if each["kind"] == "Deployment" and each["metadata"]["name"] == name]
    pod = found["spec"]["template"]["spec"]
    change(found["spec"], pod)
    return breaches(manifests)


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        (lambda spec, pod: pod["securityContext"].pop("runAsNonRoot"), "may run as root"),
        (lambda spec, pod: pod["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda spec, pod: pod["securityContext"].pop("fsGroupChangePolicy"), "each start opens the log's key"),
        (lambda spec, pod: pod.update(automountServiceAccountToken=True), "has a token for the cluster"),
        (lambda spec, pod: pod.update(terminationGracePeriodSeconds=20), "is killed before it can end"),
        (lambda spec, pod: pod["volumes"][0]["secret"].update(defaultMode=0o444), "others can read the secrets"),
        (lambda spec, pod: pod["containers"][0].pop("startupProbe"), "lacks a probe"),
        (
            lambda spec, pod: pod["containers"][0]["livenessProbe"]["exec"].update(
                command=["customer-lockbox", "ready"]
            ),
            "is restarted when the database is away",
        ),
        (lambda spec, pod: pod["containers"][0].pop("resources"), "says not what it needs"),
        (lambda spec, pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"), "its root can be"),
        (lambda spec, pod: pod["containers"][0]["securityContext"].pop("capabilities"), "can gain rights"),
        (
            lambda spec, pod: pod["containers"][0].update(env=[{"name": "SECRET_KEY", "value": "k"}]),
            "SECRET_KEY is a secret in the environment",
        ),
        (lambda spec, pod: pod["containers"][0].update(args=["wbe"]), "there is no command wbe"),
        (lambda spec, pod: spec.update(replicas=1), "the budget for disruptions does not fit its replicas"),
        (lambda spec, pod: spec["strategy"]["rollingUpdate"].update(maxUnavailable=1), "a rollout takes it away"),
        (lambda spec, pod: pod.pop("topologySpreadConstraints"), "all pods may be on one node"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_found(change: Callable[[Manifest, Manifest], object], breach: str) -> None:
    found = changed("lockbox-web", change)
    assert any(breach in line for line in found), found


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, pod: spec.update(replicas=2),
        lambda spec, pod: spec.update(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}),
    ],
)
def test_a_second_signer_is_found(change: Callable[[Manifest, Manifest], object]) -> None:
    assert "Two signers could use one heads file" in changed("lockbox-signer", change)
