"""Print what the demo found."""

import json
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from contracts.api import AnomalyRecord
from local_stack.demo.findings import Findings
from local_stack.settings import Settings

_SHOWN = 5
_SHOWN_CHARACTERS = 160


def print_findings(findings: Findings, settings: Settings, console: Console) -> None:
    """Print each finding in turn, ending with where to look next."""
    _print_summary(findings, console)
    console.print(_anomaly_table(findings.anomalies))
    console.print(_alert_table(findings))
    console.print(
        f"against the labels: precision {findings.quality.precision:.3f}, "
        f"recall {findings.quality.recall:.3f} (of this demo's {findings.events:,} events)",
        highlight=False,
    )
    console.print(_consistency_table(findings))
    _print_analysis(findings, console)
    _print_answer(findings, console)
    base = f"http://{settings.host}"
    console.print(
        f"\nwhere to look next\n"
        f"  dashboard            {base}:{settings.serving_port}/\n"
        f"  every route, live    {base}:{settings.serving_port}/docs\n"
        f"  consistency proof    {base}:{settings.serving_port}/consistency\n"
        f"  ask another question {base}:{settings.assistant_port}/docs\n"
        f"  processes and logs   make status, make logs; stop with make down\n",
        highlight=False,
    )


def _print_summary(findings: Findings, console: Console) -> None:
    after = findings.after
    table = Table("merged summary", "events", "share", title_justify="left")
    for name, count in (
        ("from the batch layer", after.batchEvents),
        ("from the speed layer", after.realtimeEvents),
        ("together", after.totalEvents),
    ):
        share = count / after.totalEvents if after.totalEvents else 0
        table.add_row(name, f"{count:,}", f"{share:.1%}")
    console.print(table)
    users = findings.report.get("anomalous_users"), findings.report.get("total_users")
    console.print(
        f"{after.totalAnomalies:,} anomalous events; {users[0]} of {users[1]} users anomalous "
        f"in run {findings.run_id}",
        highlight=False,
    )


def _anomaly_table(anomalies: list[AnomalyRecord]) -> Table:
    table = Table("top anomalies", "user", "score", "layer", "reasons")
    for record in sorted(anomalies, key=lambda record: -record.anomaly_score)[:_SHOWN]:
        table.add_row(
            _time(record.timestamp),
            record.user,
            f"{record.anomaly_score:.3f}",
            record.source,
            "; ".join(record.reasons),
        )
    return table


def _alert_table(findings: Findings) -> Table:
    table = Table(f"alerts ({len(findings.alerts):,})", "severity", "type", "user", "what happened")
    for alert in findings.alerts[:_SHOWN]:
        table.add_row(
            _time(int(alert["timestamp"])),
            str(alert["severity"]),
            str(alert["alert_type"]),
            str(alert["user_id"]),
            str(alert["description"]),
        )
    return table


def _consistency_table(findings: Findings) -> Table:
    proof = findings.consistency
    table = Table("/consistency", "seam", "next", "batch", "realtime", "missing", "double")
    for row in proof.partitions:
        table.add_row(
            f"{row.topic}[{row.partition}]".replace("[", r"\["),
            *(
                f"{value:,}"
                for value in (
                    row.seam,
                    row.next_offset,
                    row.batch_rows,
                    row.realtime_rows,
                    row.missing,
                    row.double,
                )
            ),
        )
    table.caption = f"missing {proof.missing}, double {proof.double}"
    return table


def _print_analysis(findings: Findings, console: Console) -> None:
    table = Table("revenue by category", "transactions", "revenue")
    for row in findings.analysis_rows[:_SHOWN]:
        table.add_row(
            str(row["category"]),
            f"{int(row['transaction_count']):,}",
            f"{float(row['total_revenue']):,.2f}",
        )
    table.caption = f"{findings.analysis.get('rowCount'):,} transactions read by the batch layer"
    console.print(table)


def _print_answer(findings: Findings, console: Console) -> None:
    answer = findings.answer
    check = answer.get("citation_check") or {}
    console.print('\n"Is user manager anomalous?"', highlight=False)
    console.print(str(answer.get("answer")), markup=False, highlight=False)
    for item in answer.get("evidence") or []:
        record = json.dumps(item["record"], default=str)[:_SHOWN_CHARACTERS]
        console.print(
            f"  {item['id']} {item['kind']} ({item['source']}): {record}",
            markup=False,
            highlight=False,
        )
    console.print(
        f"  {check.get('cited', 0)} cited sentences checked, {check.get('valid', 0)} valid, "
        f"{check.get('dropped', 0)} dropped; confidence {answer.get('confidence')}; "
        f"from {', '.join(answer.get('sources_used') or [])}",
        markup=False,
        highlight=False,
    )


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
