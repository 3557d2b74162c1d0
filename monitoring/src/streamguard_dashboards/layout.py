"""What all dashboards share: variables, time range, links to each other."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableHide,
    VariableOption,
    VariableRefresh,
)

from streamguard_dashboards.panels import SOURCE, Panel, links_to

TAG = "streamguard"
HEALTH = {"health": "${serving}/api/health/status"}
CONSISTENCY = {"consistency": "${serving}/consistency"}
RUNS = {"runs": "${serving}/api/runs"}
ANALYSES = {"analyses": "${serving}/api/analyses"}

Row = tuple[str, Mapping[str, str], Sequence[Panel]]
"""A heading, where panels without a link of their own lead to (title -> URL), and the panels."""


def page(uid: str, title: str, description: str, rows: Sequence[Row]) -> dashboard.Dashboard:
    """Return a dashboard of titled rows of panels.

    Every dashboard has the same variables: the data source, the job, the instance, and the address
    of the serving layer that links lead to.
    """
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .refresh("10s")
        .time("now-1h", "now")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(
            [
                dashboard.DatasourceVariable("datasource").label("data source").type("prometheus"),
                _label("job", "service", "label_values(up, job)"),
                _label("instance", "instance", 'label_values(up{job=~"$job"}, instance)'),
                dashboard.TextBoxVariable("serving")
                .label("serving layer")
                .default_value("http://localhost:8081"),
            ]
        )
        .link(
            dashboard.DashboardLink("StreamGuard")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )
    for heading, links, panels in rows:
        built.with_row(dashboard.Row(heading))
        for panel in panels:
            has_own = bool(panel.build().links)
            built.with_panel(panel if has_own else panel.links(links_to(links)))
    return built


def _label(name: str, label: str, query: str) -> dashboard.QueryVariable:
    everything = VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.DONT_HIDE)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(everything)
    )
