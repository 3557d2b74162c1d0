"""What two published runs say differently of users, and why."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer.errors import RunNotFoundError, VerificationError
from batch_layer.security.drift import distribution, stability_index
from batch_layer.security.scaling import MODEL_FEATURES, Scaling, model_input
from batch_layer.security.views import read_manifest
from contracts import lake as lay_out
from contracts.views import Manifest

CHANGED_SCORE = 0.1
"""A user whose normalised score moved by this counts as changed."""

_CAUSES = 3
_SMALLEST_CAUSE = 0.1


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ComparedRun(_Body):
    """One of the two runs."""

    run_id: str
    created_at: int = Field(description="Unix ms.")
    users: int
    anomalous_users: int
    events: int
    algorithm: str
    scorer: str
    detection_version: str
    model_run_id: str | None = Field(description="The run that trained the model it judged by.")


class MovedFeature(_Body):
    """A feature that moved between the runs."""

    feature: str
    a: float
    b: float
    deviations: float = Field(description="By how many robust standard deviations, signed.")


class UserChange(_Body):
    """A user of whom the runs say different things; null where a run does not know the user."""

    user: str
    score_a: float | None = Field(description="Normalised, 0 to 1.")
    score_b: float | None
    is_anomaly_a: bool | None
    is_anomaly_b: bool | None
    cluster_a: int | None
    cluster_b: int | None
    moved: list[MovedFeature] = Field(
        description="Why: the features that moved most; none when the model or others moved."
    )
    reasons: list[dict[str, Any]] = Field(
        description="Of the run that calls the user anomalous, b before a."
    )


class Comparison(_Body):
    """Run b against run a."""

    a: ComparedRun
    b: ComparedRun
    settings_changed: list[str] = Field(description="Settings in which the runs differ.")
    users_new: int = Field(description="Users that only b knows.")
    users_gone: int = Field(description="Users that only a knows.")
    added: list[UserChange] = Field(description="Anomalous in b, not in a.")
    dropped: list[UserChange] = Field(description="Anomalous in a, not in b.")
    changed: list[UserChange] = Field(
        description="Same verdict, but the score moved by 0.1 or more; largest first."
    )
    totals: dict[str, int] = Field(description="Length of the three lists before `limit`.")
    drift: dict[str, float] = Field(description="Stability index of each feature, largest first.")


@dataclass(frozen=True, slots=True)
class _Users:
    """A run's users as rows by name, and their inputs in one population's units."""

    rows: dict[str, dict[str, Any]]
    table: pa.Table


def compare(lake: Path, a: str, b: str, limit: int) -> Comparison:
    """Compare two published runs.

    Args:
        lake: The lake's root.
        a: Id of the run to compare with.
        b: Id of the run that is compared.
        limit: Most users of each list.

    Raises:
        RunNotFoundError: If the lake keeps no such run.
        VerificationError: If a file of one cannot be read; the message names it.
    """
    manifests = [_manifest(lake, run_id) for run_id in (a, b)]
    before, after = (_users(lake, manifest) for manifest in manifests)
    moves = _moves(before, after)
    added: list[UserChange] = []
    dropped: list[UserChange] = []
    changed: list[UserChange] = []
    for user in sorted(before.rows.keys() | after.rows.keys()):
        old, new = before.rows.get(user), after.rows.get(user)
        was, now = (row is not None and row["is_anomaly"] for row in (old, new))
        if was != now:
            (added if now else dropped).append(_change(user, old, new, moves))
        elif old and new and _distance(old, new) >= CHANGED_SCORE:
            changed.append(_change(user, old, new, moves))
    added.sort(key=lambda change: -(change.score_b or 0))
    dropped.sort(key=lambda change: -(change.score_a or 0))
    changed.sort(key=lambda change: -abs((change.score_b or 0) - (change.score_a or 0)))
    runs = [_compared(manifest) for manifest in manifests]
    return Comparison(
        a=runs[0],
        b=runs[1],
        settings_changed=[
            name
            for name in ("algorithm", "scorer", "detection_version", "model_run_id")
            if getattr(runs[0], name) != getattr(runs[1], name)
        ],
        users_new=len(after.rows.keys() - before.rows.keys()),
        users_gone=len(before.rows.keys() - after.rows.keys()),
        added=added[:limit],
        dropped=dropped[:limit],
        changed=changed[:limit],
        totals={"added": len(added), "dropped": len(dropped), "changed": len(changed)},
        drift=_drift(before, after),
    )


def _manifest(lake: Path, run_id: str) -> Manifest:
    folder = lake / lay_out.run_directory(run_id)
    # The id comes from a client and becomes a path: nothing but a folder of a run will do.
    if folder.name != run_id or not (folder / "manifest.json").is_file():
        raise RunNotFoundError(f"the lake keeps no run {run_id!r}")
    return read_manifest(lake, run_id)


def _users(lake: Path, manifest: Manifest) -> _Users:
    tables = []
    for file in manifest.user_files:
        path = lake / lay_out.SECURITY / file.path
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException) as error:
            raise VerificationError(f"{path} cannot be read: {error}") from error
        is_anomaly = "/is_anomaly=1/" in file.path
        tables.append(
            table.append_column("is_anomaly", pa.array([is_anomaly] * table.num_rows, pa.bool_()))
        )
    table = pa.concat_tables(tables) if tables else pa.table({"user": pa.array([], pa.string())})
    return _Users({row["user"]: row for row in table.to_pylist()}, table)


def _moves(before: _Users, after: _Users) -> dict[str, np.ndarray[Any, Any]]:
    """Return, for users of both runs, how far each model input moved, in b's robust deviations."""
    if not before.rows or not after.rows:
        return {}
    scaling = Scaling.fit(model_input(after.table))
    old, new = (scaling.standardise(model_input(users.table)) for users in (before, after))
    places = {user: place for place, user in enumerate(before.table["user"].to_pylist())}
    return {
        user: new[place] - old[places[user]]
        for place, user in enumerate(after.table["user"].to_pylist())
        if user in places
    }


