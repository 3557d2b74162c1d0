"""The manifests against Kubernetes' own schemas, and against what the services need."""

import json
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
VERSION = "1.37"
FILES = sorted(path for path in ROOT.rglob("*.yaml") if path.name != "kustomization.yaml")
SERVICES = {"speed-layer", "batch-layer", "serving-layer", "genai-assistant"}

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed (Debian: kubernetes-client)"
)


def objects(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def base() -> list[dict]:
    return [
        found for path in FILES if path.parent.name == "base" for found in objects(path.read_text())
    ]


def workloads(found: list[dict]) -> dict[str, dict]:
    kinds = {"Deployment", "StatefulSet", "Job"}
    return {each["metadata"]["name"]: each for each in found if each["kind"] in kinds}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_object_fits_the_schema(path):
    for found in objects(path.read_text()):
        kubernetes_validate.validate(found, VERSION, strict=True)


@needs_kubectl
@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_builds_into_objects_that_fit_the_schema(overlay):
    built = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert built.returncode == 0, built.stderr
    found = objects(built.stdout)
    for each in found:
        kubernetes_validate.validate(each, VERSION, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "streamguard"
    assert set(workloads(found)) >= SERVICES | {"topics"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_probes_limits_and_no_rights(name):
    template = workloads(base())[name]["spec"]["template"]["spec"]
    (container,) = template["containers"]

    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert container["resources"]["limits"]["memory"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert template["securityContext"]["runAsNonRoot"] is True


def test_the_serving_layer_knows_as_many_speed_pods_as_there_may_be():
    serving = workloads(base())["serving-layer"]["spec"]["template"]["spec"]["containers"][0]
    (urls,) = [e["value"] for e in serving["env"] if e["name"] == "SERVING_SPEED_URLS"]
    scaling = yaml.safe_load((ROOT / "overlays/production/speed-layer-scaling.yaml").read_text())

    most = scaling["spec"]["maxReplicas"]
    assert urls.split(",") == [f"http://speed-layer-{n}.speed-layer:9101" for n in range(most)]


def test_the_assistants_key_comes_from_a_secret_that_may_be_missing():
    assistant = workloads(base())["genai-assistant"]["spec"]["template"]["spec"]["containers"][0]
    (key,) = [e for e in assistant["env"] if e["name"] == "ASSISTANT_SERVING_KEY"]

    assert key["valueFrom"]["secretKeyRef"] == {
        "name": "assistant-serving-key",
        "key": "key",
        "optional": True,
    }


def test_only_the_front_door_is_open_to_other_namespaces():
    policies = {
        each["metadata"]["name"]: each for each in base() if each["kind"] == "NetworkPolicy"
    }
    anyone = [
        name
        for name, policy in policies.items()
        if json.dumps({"namespaceSelector": {}}) in json.dumps(policy)
    ]

    assert anyone == ["serving-layer"]
    assert policies["nothing-by-default"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
