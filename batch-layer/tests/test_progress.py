"""How far a run is, as its tasks tell it."""

import time

from batch_layer.security.progress import FOLDER, Progress, tell


def test_events_rate_and_time_left_are_told_while_tasks_run(tmp_path):
    reports = []
    progress = Progress(reports.append)
    with progress.stage("detection"), progress.counting(tmp_path, total_events=400):
        tell(tmp_path, "security-events-0", 60)
        tell(tmp_path, "security-events-0", 80)
        tell(tmp_path, "security-events-1", 20)
        deadline = time.monotonic() + 30
        while len(reports) < 2:
            assert time.monotonic() < deadline, "no count was ever reported"
            time.sleep(0.02)  # polled with a deadline

    stage, counts = reports[:2]
    assert (stage.stage, stage.done, stage.events) == ("detection", 1, None)
    assert (counts.events, counts.total_events) == (100, 400)
    # 300 are left at the rate of the first 100
    assert abs(counts.seconds_left * counts.events_per_second - 300) < 10
    assert not (tmp_path / FOLDER).exists()
