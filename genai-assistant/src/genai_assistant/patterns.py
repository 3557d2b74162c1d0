"""The words by which kinds and subjects of questions are known."""

import re

from genai_assistant.lexicon import word_list

NOT_A_USER = frozenset(word_list("not_a_user"))
NAME = r"[\"'\u201c\u2018]?([\w][\w.@\\+-]{0,255}?)[\"'\u201d\u2019]?(?:'s|\u2019s)?"
END = r"(?=[\s?!,;:]|\.(?:\s|$)|$)"
SUSPECT = (
    r"(?:an\s+|really\s+|still\s+|currently\s+)?"
    r"(?:anomal\w*|suspicious|risky|compromised|abnormal|unusual|flagged|dangerous|malicious|"
    r"odd|weird|strange|normal|ok|okay|safe|a\s+(?:risk|threat)|an\s+(?:insider|outlier)|"
    r"acting|behaving)"
)
USER_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:user|account|username|identity)\s+(?:named\s+|called\s+)?{NAME}{END}",
        rf"\b(?:is|was|are|has|does|did)\s+{NAME}\s+{SUSPECT}\b",
        rf"\bwhy\s+(?:is|was|did|does|has)\s+{NAME}{END}",
        rf"\b(?:did|has|have|was|is)\s+{NAME}\s+(?:do|done|doing|been|access\w*|up\s+to|log\w*)\b",
        rf"\b(?:happened|happening|going\s+on|wrong)\s+(?:to|with)\s+{NAME}{END}",
        rf"\b(?:(?:tell\s+me|what|know|learn)\s+about|investigate|timeline\s+(?:of|for)|activity\s+(?:of|for|by)|"
        rf"risk\s+(?:of|for)|logins?\s+(?:of|for|by)|attempts?\s+(?:of|for|by)|"
        rf"(?:alerts|events|anomalies)\s+(?:of|for|by|from))\s+{NAME}{END}",
        rf"\bcompare\s+{NAME}\s+(?:with|to|against|and)\b",
        rf"\b(?:does|is|has|did)\s+{NAME}\s+(?:differ|deviat\w+|more|less|busier)\b",
        rf"{NAME}'s\s+(?:activity|logins?|behaviou?r|timeline|events|alerts|account|score|day)\b",
    )
]
TECHNIQUE_ID = re.compile(r"\bT\d{4}(?:\.\d{3})?\b", re.IGNORECASE)
EVENT_ID = re.compile(
    rf"\b(evt_\w+)\b|\bevent\s+(?:id\s+|with\s+id\s+|number\s+)?"
    rf"[\"'“]?([\w.:-]*\d[\w.:-]*?)[\"'”]?{END}",
    re.IGNORECASE,
)
ALERT_ID = re.compile(
    rf"\b((?:alert|alrt|alt)[_-]\w[\w-]*)\b|\balert\s+(?:id\s+|with\s+id\s+|number\s+)?"
    rf"[\"'“]?([\w.:-]*\d[\w.:-]*?)[\"'”]?{END}",
    re.IGNORECASE,
)
ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]+)(?![\w:])", re.I
)