def _change(
    user: str,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    moves: dict[str, np.ndarray[Any, Any]],
) -> UserChange:
    moved: list[MovedFeature] = []
    if old is not None and new is not None:
        deviations = moves[user]
        for index in np.argsort(-np.abs(deviations), kind="stable")[:_CAUSES].tolist():
            if abs(deviations[index]) >= _SMALLEST_CAUSE:
                name = MODEL_FEATURES[index]
                moved.append(
                    MovedFeature(
                        feature=name,
                        a=float(old[name] or 0),
                        b=float(new[name] or 0),
                        deviations=round(float(deviations[index]), 2),
                    )
                )
    why = next((row["reasons"] for row in (new, old) if row and row["is_anomaly"]), "[]")
    return UserChange(
        user=user,
        score_a=None if old is None else old["anomaly_score_normalized"],
        score_b=None if new is None else new["anomaly_score_normalized"],
        is_anomaly_a=None if old is None else old["is_anomaly"],
        is_anomaly_b=None if new is None else new["is_anomaly"],
        cluster_a=None if old is None else old["cluster"],
        cluster_b=None if new is None else new["cluster"],
        moved=moved,
        reasons=json.loads(why),
    )


def _distance(old: dict[str, Any], new: dict[str, Any]) -> float:
    return abs(float(old["anomaly_score_normalized"]) - float(new["anomaly_score_normalized"]))


def _drift(before: _Users, after: _Users) -> dict[str, float]:
    if not before.rows or not after.rows:
        return {}
    indexes = {}
    for name in MODEL_FEATURES:
        old, new = (
            users.table[name].cast(pa.float64()).fill_null(0.0).to_numpy()
            for users in (before, after)
        )
        indexes[name] = round(stability_index(distribution(old), new), 4)
    return dict(sorted(indexes.items(), key=lambda item: -item[1]))


def _compared(manifest: Manifest) -> ComparedRun:
    return ComparedRun(
        run_id=manifest.run_id,
        created_at=manifest.created_at,
        users=manifest.total_users,
        anomalous_users=manifest.anomalous_users,
        events=sum(seam.rows for seam in manifest.seam),
        algorithm=manifest.algorithm,
        scorer=manifest.scorer,
        detection_version=manifest.detection_version,
        model_run_id=manifest.model_run_id,
    )
