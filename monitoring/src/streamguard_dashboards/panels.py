"""The two kinds of panel that the dashboards use, and what every query has in common."""

import re
from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

Panel = stat.Panel | timeseries.Panel

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED = "green", "yellow", "red"

_METRIC = re.compile(
    r"\b((?:up|(?:speed|batch|serving|genai|gen_ai|streamguard|training|process)_\w+)\b)(\{)?"
)


def metrics_in(expression: str) -> set[str]:
    """Return the names of the series that a PromQL expression asks for.

    >>> sorted(metrics_in('rate(speed_batch_records_sum[5m]) / up'))
    ['speed_batch_records_sum', 'up']
    """
    return {name for name, _ in _METRIC.findall(expression)}


def scoped(expression: str) -> str:
    """Narrow every metric of a PromQL expression to the chosen job and instance.

    >>> scoped('rate(speed_commits_total[1m])')
    'rate(speed_commits_total{job=~"$job", instance=~"$instance"}[1m])'
    >>> scoped('up{x="1"}')
    'up{job=~"$job", instance=~"$instance", x="1"}'
    """
    scope = 'job=~"$job", instance=~"$instance"'
    return _METRIC.sub(
        lambda found: f"{found[1]}{{{scope}, " if found[2] else f"{found[1]}{{{scope}}}",
        expression,
    )


def figure(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    base: str = GREEN,
    steps: Sequence[tuple[float, str]] = (),
    links: Mapping[str, str] | None = None,
) -> stat.Panel:
    """Return one number, in colour ``base``; each of ``steps`` is a value and the colour from it on."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(4)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(base, steps))
        .links(links_to(links or {}))
        .targets([_query("A", expression, title)])
    )


def graph(
    title: str,
    description: str,
    queries: Mapping[str, str],
    *,
    unit: str = "short",
    steps: Sequence[tuple[float, str]] = (),
    links: Mapping[str, str] | None = None,
) -> timeseries.Panel:
    """Return lines over time. ``queries``: legend -> expression; each of ``steps`` is drawn too."""
    drawn = GraphTresholdsStyleMode.DASHED if steps else GraphTresholdsStyleMode.OFF
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(12)
        .min(0)
        .thresholds(_thresholds(GREEN, steps))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(drawn))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .links(links_to(links or {}))
        .targets(
            [
                _query(chr(ord("A") + place), expression, legend)
                for place, (legend, expression) in enumerate(queries.items())
            ]
        )
    )


def _query(reference: str, expression: str, legend: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(reference)
        .datasource(SOURCE)
        .expr(scoped(expression))
        .legend_format(legend)
    )


def _thresholds(base: str, steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps(
            [
                Threshold(value=None, color=base),
                *(Threshold(value=value, color=color) for value, color in steps),
            ]
        )
    )


def links_to(links: Mapping[str, str]) -> list[Builder[DashboardLink]]:
    """Return the links of a panel. ``links``: title -> URL."""
    return [
        dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(True)
        for title, url in links.items()
    ]
