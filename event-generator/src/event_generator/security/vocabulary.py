"""The words of security events: hosts, ports, paths, tools, domains.

Host names end in reserved domains (RFC 2606), so that no real site is ever named. Strings go into
JSON as they stand: backslashes are written escaped.
"""

EVENT_MIX = {
    "auth_attempt": 0.40,
    "network_connection": 0.25,
    "file_access": 0.20,
    "process_execution": 0.10,
    "dns_query": 0.05,
}

HOME_PLACES = (
    "US-CA-SanFrancisco",
    "US-NY-NewYork",
    "US-WA-Seattle",
    "US-TX-Austin",
    "US-IL-Chicago",
    "US-MA-Boston",
    "GB-LND-London",
    "DE-BE-Berlin",
)
FOREIGN_PLACES = (
    "RU-MOW-Moscow",
    "CN-BJ-Beijing",
    "KP-PYO-Pyongyang",
    "IR-THR-Tehran",
    "BY-MI-Minsk",
    "NG-LA-Lagos",
)

USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0) Chrome/128.0",
    "Mozilla/5.0 (Macintosh) Version/17.5 Safari/605.1",
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/129.0",
    "EndpointSensor/4.2 (Windows NT 10.0)",
)
FOREIGN_AGENTS = ("python-requests/2.32.3", "curl/8.9.1", "Go-http-client/2.0", "Hydra/9.5")

AUTH_SERVERS = ("10.10.0.10", "10.10.0.11", "10.10.0.12")
FILE_SERVERS = ("10.10.2.20", "10.10.2.21")
DNS_SERVERS = ("10.10.0.53", "10.10.1.53")

DESTINATIONS = (
    ("intranet.corp.example", "10.10.1.80"),
    ("git.corp.example", "10.10.1.81"),
    ("mail.corp.example", "10.10.1.25"),
    ("db-primary.corp.example", "10.10.3.5"),
    ("build.corp.example", "10.10.3.40"),
    ("files.corp.example", "10.10.2.20"),
    ("cdn.vendor.example", "203.0.113.10"),
    ("api.vendor.example", "203.0.113.20"),
    ("updates.vendor.example", "203.0.113.30"),
    ("meet.vendor.example", "198.51.100.44"),
)
PORTS = ((443, 0.55), (80, 0.15), (22, 0.08), (5432, 0.07), (25, 0.05), (8443, 0.05), (3389, 0.05))
SUSPICIOUS_PORTS = (9050, 4444, 31337, 6667)

SHARED_PATHS = (
    "/srv/share/finance/budget-2026.xlsx",
    "/srv/share/finance/invoices-q3.csv",
    "/srv/share/hr/handbook.pdf",
    "/srv/share/legal/contract-template.docx",
    "/srv/share/engineering/architecture.md",
    "/srv/share/engineering/runbook.md",
    "/srv/share/sales/pipeline.xlsx",
    "/srv/share/marketing/brand-guide.pdf",
    "/var/log/app/application.log",
    "/opt/app/config/settings.yaml",
)
HOME_FILES = (
    "documents/report.docx",
    "documents/notes.md",
    "documents/presentation.pptx",
    "downloads/archive.zip",
    "projects/service/main.py",
    "projects/service/README.md",
    ".config/editor/settings.json",
    "mail/inbox.mbox",
)
SENSITIVE_PATHS = (
    "/etc/shadow",
    "/etc/sudoers",
    "/root/.ssh/id_rsa",
    "/var/lib/vault/keys.db",
    "/srv/backup/customers-full.sql",
    "C:\\\\Windows\\\\System32\\\\config\\\\SAM",
    "C:\\\\Windows\\\\NTDS\\\\ntds.dit",
)

PROCESSES = (
    ("chrome.exe", "C:\\\\Program Files\\\\Chrome\\\\chrome.exe", "--type=renderer", "Google LLC"),
    ("outlook.exe", "C:\\\\Program Files\\\\Office\\\\outlook.exe", "/recycle", "Microsoft"),
    ("excel.exe", "C:\\\\Program Files\\\\Office\\\\excel.exe", "/dde", "Microsoft"),
    ("teams.exe", "C:\\\\Program Files\\\\Teams\\\\teams.exe", "--system-initiated", "Microsoft"),
    ("code", "/usr/share/code/code", "--no-sandbox .", "Microsoft"),
    ("python3", "/usr/bin/python3", "-m pytest -q", "Debian"),
    ("git", "/usr/bin/git", "fetch --all --prune", "Debian"),
    ("ssh", "/usr/bin/ssh", "build.corp.example", "Debian"),
    ("backup-agent", "/opt/backup/backup-agent", "--incremental", "Corp IT"),
)
CREDENTIAL_TOOLS = (
    ("mimikatz.exe", "C:\\\\Users\\\\Public\\\\mimikatz.exe", "sekurlsa::logonpasswords exit"),
    ("procdump.exe", "C:\\\\Temp\\\\procdump.exe", "-accepteula -ma lsass.exe lsass.dmp"),
    ("rundll32.exe", "C:\\\\Temp\\\\rundll32.exe", "comsvcs.dll MiniDump 624 lsass.dmp full"),
    ("lazagne.exe", "C:\\\\Temp\\\\lazagne.exe", "all -oN"),
    ("secretsdump.py", "/root/.cache/secretsdump.py", "-just-dc-ntlm corp/administrator"),
)

DOMAINS = (
    *(host for host, _ in DESTINATIONS),
    "www.search.example",
    "news.example",
    "weather.example",
    "pypi.mirror.example",
    "time.vendor.example",
)
SUSPICIOUS_DOMAINS = ("c2-beacon.invalid", "exfil-relay.invalid", "update-check.invalid")
