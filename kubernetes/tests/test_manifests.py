"""The manifests against Kubernetes' own schemas, and against what the services need."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
VERSION = "1.37"
FILES = sorted(path for path in ROOT.rglob("*.yaml") if path.name != "kustomization.yaml")
SERVICES = {"speed-layer", "batch-layer", "serving-layer", "genai-assistant"}

SCRAPED = ROOT.parent / "monitoring" / "prometheus" / "kubernetes.yml"


def without_kustomize() -> str:
    """Say why overlays cannot be built here; empty where they can."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return "kubectl is not installed (Debian: kubernetes-client)"
    asked = [kubectl, "version", "--client", "-o", "json"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
    # Before kubectl 1.24 the answer has no such line, and kustomize no labels of templates.
    return "" if "kustomizeVersion" in said else "this kubectl's kustomize is too old"


needs_kustomize = pytest.mark.skipif(bool(without_kustomize()), reason=without_kustomize())


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


@cache
def rendered(overlay: str) -> list[dict]:
    built = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    return objects(built.stdout)


@needs_kustomize
@pytest.mark.parametrize("overlay", ["local", "production"])
def test_an_overlay_builds_into_objects_that_fit_the_schema(overlay):
    found = rendered(overlay)

    for each in found:
        kubernetes_validate.validate(each, VERSION, strict=True)
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == "streamguard"
    assert set(workloads(found)) >= SERVICES | {"topics"}


def chooses(selector: dict, labels: dict[str, str]) -> bool:
    """Whether a label selector (matchLabels, and matchExpressions with In) fits."""
    wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        wanted.append((each["key"], each["values"]))
    return all(labels.get(key) in values for key, values in wanted)


@needs_kustomize
@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_policy_speaks_of_pods_that_there_are(overlay):
    found = rendered(overlay)
    pods = {
        name: each["spec"]["template"]["metadata"]["labels"]
        for name, each in workloads(found).items()
    }
    chosen = {}
    for policy in (each for each in found if each["kind"] == "NetworkPolicy"):
        spec, name = policy["spec"], policy["metadata"]["name"]
        chosen[name] = {pod for pod in pods if chooses(spec["podSelector"], pods[pod])}
        assert chosen[name], f"{name} chooses no pod"
        sources = [each for rule in spec.get("ingress", []) for each in rule["from"]]
        for selector in (each["podSelector"] for each in sources if "podSelector" in each):
            assert any(chooses(selector, labels) for labels in pods.values()), name

    assert chosen["metrics"] >= SERVICES
    # What a selector chooses must not change with the labels of a release.
    for each in workloads(found).values():
        assert set(each["spec"].get("selector", {}).get("matchLabels", {})) <= {
            "app.kubernetes.io/name"
        }


@needs_kustomize
@pytest.mark.parametrize("overlay", ["local", "production"])
def test_every_service_logs_json(overlay):
    found = rendered(overlay)
    maps = {each["metadata"]["name"]: each for each in found if each["kind"] == "ConfigMap"}

    for name in SERVICES:
        (container,) = workloads(found)[name]["spec"]["template"]["spec"]["containers"]
        given = [
            each["configMapRef"]["name"] for each in container["envFrom"] if "configMapRef" in each
        ]
        settings = {key: value for each in given for key, value in maps[each]["data"].items()}
        assert settings["LOG_FORMAT"] == "json", name


def test_prometheus_has_a_key_for_the_serving_layer_and_for_no_other():
    jobs = yaml.safe_load(SCRAPED.read_text())["scrape_configs"]
    actions = {
        job["job_name"]: {
            (rule["action"], rule["regex"]) for rule in job["relabel_configs"] if "action" in rule
        }
        for job in jobs
        if "authorization" in job
    }

    assert actions == {"streamguard-serving-layer": {("keep", "serving-layer")}}


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
