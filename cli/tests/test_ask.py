import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streamguard_cli.__main__ import main

ANSWER = {
    "answer": "Yes, manager is anomalous [E1].\x1b[2J",
    "evidence": [{"id": "E1", "kind": "user", "source": "batch-ml", "record": {"user": "manager"}}],
}


@pytest.fixture
def assistant():
    """Answer like the assistant; a question of five characters is refused."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            refused = len(asked[-1]["question"]) < 6
            self.send_response(422 if refused else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"detail": "short"} if refused else ANSWER).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_answer_and_citations(assistant, capsys):
    url, asked = assistant

    assert main(["ask", "Is user manager anomalous?", "--window", "24h", "--url", url]) == 0
    assert asked == [{"question": "Is user manager anomalous?", "context_window": "24h"}]
    assert capsys.readouterr().out.splitlines() == [
        "Yes, manager is anomalous [E1].\\x1b[2J",
        "  [E1] user from batch-ml user=manager",
    ]


def test_a_refusal_is_said(assistant, capsys):
    assert main(["ask", "Why?", "--url", assistant[0]]) == 1
    assert "422" in capsys.readouterr().err


def test_nobody_answers(capsys):
    assert main(["ask", "Is it on?", "--url", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1/query" in capsys.readouterr().err
