import socket

import pytest

from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.embedder import HashedTfidf
from genai_assistant.retrieval.index import ThreatIndex

QUESTIONS = [
    ("Somebody keeps entering wrong passwords for the same account", "T1110.001"),
    ("An address tried one password on fifty different users", "T1110.003"),
    ("Logins with username and password pairs from a breach of another site", "T1110.004"),
    ("Repeated authentication failures in a few minutes", "T1110"),
    ("The user got dozens of push notifications to approve a login", "T1621"),
    ("Valid credentials used from a country the employee never visited", "T1078"),
    ("Somebody logged in with the vendor's default admin account", "T1078.001"),
    ("A cloud access key was used from an unknown network", "T1078.004"),
    ("The same session cookie appears at two addresses", "T1550.004"),
    ("Mimikatz was executed on a workstation", "T1003"),
    ("procdump was pointed at the lsass process", "T1003.001"),
    ("A process read /etc/shadow", "T1003.008"),
    ("Plain text passwords found in configuration files", "T1552.001"),
    ("Someone copied id_rsa from the ssh folder", "T1552.004"),
    ("Browser login databases were opened by an unknown program", "T1555"),
    ("An employee clicked a link in a fake mail and typed the password", "T1566.002"),
    ("A document with macros from an email started a shell", "T1566.001"),
    ("SQL injection against our public web site", "T1190"),
    ("VPN logins from abroad at night", "T1133"),
    ("Remote desktop sessions between workstations on port 3389", "T1021.001"),
    ("Connections to admin shares on port 445 across many hosts", "T1021.002"),
    ("An encoded PowerShell command was run", "T1059.001"),
    ("bash started by the web server with a reverse connection", "T1059.004"),
    ("A new cron entry runs a file in /tmp", "T1053"),
    ("An unexpected administrator account was created", "T1136"),
    ("A user was added to the admin group", "T1098"),
    ("A PHP file in the upload folder executes commands", "T1505.003"),
    ("Unusual use of sudo by an ordinary user", "T1548"),
    ("Event logs were cleared", "T1070"),
    ("The antivirus agent was switched off", "T1562.001"),
    ("A program named svchost runs from the downloads folder", "T1036"),
    ("One host connects to hundreds of ports of the server", "T1046"),
    ("Very long subdomain names in TXT queries", "T1071.004"),
    ("A host resolves hundreds of random domain names that do not exist", "T1568.002"),
    ("Outbound connection to port 31337", "T1571"),
    ("Traffic to the Tor network on port 9050", "T1090.003"),
    ("A system tool downloads an executable from the internet", "T1105"),
    ("Regular small requests to one web server every minute", "T1071.001"),
    ("Gigabytes were uploaded to a file sharing site", "T1567"),
    ("A large archive was created just before the transfer", "T1560"),
    ("Files are being encrypted and renamed on the share", "T1486"),
    ("Shadow copies and backups were deleted", "T1490"),
    ("Thousands of files deleted by one account", "T1485"),
    ("Card payments with a high fraud score and many chargebacks", "T1657"),
    ("The service is flooded with requests from many sources", "T1498"),
    ("More than 50 events of one user in five minutes", "RAPID_ACTIVITY"),
    ("What does the rule for three failed logins in 5 minutes mean", "SUSPICIOUS_LOGIN_PATTERN"),
    ("An employee copied customer data to a USB stick before leaving", "T1052"),
    ("Mailbox rule forwards everything to an external address", "T1114"),
    ("CPU at full load, connections to a mining pool", "T1496"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    index = ThreatIndex(tmp_path_factory.mktemp("index"), load_corpus())
    yield index
    index.close()


def test_the_corpus_is_whole():
    corpus = load_corpus()

    techniques = [one for one in corpus.values() if one.kind == "technique"]
    assert len(techniques) >= 60
    assert all(one.tactics and one.detection and one.response for one in techniques)
    assert {"SUSPICIOUS_LOGIN_PATTERN", "RAPID_ACTIVITY"} <= corpus.keys()


def test_recall_on_labelled_questions(index):
    ranks = [
        [hit.document.id for hit in index.query(question, 5)].index(wanted) + 1
        if wanted in [hit.document.id for hit in index.query(question, 5)]
        else None
        for question, wanted in QUESTIONS
    ]

    assert len(QUESTIONS) >= 40
    assert sum(rank is not None for rank in ranks) / len(QUESTIONS) >= 0.8
    assert sum(rank == 1 for rank in ranks) / len(QUESTIONS) >= 0.5


def test_the_corpus_has_the_questions_labels():
    assert {wanted for _, wanted in QUESTIONS} <= load_corpus().keys()


def test_embeddings_are_the_same_in_every_process():
    embedder = HashedTfidf(["failed login", "dns tunnel"])

    assert embedder.fingerprint == HashedTfidf(["failed login", "dns tunnel"]).fingerprint
    assert embedder.fingerprint != HashedTfidf(["failed login"]).fingerprint
    assert float(embedder.embed("failed login") @ embedder.embed("failed logins")) > 0.5
    assert embedder.embed("").any()


def test_a_reset_stays_empty_over_a_restart_until_seeded(tmp_path):
    corpus = load_corpus()
    index = ThreatIndex(tmp_path, corpus)
    index.reset()
    index.close()

    again = ThreatIndex(tmp_path, corpus)
    assert (len(again), again.query("failed logins", 5)) == (0, [])
    assert again.seed() == len(corpus)
    assert again.query("failed logins", 5)
    again.close()


def test_a_changed_corpus_rebuilds_the_index(tmp_path):
    corpus = load_corpus()
    ThreatIndex(tmp_path, corpus).close()
    smaller = {key: corpus[key] for key in list(corpus)[:10]}

    index = ThreatIndex(tmp_path, smaller)
    assert len(index) == 10
    index.close()


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1"}:
            raise AssertionError(f"connects to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail(f"looks up {args}")
    )
    index = ThreatIndex(tmp_path, load_corpus())

    assert index.query("failed logins", 3)
    index.close()
