"""From lines of an sshd log to security events.

``syslog`` reads a line's header, ``dates`` finds the year that it leaves out, ``attempts`` reads
sshd's own words, ``adapter`` puts them together.
"""
