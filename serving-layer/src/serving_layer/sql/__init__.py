"""Read-only SQL over the merged views, each query in a process of its own.

In reading order: ``statements`` (what may be asked), ``tables`` (the snapshot as Arrow files),
``worker`` (the child process), ``runner`` (starts, limits and ends it).
"""
