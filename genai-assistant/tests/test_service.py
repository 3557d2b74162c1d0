from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError

from genai_assistant.app import create_app
from genai_assistant.metrics import Metrics
from genai_assistant.settings import Settings

SPEC_METRICS = [
    "genai_query_duration_seconds",
    "genai_queries_total",
    "genai_openai_requests_total",
    "genai_openai_tokens_total",
    "genai_openai_cost_dollars",
    "genai_openai_duration_seconds",
    "genai_errors_total",
    "genai_data_source_duration_seconds",
    "genai_data_source_requests_total",
    "genai_confidence_score",
    "genai_supporting_events_count",
    "genai_threat_intel_count",
    "genai_service_up",
    "genai_dependency_health",
]


def test_health_of_a_whole_system(client):
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json() == {
        "status": "healthy",
        "services": {
            "serving_api": "healthy",
            "rag_service": "healthy",
            "openai": "disabled",
            "training_data": "healthy",
        },
        "lambda_architecture": {
            "speed_layer": "healthy",
            "batch_layer": "healthy",
            "serving_layer": "healthy",
        },
        "mode": "evidence",
    }


def test_health_without_the_serving_layer_is_degraded_and_200(open_client):
    response = open_client(serving_url="http://127.0.0.1:9").get("/health")

    body = response.json()
    assert (response.status_code, body["status"]) == (200, "degraded")
    assert body["services"]["serving_api"] == "unavailable"
    assert body["services"]["rag_service"] == "healthy"


def test_health_before_the_first_batch_run_says_so(client, serving):
    serving.world.run_id = None

    body = client.get("/health").json()
    assert body["lambda_architecture"]["batch_layer"] == "starting"
    assert body["services"]["training_data"] == "starting"
    assert body["status"] == "degraded"


def test_every_metric_of_the_spec_is_exposed(client):
    client.post("/query", json={"question": "Is user manager anomalous?"})
    client.get("/health")

    text = client.get("/metrics").text
    missing = [name for name in SPEC_METRICS if f"# TYPE {name}" not in text]
    assert missing == []
    assert 'genai_queries_total{kind="user_anomaly",mode="evidence"} 1.0' in text
    assert "genai_service_up 1.0" in text


def test_metrics_have_no_label_that_names_a_user():
    labels = {name for one in vars(Metrics()).values() for name in getattr(one, "_labelnames", ())}

    assert labels <= {
        "kind",
        "mode",
        "status",
        "type",
        "source",
        "dependency",
        "verdict",
        "gen_ai_operation_name",
        "gen_ai_request_model",
        "gen_ai_token_type",
    }


def test_the_api_describes_itself(client):
    assert client.get("/docs").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/query",
        "/health",
        "/metrics",
        "/rag/query",
        "/rag/seed",
        "/rag/reset",
    } <= paths.keys()


def test_retrieval_over_http(client):
    body = {"event_context": "many failed logins for one account", "top_k": 3}

    results = client.post("/rag/query", json=body).json()["results"]

    assert len(results) == 3
    assert any(one["id"].startswith("T1110") for one in results)


def test_retrieval_takes_an_event_as_json(client):
    context = {"event_type": "dns_query", "dns_details": {"query_type": "TXT", "status": None}}

    results = client.post("/rag/query", json={"event_context": context}).json()["results"]

    assert "T1071.004" in {one["id"] for one in results}


@pytest.mark.parametrize("top_k", [0, 21, "x"])
def test_top_k_is_bounded(client, top_k):
    body = {"event_context": "dns", "top_k": top_k}

    assert client.post("/rag/query", json=body).status_code == 422


def test_reset_and_seed_over_http(open_client, tmp_path):
    client = open_client(data_dir=tmp_path)
    question = {"event_context": "dns tunnelling"}

    assert client.delete("/rag/reset").json() == {"status": "reset", "documents": 0}
    assert client.post("/rag/query", json=question).json()["results"] == []
    assert client.get("/health").json()["services"]["rag_service"] == "unavailable"
    seeded = client.post("/rag/seed").json()
    assert seeded["status"] == "seeded"
    assert seeded["documents"] >= 62
    assert client.post("/rag/query", json=question).json()["results"]


def test_settings_listen_on_loopback_and_read_the_environment(monkeypatch):
    monkeypatch.setenv("ASSISTANT_PORT", "9999")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("ASSISTANT_MODEL_PRICES", '{"local": [1.0, 2.0]}')

    settings = Settings(_env_file=None)

    assert (settings.host, settings.port) == ("127.0.0.1", 9999)
    assert settings.has_model
    assert settings.model_prices == {"local": (1.0, 2.0)}


def test_no_key_or_a_blank_one_is_no_model(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " ")

    assert not Settings(_env_file=None).has_model


def test_secrets_are_read_from_files_unless_they_are_given(monkeypatch, tmp_path):
    for name in ("model", "own"):
        (tmp_path / name).write_text(f"key of {name}\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "model"))
    monkeypatch.setenv("ASSISTANT_SERVING_KEY_FILE", str(tmp_path / "own"))
    monkeypatch.setenv("ASSISTANT_SERVING_KEY", "given")

    settings = Settings(_env_file=None)

    assert settings.openai_api_key == SecretStr("key of model")
    assert settings.serving_key == SecretStr("given")


def test_an_empty_file_is_no_secret_and_a_missing_one_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "/dev/null")
    assert not Settings(_env_file=None).has_model

    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValidationError, match="missing cannot be read"):
        Settings(_env_file=None)


def test_the_app_stops_cleanly_with_the_analyst_on(serving, tmp_path):
    settings = Settings(_env_file=None, serving_url=serving.url, data_dir=tmp_path)

    with TestClient(create_app(settings)) as client:
        assert client.get("/health").status_code == 200


README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_documented():
    names = [
        field.validation_alias.choices[0] if field.validation_alias else f"ASSISTANT_{name.upper()}"
        for name, field in Settings.model_fields.items()
    ]

    assert [name for name in names if f"`{name}`" not in README] == []


def test_every_metric_is_documented():
    described = {
        family.name for family in Metrics().registry.collect() if family.name.startswith("genai")
    }

    assert [name for name in described if name not in README] == []
