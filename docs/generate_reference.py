"""Write the reference pages that follow from the code: settings, metrics, API.

Run ``python docs/generate_reference.py`` after a change; a test compares the pages with the code.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from pydantic_settings import BaseSettings

from batch_layer import app as batch_app
from batch_layer.settings import Settings as BatchSettings
from detection import sigma
from detection.rules import Correlation
from genai_assistant import app as assistant_app
from genai_assistant.settings import Settings as AssistantSettings
from serving_layer import app as serving_app
from serving_layer.settings import Settings as ServingSettings
from speed_layer import api as speed_api
from speed_layer.metrics import Metrics as SpeedMetrics
from speed_layer.status import Status as SpeedStatus

REFERENCE = Path(__file__).parent / "reference"
PACKAGES = (
    "contracts",
    "event_generator",
    "speed_layer",
    "batch_layer",
    "serving_layer",
    "genai_assistant",
    "local_stack",
)
# What prometheus_client's ProcessCollector adds in each service.
PROCESS = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
)
SERVICES = ("speed_layer", "batch_layer", "serving_layer", "genai_assistant")


def modules(package: str) -> Iterable[Any]:
    """Import every module of a package but its test doubles and entry point."""
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if found.name.rsplit(".", 1)[-1] not in {"testing", "__main__"}:
            yield importlib.import_module(found.name)


def settings_page() -> str:
    """Return every setting of every package: variable, default, meaning."""
    lines = [
        "# Settings",
        "",
        "Read once at start from the environment (`.env` in the repository's root for the local stack and Compose).",
        "Traces are set up by OpenTelemetry's own `OTEL_*` variables: [how to](../how-to/traces.md).",
        "Written by `python docs/generate_reference.py`.",
    ]
    for package in PACKAGES:
        classes = {
            value
            for module in modules(package)
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, BaseSettings)
            and value.__module__.startswith(package)
        }
        for found in sorted(classes, key=lambda value: (value.__module__, value.__name__)):
            lines += ["", f"## {package}: {found.__name__}", "", "| variable | default | meaning |"]
            lines += ["|---|---|---|", *_settings_rows(found)]
    return "\n".join(lines) + "\n"


def _settings_rows(found: type[BaseSettings]) -> Iterable[str]:
    prefix = found.model_config.get("env_prefix", "")
    for name, field in found.model_fields.items():
        alias = field.validation_alias
        choices = getattr(alias, "choices", [alias] if isinstance(alias, str) else [])
        variable = (
            " or ".join(f"`{choice}`" for choice in choices) or f"`{(prefix + name).upper()}`"
        )
        default = (
            "required"
            if field.is_required()
            else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        yield f"| {variable} | {default} | {field.description or ''} |"


def _shown(default: object) -> object:
    """Return a default as the page shows it: sets have no order of their own."""
    return ", ".join(sorted(default)) if isinstance(default, set | frozenset) else default


METRIC_TYPES = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "ColumnHistogram": "histogram",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
    "HistogramMetricFamily": "histogram",
    "counter": "counter",
    "gauge": "gauge",
}


def metrics_page() -> str:
    """Return every metric that a service declares: name, type, labels, meaning."""
    lines = [
        "# Metrics",
        "",
        "Served at `/metrics` of each service. Written by `python docs/generate_reference.py`.",
        "Every service also serves the process's own: "
        + ", ".join(f"`{m}`" for m in PROCESS)
        + ".",
    ]
    for package in SERVICES:
        source = Path(importlib.import_module(package).__file__ or "").parent
        rows = {row for path in source.rglob("*.py") for row in _metric_rows(path.read_text())}
        lines += ["", f"## {package}", "", "| metric | type | labels | meaning |"]
        lines += ["|---|---|---|---|", *sorted(rows)]
    return "\n".join(lines) + "\n"


def _metric_rows(source: str) -> Iterable[str]:
    """Find the declarations in a module's source: constructor calls with a literal name."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = METRIC_TYPES.get(node.func.id)
        words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if kind is None or len(words) < 2 or not isinstance(words[0], str):
            continue
        values = [
            *node.args,
            *(k.value for k in node.keywords if k.arg in {"labels", "labelnames"}),
        ]
        labels = [
            part.value
            for value in values
            if isinstance(value, ast.List | ast.Tuple)
            for part in value.elts
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        suffix = "_total" if kind == "counter" and not words[0].endswith("_total") else ""
        yield f"| `{words[0]}{suffix}` | {kind} | {', '.join(labels)} | {words[1]} |"


def applications() -> dict[str, FastAPI]:
    """Build each service's application; nothing is started."""
    return {
        "speed_layer": speed_api.create_app(SpeedStatus("reference"), SpeedMetrics()),
        "batch_layer": batch_app.create_app(BatchSettings(_env_file=None)),
        "serving_layer": serving_app.create_app(ServingSettings(_env_file=None)),
        "genai_assistant": assistant_app.create_app(AssistantSettings(_env_file=None)),
    }


INTRODUCTIONS = {
    "speed_layer": (
        "Port 9101. Answers for the partitions that this process owns. How the serving layer uses "
        "`/positions`, `/tail` and `/alerts`: [data formats](data-formats.md)."
    ),
    "batch_layer": (
        "Port 8080. Keys are camelCase. Every call but `/metrics` and `/stop` is refused with 503 "
        "`SERVICE_UNAVAILABLE` until the Spark session is up, and may fail with 500 "
        "`INTERNAL_ERROR`. A bad body or parameter is 400 `INVALID_REQUEST`."
    ),
    "serving_layer": (
        "Port 8081, and 8082 for the dashboard at `/`, which both ports serve. A parameter that a "
        "call does not have is refused with 422. Lists are newest first; `cursor` pages them."
    ),
    "genai_assistant": "Port 8002. Answers 200 also when a source or the model fails: `mode` says so.",
}

PROMETHEUS = "Prometheus text"
AGGREGATED = "`{batchId, analysisType, data[]}`; of `full_report`, `data` is a list per analysis"

NOTES: dict[str, dict[str, tuple[str, str]]] = {
    "speed_layer": {
        "GET /positions": (
            "`{instance, partitions[{topic, partition, first_offset, segments_from, next_offset, "
            "high_watermark, rows, dead_letters, duplicates, skipped, lost}]}`",
            "",
        ),
        "GET /segments": (
            "Arrow stream, headers `X-First-Offset`, `X-Next-Offset`, `X-Alerts`; 204 when nothing "
            "came within `wait_ms`",
            "404 not the owner, 410 `{segments_from}` pruned, 422",
        ),
        "GET /tail": (
            "Arrow streams, one after the other, header `X-Ranges`; 204 when nothing came within "
            "`wait_ms`",
            "422",
        ),
        "GET /alerts": (
            "`{alerts[{topic, partition, offset, ...alert}]}`",
            "404 not the owner, 422",
        ),
        "GET /features/{user}": (
            "`{user, first_seen, last_seen, ...}` and the 28 features",
            "404 unknown user",
        ),
        "GET /health": ("`{status: healthy}`", "503 `{status, reason, since}`"),
        "GET /metrics": (PROMETHEUS, ""),
    },
    "batch_layer": {
        "GET /health": ("`{status, spark, uptime}`, seconds", ""),
        "GET /metrics": (PROMETHEUS, ""),
        "POST /stop": ("`{status: shutting_down}`", ""),
        "POST /stream/start": ("`{status: started, queryIds[]}`", ""),
        "POST /stream/stop": ("`{status: stopped, queriesStopped}`", ""),
        "GET /stream/status": (
            "`{active, topic, queries[{id, name, isActive, lastProgress, recentProgress, restarts, "
            "exception, lastError}]}`",
            "",
        ),
        "POST /batch/run": ("`{batchId, status: PENDING}`", ""),
        "GET /batch/data/{batch_id}": (
            "`{batchId, status, rowCount, page{limit, offset, returned, hasMore}, data[]}`, headers "
            "`X-Total-Count`, `X-Page-Size`, `X-Page-Offset`",
            "",
        ),
        "GET /batch/data/{batch_id}/aggregated": (AGGREGATED, ""),
        "GET /tables": ("`{tables[]}`", ""),
        "GET /tables/{name}/data": (
            "`{table, version, rowCount, page{limit, offset, returned, hasMore}, data[]}`",
            "",
        ),
        "GET /tables/{name}/history": ("`{table, history[]}`", ""),
        "POST /tables/{name}/optimize": ("`{table, result[]}`", ""),
        "POST /tables/{name}/zorder": ("`{table, result[]}`", ""),
        "POST /tables/{name}/vacuum": ("`{table, result[]}`", ""),
    },
    "serving_layer": {
        "GET /api/alerts/stream": ("server-sent events of type `alert`", ""),
        "GET /api/health/ready": ("`{status}`; 503 `{status, reason}` or a problem", ""),
        "GET /api/health/status": (
            "`{status, ready, complete, incomplete_reason, run_id, run_failure{file, reason}, "
            "freshness_seconds, speed[{topic, partition, instance, failure}]}`",
            "",
        ),
        "GET /api/metrics": (
            "`{events{total, batch, realtime}, anomalies, alerts, analyses, high_threat_events, "
            "average_threat_score, complete, freshness_seconds, lag_records, swaps, run{run_id, "
            "age_seconds, users, anomalous_users}, partitions[{topic, partition, seam, "
            "next_offset}]}`",
            "",
        ),
        "GET /api/runs": (
            "`{current, runs[]}`: manifests without their lists of files, with `files` and `events`",
            "",
        ),
        "GET /api/spark-metrics": ("`{health, total, runs[]}`", ""),
        "GET /api/training-data/report": (
            "`{total_users, anomalous_users, anomaly_rate, top_anomalies[], notes[]}`",
            "",
        ),
        "GET /metrics": (PROMETHEUS, ""),
    },
    "genai_assistant": {
        "GET /metrics": (PROMETHEUS, ""),
        "POST /query/stream": (
            "server-sent events `understood`, `evidence`, `part`, last `answer`: an `Answer`",
            "",
        ),
    },
}
"""Answers and errors that a service's OpenAPI document does not hold."""


def api_page() -> str:
    """Return every call of every service: parameters, answer, errors, and the bodies."""
    lines = [
        "# REST API",
        "",
        "Every call of the four services. Each serves the same as OpenAPI: `/docs` for people, `/openapi.json` for",
        "programs. What errors look like and what to do about them: [errors](errors.md).",
        "Written by `python docs/generate_reference.py`.",
    ]
    for package, app in applications().items():
        lines += [
            "",
            f"## {package}",
            "",
            INTRODUCTIONS[package],
            *_calls(package, _with_enums(app.openapi())),
        ]
    return "\n".join(lines) + "\n"


def _with_enums(document: dict[str, Any]) -> dict[str, Any]:
    """Put the values of an enumeration where the document refers to it."""
    schemas = document.get("components", {}).get("schemas", {})

    def replaced(part: object) -> object:
        if isinstance(part, list):
            return [replaced(item) for item in part]
        if not isinstance(part, dict):
            return part
        target = schemas.get(str(part.get("$ref", "")).rpartition("/")[2], {})
        if "enum" in target:
            return target | {key: value for key, value in part.items() if key != "$ref"}
        return {key: replaced(value) for key, value in part.items()}

    return replaced(document)  # type: ignore[return-value]  # a document stays one


def _calls(package: str, document: dict[str, Any]) -> Iterable[str]:
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    if stale := NOTES[package].keys() - operations.keys():
        raise ValueError(f"{package} has no {', '.join(sorted(stale))}: see NOTES")
    yield from ("", "| call | what it does | takes | answers | errors |", "|---|---|---|---|---|")
    for call, operation in operations.items():
        answer, errors = NOTES[package].get(call, ("", ""))
        cells = [
            f"`{call}`",
            " ".join(operation["description"].split("\n\n")[0].split()),
            ", ".join(_takes(operation)),
            (answer or _answer(call, operation)) + _exports(operation),
            errors or _errors(package, operation),
        ]
        yield _row(cells)
    yield from _parameters(operations)
    yield from _bodies(document, operations)


def _takes(operation: dict[str, Any]) -> Iterable[str]:
    for parameter in operation.get("parameters", []):
        if parameter["in"] != "path":
            yield f"`{parameter['name']}`"
    if "requestBody" in operation:
        yield "body " + _type(operation["requestBody"]["content"]["application/json"]["schema"])


def _answer(call: str, operation: dict[str, Any]) -> str:
    status, response = next(
        (code, found) for code, found in operation["responses"].items() if int(code) < 400
    )
    content = response.get("content", {}).get("application/json", {})
    schema, example = content.get("schema", {}), content.get("example")
    shape = _type(schema)
    if shape in ("any", "object"):
        if not isinstance(example, dict):
            raise ValueError(f"nothing says what {call} answers: see NOTES")
        shape = f"`{{{', '.join(example)}}}`"
    return shape if int(status) == HTTPStatus.OK else f"{status} {shape}"


def _exports(operation: dict[str, Any]) -> str:
    kinds = operation["responses"].get("200", {}).get("content", {})
    return "; also CSV, Parquet, Arrow" if "text/csv" in kinds else ""


def _errors(package: str, operation: dict[str, Any]) -> str:
    found = sorted(
        (code, response) for code, response in operation["responses"].items() if int(code) >= 400
    )
    if package != "batch_layer":
        return ", ".join(code for code, _ in found)
    # Its responses are described by their error codes; what every call may answer is said once.
    return ", ".join(f"{code} {error['description']}" for code, error in found if int(code) < 500)


Definition = tuple[str, str, str]
"""Type, default and meaning of a parameter."""


def _parameters(operations: dict[str, Any]) -> Iterable[str]:
    """One row per definition of a parameter; a name with several says which calls have which."""
    found: dict[tuple[str, str], dict[Definition, list[str]]] = {}
    for call, operation in operations.items():
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            default = "required" if parameter["required"] else _default(schema)
            meaning = parameter.get("description") or _example(schema)
            kinds = found.setdefault((parameter["name"], parameter["in"]), {})
            definition: Definition = (_type(schema, nullable=False), default, meaning)
            kinds.setdefault(definition, []).append(call)
    if not found:
        return
    yield from (
        "",
        "| parameter | in | type | default | meaning | of |",
        "|---|---|---|---|---|---|",
    )
    for (name, place), kinds in sorted(found.items()):
        *few, most = sorted(kinds, key=lambda kind: len(kinds[kind]))
        for definition in few:
            where = ", ".join(f"`{call}`" for call in kinds[definition])
            yield _row([f"`{name}`", place, *definition, where])
        yield _row([f"`{name}`", place, *most, "all other calls" if few else ""])


def _bodies(document: dict[str, Any], operations: dict[str, Any]) -> Iterable[str]:
    schemas = document.get("components", {}).get("schemas", {})
    used = _used(operations, schemas)
    written: set[str] = set()
    for name in sorted(used):
        schema = schemas[name]
        title = schema["title"].split("[")[0]
        if title in written or "properties" not in schema:
            continue
        written.add(title)
        text = " ".join(schema.get("description", "").split("\n\n")[0].split())
        yield from ("", f"**{title}**: {text}" if text else f"**{title}**", "")
        yield from ("| field | type | default | meaning |", "|---|---|---|---|")
        for field, inner in schema["properties"].items():
            is_rows = title == "Page" and field == "data"
            kind = "list of rows" if is_rows else _type(inner)
            default = "required" if field in schema.get("required", []) else _default(inner)
            yield _row([f"`{field}`", kind, default, inner.get("description", "")])


def _used(part: object, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that ``part`` refers to, but those of framework errors."""
    used: set[str] = set()
    waiting: list[object] = [part]
    while waiting:
        now = waiting.pop()
        if isinstance(now, list):
            waiting += now
        elif isinstance(now, dict):
            waiting += [value for key, value in now.items() if key not in ("422", "example")]
            name = str(now.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in used:
                used.add(name)
                waiting.append(schemas[name])
    return used


def _type(schema: dict[str, Any], *, nullable: bool = True) -> str:
    """Say in a few words what a JSON schema allows."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        inner = name.removeprefix("Page_").removesuffix("_")
        return f"Page of `{inner}`" if name.startswith("Page_") else f"`{name}`"
    if "anyOf" in schema:
        kinds = [_type(kind) for kind in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if nullable or kind != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("format") or schema.get("type", "any"))
    if "prefixItems" in schema:
        return f"[{', '.join(_type(item) for item in schema['prefixItems'])}]"
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return kind + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("minLength", schema.get("ge")))
    high = schema.get("maximum", schema.get("maxLength", schema.get("le")))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    unit = " characters" if schema.get("type") == "string" else ""
    words = [
        f"from {_number(low)}" if low is not None else "",
        f"above {_number(above)}" if above is not None else "",
        f"{'up to' if low is None else 'to'} {_number(high)}" if high is not None else "",
        f"below {_number(below)}" if below is not None else "",
    ]
    found = " ".join(word for word in words if word)
    return f" {found}{unit}" if found else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _example(schema: dict[str, Any]) -> str:
    examples = schema.get("examples")
    return f"such as `{examples[0]}`" if examples else ""


def _row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def rules_page() -> str:
    """Return every rule that comes along: what it asks, what its alerts say, its examples."""
    rules = sigma.builtin_rules()
    titles = _titles(set(rules.files.values()))
    lines = [
        "# Rules",
        "",
        "Every detection rule that comes along, from the files in `detection/src/detection/rule_files`.",
        "How to write another, and what the words of Sigma mean: [how to](../how-to/write-a-rule.md).",
        "Written by `python docs/generate_reference.py`.",
        "",
        "| id | title | severity | techniques | asks for |",
        "|---|---|---|---|---|",
    ]
    alerting = [(each, each.rule) for each in rules.correlations if each.rule is not None]
    for found, rule in sorted(alerting, key=lambda pair: pair[1].rule_id):
        severity = rule.severity
        if found.escalated:
            severity += f", {rule.worse} from {found.escalated} on"
        ids = ", ".join(f"[{t}]({_TECHNIQUES}/{t.replace('.', '/')}/)" for t in rule.techniques)
        title = titles[rule.rule_id]
        lines.append(_row([f"`{rule.rule_id}`", title, severity, ids or "none", _asks(found)]))
    return "\n".join(lines) + "\n"


_TECHNIQUES = "https://attack.mitre.org/techniques"


def _titles(files: Iterable[str]) -> dict[str, str]:
    """Return the title of every document, by the name that rules go by."""
    documents = [each for file in files for each in yaml.safe_load_all(Path(file).read_text())]
    return {each["name"]: each["title"] for each in documents if each}


def _asks(rule: Correlation) -> str:
    """Say what a rule counts, of what, by whom and in what time."""
    sources = ", ".join(f"`{source}`" for source in rule.sources)
    by = " and ".join(f"`{field}`" for field in rule.group_by)
    seconds = rule.span_ms // 1000
    span = f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
    match rule.kind:
        case "event_count":
            if rule.threshold == 1:
                return f"an event of {sources}, by {by}"
            what = f"{rule.threshold} events of {sources}"
        case "value_count":
            what = f"{rule.threshold} values of `{rule.value}` in {sources}"
        case "temporal":
            what = f"all of {sources}"
        case "temporal_ordered":
            what = f"{sources}, in this order"
    return f"{what} within {span}, by {by}"


PAGES = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "api.md": api_page,
    "rules.md": rules_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
        sys.stdout.write(f"wrote docs/reference/{name}\n")
