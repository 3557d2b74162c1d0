"""``make demo``: 50,000 events and 5,000 transactions, from the generator to a cited answer.

The first part of the events is published before the batch run and the rest after it, so both
layers have a share of the merged answers. Everything is read back through the services' own
APIs and compared with what was generated; a demo may run on top of earlier ones.

* ``scenario``  generates and publishes
* ``api``       asks the services
* ``steps``     says what is going on, and waits with a deadline
* ``findings``  compares with the labels and decides what is right
* ``report``    prints
"""

from local_stack.demo.run import run_demo

__all__ = ["run_demo"]