PIPELINE = re.compile(
    r"\b(pipeline|consisten\w+|lag(?:ging)?|freshness|dead.?letters?|duplicates?|seam|offsets?|"
    r"missing\s+(?:or|and|events|records|data)|layers?\s+(?:dis)?agree|lambda\s+architecture|(?:speed|batch|serving)\s+layer|"
    r"system\s+(?:health|status|healthy)|healthy|is\s+(?:the\s+)?(?:system|everything)\s+"
    r"(?:ok|okay|up|running|working))\b",
    re.IGNORECASE,
)
LAYERS = re.compile(
    r"\b(?:layers?|views?|batch\s+and\s+(?:the\s+)?(?:live|speed|real.?time)\w*)\b.*"
    r"\b(?:dis)?agree\w*|\b(?:layers?|views?)\b.*\b(?:differ\w*|contradict\w*|conflict\w*)|"
    r"\b(?:dis)?agree\w*\b.*\blayers?\b",
    re.IGNORECASE,
)
COMPARE = re.compile(
    r"\bcompar(?:e|ed|es|ing|ison)\b|\bthan\s+(?:usual|normal|before)\b|\bversus\b|\bvs\b|"
    r"\b(?:with|to|from|against)\s+(?:what\s+is\s+)?(?:(?:his|her|their|its|the)\s+)?"
    r"(?:own\s+)?(?:usual|normal|baseline|average|history|past)\b|\bdeviat\w+|\bbaseline\b",
    re.IGNORECASE,
)
TRANSACTIONS = re.compile(
    r"\b(?:transactions?|fraud\w*|payments?|revenue|sales|chargebacks?|customers?|orders?|refunds?|"
    r"channels?|products?|inventory|purchases?|sells?|sold|selling)\b",
    re.IGNORECASE,
)
FAILED_LOGINS = re.compile(
    r"\b(?:failed|failing|unsuccessful|bad|wrong|invalid|denied)\s+"
    r"(?:(?:user|ssh|sso|mfa)\s+)?(?:log-?ins?|log\s?ons?|sign-?ins?|auth\w*|passwords?|attempts?)"
    r"|\blog-?in\s+failures?\b|\bauth\w*\s+fail\w*|\bfailed\s+to\s+(?:log|sign|auth)\w*",
    re.IGNORECASE,
)
TOP_RISK = re.compile(
    r"\b(riskiest|most\s+(?:risky|suspicious|anomalous|dangerous|unusual)|high(?:est)?.risk|"
    r"top\s+(?:\d+\s+)?(?:anomal\w+|risk\w*|users?|threats?|suspects?)|worst\s+users?|"
    r"(?:which|what|any|list|show|who)\b.*\busers?\b.*\b(?:anomal\w+|suspicious|risky|risk|compromised)|"
    r"anomalous\s+users?|who\s+(?:is|are|should|looks?|was|acts?)\b)",
    re.IGNORECASE,
)
ALERTS = re.compile(
    r"\balerts?\b|\b(?:do|look\s+at|investigate|handle|deal\s+with|triage)\s+first\b|"
    r"\bwhat\s+should\s+(?:i|we)\s+do\b|\btriage\b|\bincidents?\b",
    re.IGNORECASE,
)
COUNTS = re.compile(
    r"\bhow\s+many\b|\bhow\s+much\b|\bcount\b|\bnumber\s+of\b|\btotals?\b|\bsummary\b|"
    r"\bstatistics\b|\bstats\b|\bvolume\b",
    re.IGNORECASE,
)
OVERVIEW = re.compile(
    r"\b(suspicious|anomal\w+|threats?|attacks?|unusual|intrusions?|breach\w*|malicious|"
    r"compromis\w+|what(?:'s|\s+is)?\s+(?:happened|happening|going\s+on|new)|security\s+events?|"
    r"exfiltrat\w+|overview|risks?)\b",
    re.IGNORECASE,
)
EXPLAINING = re.compile(
    r"^\s*(?:what\s+(?:is|are|does|do)\s+(?:an?\s+|the\s+)?(?!happen|going|new\b|wrong)|explain\b|"
    r"define\b|describe\b|how\s+(?:do|can|could|should|would|does|to)\b|tell\s+me\s+about\b|"
    r"what\s+(?:technique|tactic|indicators?|signs?))|"
    r"\b(?:mitre|att&ck|techniques?|tactics?|indicators?\s+of|signs?\s+of|mitigat\w+|"
    r"threat\s+intel\w*|mean(?:s|ing)?)\b",
    re.IGNORECASE,
)
DOMAIN = re.compile(
    r"\b(attack\w*|brute.?force|credential\w*|phish\w*|malware|ransomware|exfiltrat\w*|tunnel\w*|"
    r"lateral|movement|persistence|privilege\w*|escalation|dump\w*|password\w*|mfa|spray\w*|stuffing|"
    r"botnet|beacon\w*|command.and.control|c2|dns|powershell|script\w*|injection|fraud\w*|hijack\w*|"
    r"token\w*|session\w*|scan\w*|reconnaissance|discovery|evasion|backdoor|proxy|tor|port|"
    r"log-?ins?|impossible\s+travel|insider|exploit\w*|ddos|denial|encrypt\w*|spoof\w*|mitre|"
    r"att&ck|techniques?|tactics?|threats?|suspicious|sudo|kerberos\w*|hash\w*|ssh|rdp|smb)\b",
    re.IGNORECASE,
)
