"""Models as versioned files: skops estimators and one JSON of everything else.

::

    models/isolation_forest.skops  models/kmeans.skops
    models/parameters.json  what judged, where it was trained and on what, versions, checksums

skops files hold no code; only the types below are built from them. A run that judges by an earlier
model holds a copy of it, so it can be repeated after the earlier run is gone.
"""

import json
import platform
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from batch_layer.errors import InvalidRequestError, ModelError
from batch_layer.security.files import sync
from batch_layer.security.models import RANDOM_STATE, TREES, Cut, Model, Verdicts
from batch_layer.security.scaling import MODEL_FEATURES, Scaling
from batch_layer.security.segments import Segment
from contracts import lake as lay_out

FORMAT = 1
PARAMETERS = "parameters.json"
LIBRARIES = ("numpy", "scikit-learn", "skops", "pyarrow")
TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]
"""Types in our model files that skops does not trust in files of unknown origin."""

_ESTIMATORS = {"forest": "isolation_forest.skops", "kmeans": "kmeans.skops"}


def save_model(folder: Path, verdicts: Verdicts) -> None:
    """Save the model that judged, what it was trained on, and what decided this run."""
    import skops.io  # a second to import, and bounded runs never save

    folder.mkdir(parents=True, exist_ok=True)
    parameters: dict[str, Any] = {"format": FORMAT, "judged": verdicts.parameters}
    model = verdicts.model
    if model is not None:
        checksums = {}
        for attribute, name in _ESTIMATORS.items():
            data = skops.io.dumps(getattr(model, attribute))
            (folder / name).write_bytes(data)
            sync(folder / name)
            checksums[name] = sha256(data).hexdigest()
        parameters |= {
            "trained_in": model.run_id,
            "users": model.users,
            "fingerprint": model.fingerprint,
            "features": list(MODEL_FEATURES),
            "hyperparameters": {
                "random_state": RANDOM_STATE,
                "trees": TREES,
                "max_samples": int(model.forest.max_samples_),
                "clusters": int(model.kmeans.n_clusters),
            },
            "cuts": {name: asdict(cut) for name, cut in model.cuts.items()},
            "metrics": model.metrics,
            "libraries": libraries(),
            "sha256": checksums,
            "segments": [segment.to_json() for segment in model.segments],
            "typical": model.typical,
            "distributions": model.distributions,
            "scaling": model.scaling.to_json(),
        }
    path = folder / PARAMETERS
    path.write_text(json.dumps(parameters, indent=1), encoding="utf-8")
    sync(path)


def load_model(folder: Path) -> Model:
    """Return a saved model.

    Raises:
        ModelError: If a file is missing or damaged, or other libraries wrote it; names the file.
    """
    import skops.io

    path = folder / PARAMETERS
    try:
        saved = json.loads(path.read_bytes())
        libraries_then = saved["libraries"]
        _check_libraries(path, libraries_then)
        estimators = {}
        for attribute, name in _ESTIMATORS.items():
            path = folder / name
            data = path.read_bytes()
            if sha256(data).hexdigest() != saved["sha256"][name]:
                raise ModelError(f"{path} is not what was saved: its checksum differs")
            estimators[attribute] = skops.io.loads(data, trusted=TRUSTED_TYPES)
        scaling = {name: np.array(value) for name, value in saved["scaling"].items()}
        return Model(
            run_id=saved["trained_in"],
            scaling=Scaling(**scaling),
            forest=estimators["forest"],
            kmeans=estimators["kmeans"],
            cuts={name: Cut(**cut) for name, cut in saved["cuts"].items()},
            typical=saved["typical"],
            distributions=saved["distributions"],
            segments=[Segment(**segment) for segment in saved["segments"]],
            users=saved["users"],
            fingerprint=saved["fingerprint"],
            metrics=saved["metrics"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def model_of_run(lake: Path, run_id: str) -> Model:
    """Return the model that a published run judged by.

    Raises:
        InvalidRequestError: If the lake keeps no such run, or it has no model that can be used.
    """
    folder = lake / lay_out.run_directory(run_id)
    # The id comes from a client and becomes a path: nothing but a folder of a run will do.
    if folder.name != run_id or not (folder / "manifest.json").is_file():
        raise InvalidRequestError("model", f"the lake keeps no run {run_id!r}")
    try:
        return load_model(folder / "models")
    except ModelError as error:
        raise InvalidRequestError("model", str(error)) from error


def libraries() -> dict[str, str]:
    """Return the versions of what computes models."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def _check_libraries(path: Path, then: dict[str, str]) -> None:
    """Refuse estimators of another release: what they compute is not promised to be the same."""
    now = version("scikit-learn")
    if then["scikit-learn"].split(".")[:2] != now.split(".")[:2]:
        raise ModelError(
            f"{path}: the model was trained with scikit-learn {then['scikit-learn']}, this is {now}"
        )
