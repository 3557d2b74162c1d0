"""Everything ``contracts`` raises on purpose.

* RecordError                 the record is bad: set it aside and move on
  - UndecodableRecordError    its bytes are not JSON
  - InvalidRecordError        a field is missing, of the wrong type or out of range
  - RecordTooLargeError       its value is larger than ``topics.MAX_RECORD_BYTES``
  - EmptyRecordError          it has no value
* DamagedPointerError         ``security/CURRENT`` in the lake names no run
"""


class RecordError(ValueError):
    """The record cannot be processed and never will be."""

    reason = "invalid"


class UndecodableRecordError(RecordError):
    """The value is not JSON."""

    reason = "undecodable"


class InvalidRecordError(RecordError):
    """A field breaks the contract; the message names it."""


class RecordTooLargeError(RecordError):
    """The value is larger than any event may be."""

    reason = "too_large"


class EmptyRecordError(RecordError):
    """The record is a tombstone or has an empty value."""

    reason = "empty"


class DamagedPointerError(ValueError):
    """The file that names the published run holds something else."""
