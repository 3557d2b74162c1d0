from pathlib import Path

import pytest
from pydantic import ValidationError

from batch_layer.settings import Settings


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/srv/lake", "/srv/lake"),
        ("lake", "lake"),
        ("file:///srv/my%20lake", "/srv/my lake"),
        ("file://localhost/srv/lake", "/srv/lake"),
    ],
)
def test_the_lake_is_a_path_or_a_file_url(monkeypatch, given, path):
    monkeypatch.setenv("BATCH_LAKE_DIR", given)

    assert Settings().lake_dir == Path(path)


@pytest.mark.parametrize("given", ["s3a://bucket/lake", "file://elsewhere/lake"])
def test_a_lake_elsewhere_is_refused_by_name(monkeypatch, given):
    monkeypatch.setenv("BATCH_LAKE_DIR", given)

    with pytest.raises(ValidationError, match="lake_dir"):
        Settings()
