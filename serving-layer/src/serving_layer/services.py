"""What one application consists of."""

from dataclasses import dataclass

import httpx

from serving_layer.alert_stream import AlertBell
from serving_layer.analyses import AnalysisStore
from serving_layer.backtests.jobs import Backtests
from serving_layer.cases.delivery import Delivery
from serving_layer.cases.store import CaseStore
from serving_layer.changed_minds import ChangedMinds
from serving_layer.cursors import CursorSigner
from serving_layer.earlier_runs import EarlierRuns
from serving_layer.front_door.audit import AuditLog
from serving_layer.front_door.keys import KeyStore
from serving_layer.metrics import Metrics
from serving_layer.run_watcher import RunWatcher
from serving_layer.seams import SeamHistory
from serving_layer.settings import Settings
from serving_layer.sql.runner import SqlRunner
from serving_layer.tail import Tail
from serving_layer.views.snapshot import Views


@dataclass(frozen=True, slots=True)
class Services:
    """Parts that live as long as the application."""

    settings: Settings
    views: Views
    watcher: RunWatcher
    earlier: EarlierRuns
    tail: Tail
    seams: SeamHistory
    changed_minds: ChangedMinds
    analyses: AnalysisStore
    cases: CaseStore
    delivery: Delivery
    cursors: CursorSigner
    keys: KeyStore
    audit: AuditLog
    sql: SqlRunner
    backtests: Backtests
    metrics: Metrics
    bell: AlertBell
    http: httpx.AsyncClient
