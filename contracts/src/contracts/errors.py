"""Everything ``contracts`` raises on purpose.

* RecordError                 the record is bad: set it aside and move on
  - UndecodableRecordError    its bytes are not JSON
  - InvalidRecordError        a field is missing, of the wrong type or out of range
  - RecordTooLargeError       its value is larger than ``topics.MAX_RECORD_BYTES``
  - EmptyRecordError          it has no value
* LakeError                   a file of the lake that every layer reads is damaged
  - DamagedPointerError       ``security/CURRENT`` names no run
  - DamagedManifestError      a run's ``manifest.json`` is none
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


class LakeError(ValueError):
    """A file of the lake does not hold what it should."""


class DamagedPointerError(LakeError):
    """The file that names the published run holds something else."""


class DamagedManifestError(LakeError):
    """The bytes are no manifest; the message names the field."""
