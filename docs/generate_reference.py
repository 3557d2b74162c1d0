"""Write the reference pages that follow from the code: settings, metrics, API.

Run ``python docs/generate_reference.py`` after a change; a test compares the pages with the code.
"""

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

REFERENCE = Path(__file__).parent / "reference"
PACKAGES = (
    "event_generator",
    "speed_layer",
    "batch_layer",
    "serving_layer",
    "genai_assistant",
    "local_stack",
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
            else f"`{field.get_default(call_default_factory=True)}`"
        )
        yield f"| {variable} | {default} | {field.description or ''} |"


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


PAGES = {"settings.md": settings_page, "metrics.md": metrics_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
        sys.stdout.write(f"wrote docs/reference/{name}\n")
