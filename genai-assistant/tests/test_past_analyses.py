"""Past analyses: copied from the serving layer, deletions honoured, vectors of one embedder."""

import asyncio

import pytest

from genai_assistant.analyst import analysis_id
from genai_assistant.metrics import Metrics
from genai_assistant.retrieval.analyses import PastAnalyses, follow
from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.embedder import HashedTfidf
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.serving_client import ServingClient, bounded_client
from genai_assistant.testing import alert_of

CORPUS = load_corpus()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    index = ThreatIndex(tmp_path_factory.mktemp("index"), CORPUS)
    yield index
    index.close()


@pytest.fixture
def past(index):
    past = PastAnalyses(index.client, index.embedder, CORPUS)
    past.keep([])
    return past


def analysis(name, *techniques, user="manager", created_at=1_790_000_000_000):
    return {
        "id": name,
        "event_id": "evt_1",
        "alert_id": f"al_{name}",
        "user": user,
        "severity": "HIGH",
        "summary": "What it was.",
        "techniques": list(techniques),
        "confidence": 1.0,
        "mode": "evidence",
        "created_at": created_at,
    }


def fill(serving, *rows):
    serving.world.analyses = {row["id"]: row for row in rows}


def read(past, serving):
    async def run():
        async with bounded_client(serving.url, 5) as http:
            return await follow(past, ServingClient(http, Metrics()))

    return asyncio.run(run())


def test_what_is_like_the_question_comes_first(past, serving):
    fill(serving, analysis("a1", "T1110"), analysis("a2", "T1486"), analysis("a3", "T1571"))

    assert read(past, serving) == 3
    assert past.like("files are encrypted for ransom", 2)[0].id == "a2"
    assert past.like(past.words(["T1571"]), 1)[0].id == "a3"


def test_a_deleted_analysis_is_not_found_again(past, serving):
    fill(serving, analysis("a1", "T1110"), analysis("a2", "T1110"))
    read(past, serving)
    del serving.world.analyses["a1"]

    read(past, serving)

    assert [one.id for one in past.like(past.words(["T1110"]), 5)] == ["a2"]


def test_one_users_analyses_can_be_asked_for(past, serving):
    fill(serving, analysis("a1", "T1110", user="ann"), analysis("a2", "T1110", user="anna"))
    read(past, serving)

    assert [one.id for one in past.like(past.words(["T1110"]), 5, user="ann")] == ["a1"]


def test_nothing_is_read_again_while_nothing_changes(past, serving):
    fill(serving, analysis("a1", "T1110"))
    read(past, serving)
    serving.requests.clear()

    assert read(past, serving) == 0
    assert len(serving.requests) == 2


def test_vectors_of_another_embedder_are_dropped(index, serving):
    PastAnalyses(index.client, index.embedder, CORPUS).keep([])
    first = PastAnalyses(index.client, index.embedder, CORPUS)
    fill(serving, analysis("a1", "T1110"))
    read(first, serving)

    assert len(PastAnalyses(index.client, index.embedder, CORPUS)) == 1
    assert len(PastAnalyses(index.client, HashedTfidf(["other"]), CORPUS)) == 0


def test_an_answer_names_an_earlier_analysis_of_a_like_alert(open_client, serving, tmp_path):
    known = alert_of("al_00aa11bb22cc", serving.world.events[:2])
    fill(
        serving,
        analysis("analysis_old", "T1110", user="ann"),
        {**analysis(analysis_id(known["alert_id"]), "T1110"), "alert_id": known["alert_id"]},
    )
    client = open_client(data_dir=tmp_path, past_analyses_seconds=0.05)
    question = {"question": "Explain alert al_00aa11bb22cc"}
    # The copy is made in the background, right after the start.
    for _ in range(200):
        body = client.post("/query", json=question).json()
        if "earlier analysis" in body["answer"]:
            break

    assert 'An earlier analysis, "analysis_old" of 2026-09-21' in body["answer"]
    assert body["answer"].count("earlier analysis") == 1
    assert body["citation_check"]["dropped"] == 0
    found = client.post("/rag/query", json={"event_context": "brute force", "top_k": 2}).json()
    assert {one["analysis_id"] for one in found["past_analyses"]} >= {"analysis_old"}
