"""Failed logins in the window, by user and by address."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from contracts.events import USER_LOGIN_FAILED
from genai_assistant.activity import (
    NO_DATA_FRESHNESS,
    SUPPORTING,
    Activity,
    activity,
    tell_fallback,
)
from genai_assistant.clock import when
from genai_assistant.evidence import LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, spoken
from genai_assistant.plan import Plan
from genai_assistant.records import event_record, source_address
from genai_assistant.sources import Sources

if TYPE_CHECKING:
    from contracts.api import EventRecord

TOP = 5
BURST = 3
CONTEXT = "repeated failed login password guessing brute force"


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Count failed logins, and name who and where they concentrate on."""
    auth, activity_topic = await asyncio.gather(
        activity(
            sources,
            plan.window,
            place=plan.place,
            event_type="auth_attempt",
            status="failed",
            user=plan.user,
            source_ip=plan.address,
        ),
        activity(
            sources,
            plan.window,
            place=plan.place,
            event_type=USER_LOGIN_FAILED,
            user=plan.user,
            source_ip=plan.address,
        ),
    )
    findings = Findings()
    if auth.failure and activity_topic.failure:
        return findings
    found = _both(auth, activity_topic)
    scope = _scope(plan)
    cite = ledger.add("failed_logins", REAL_TIME, _summary(plan, found))
    if not found.rows:
        findings.say(f"No failed login{scope} is known", cite)
        findings.freshness = NO_DATA_FRESHNESS
        return findings
    findings.freshness = found.freshness
    tell_fallback(found, findings, cite, f" among failed logins{scope}")
    _say_summary(findings, ledger.by_id()[cite].record, cite, scope, found)
    findings.events = [event_record(row) for row in found.rows[:SUPPORTING]]
    findings.context = CONTEXT
    if len(found.rows) >= BURST:
        findings.rules["FAILED_LOGINS"] = cite
    return findings


def _both(first: Activity, second: Activity) -> Activity:
    """Join the two topics' failed logins; those in the asked window win over a fallback."""
    kept = [one for one in (first, second) if one.rows]
    if any(not one.is_fallback for one in kept):
        kept = [one for one in kept if not one.is_fallback]
    elif len(kept) == 2:
        kept = [max(kept, key=lambda one: one.window.end_ms)]
    if not kept:
        return first
    # Where one topic was looked at only so far back, both are: the newest of both are told.
    since = max((one.rows[-1].timestamp for one in kept if not one.is_whole), default=0)
    rows: list[EventRecord] = [row for one in kept for row in one.rows if row.timestamp >= since]
    return Activity(
        rows=sorted(rows, key=lambda row: -row.timestamp),
        total=sum(one.total for one in kept),
        is_exact=first.is_exact and second.is_exact,
        window=kept[0].window,
        is_fallback=kept[0].is_fallback,
    )


def _scope(plan: Plan) -> str:
    user = f" of user {quote(plan.user)}" if plan.user else ""
    address = f" from {quote(plan.address)}" if plan.address else ""
    return user + address + (plan.place.phrase() if plan.place else "")


def _summary(plan: Plan, found: Activity) -> Record:
    times = [row.timestamp for row in found.rows]
    users = Counter(row.user for row in found.rows)
    addresses = Counter(filter(None, map(source_address, found.rows)))
    return {
        **({"user": plan.user} if plan.user else {}),
        **({"source_ip": plan.address} if plan.address else {}),
        **(plan.place.record() if plan.place else {}),
        "window": found.window.label,
        "is_fallback": found.is_fallback,
        "failed_logins": found.total,
        "examined": len(found.rows),
        "users": len(users),
        "addresses": len(addresses),
        "by_user": [{"user": name, "failed": n} for name, n in users.most_common(TOP)],
        "by_address": [{"address": name, "failed": n} for name, n in addresses.most_common(TOP)],
        "first": min(times, default=None),
        "last": max(times, default=None),
    }


def _say_summary(
    findings: Findings, record: Record, cite: str, scope: str, found: Activity
) -> None:
    least = "" if found.is_exact else "at least "
    there_were = (
        f"{spoken(found.window.label).capitalize()} there were {least}"
        f"{counted(record['failed_logins'], 'failed login')}{scope}"
    )
    whose = (
        f"of {counted(record['users'], 'user')} and from "
        f"{counted(record['addresses'], 'address', 'addresses')}"
    )
    first, last = when(record["first"]), when(record["last"])
    if found.is_whole:
        findings.say(f"{there_were}, {whose}", cite)
        findings.say(f"The first is at {first}, the last at {last}", cite)
    else:
        findings.say(f"{there_were}, the last at {last}", cite)
        newest = f"{record['examined']:,}"
        findings.say(
            f"Users and addresses are those of the newest {newest}, back to {first}: {whose}", cite
        )
    users = ", ".join(f"{quote(row['user'])} ({row['failed']:,})" for row in record["by_user"])
    findings.say(f"By user: {users}", cite, before=PART)
    if record["by_address"]:
        told = ", ".join(f"{quote(r['address'])} ({r['failed']:,})" for r in record["by_address"])
        findings.say(f"By address: {told}", cite, before=LINE)
