"""Everything the speed layer raises on purpose.

* SpeedLayerError
  - StoreBusyError           another process holds the partition's store: wait for it
  - StoreUnavailableError    the store cannot be written now (disk full, locked): pause, retry
  - StoreDamagedError        the store's bytes are not what was written: set aside, rebuild
  - LogTruncatedError        the log ends below the stored position: pause, an operator decides
  - GroupLostError           the Kafka client does not find back to its group: a new process does
  - BatchStateError          a published run's state cannot be used: fall back to the log

Bad records are none of these: ``contracts.decoder`` returns them as rejects.
"""


class SpeedLayerError(Exception):
    """Base class."""


class StoreBusyError(SpeedLayerError):
    """Another process holds the exclusive lock of this partition's store."""


class StoreUnavailableError(SpeedLayerError):
    """The store refused a write that may succeed later; nothing of it was kept."""


class StoreDamagedError(SpeedLayerError):
    """The store cannot be read, or was written by another version of detection."""


class LogTruncatedError(SpeedLayerError):
    """The log ends below what was already processed: the topic was recreated or lost data."""


class GroupLostError(SpeedLayerError):
    """The client lost its membership and was given no new one, though the broker answers."""


class BatchStateError(SpeedLayerError):
    """The published run has no usable state for a partition."""
