"""Where a stack keeps its files."""

from dataclasses import dataclass
from pathlib import Path


def repository_root() -> Path:
    """Return the checkout this package is installed from (it is always installed editable)."""
    return Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below ``STACK_DIR``; two stacks with different ones never meet."""

    stack_dir: Path

    @property
    def run_dir(self) -> Path:
        """Process records, the supervisor's lock and its inbox."""
        return self.stack_dir / "run"

    @property
    def state_file(self) -> Path:
        """What the supervisor last wrote about its processes."""
        return self.run_dir / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the one supervisor of this stack."""
        return self.run_dir / "lock"

    @property
    def inbox_dir(self) -> Path:
        """Requests to the supervisor: one file each, named ``<verb>-<service>``."""
        return self.run_dir / "inbox"

    @property
    def logs_dir(self) -> Path:
        """One log per service, and the supervisor's own."""
        return self.stack_dir / "logs"

    def log_file(self, service: str) -> Path:
        """Return the log of one service."""
        return self.logs_dir / f"{service}.log"
