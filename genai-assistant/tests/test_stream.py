import json

QUESTION = {"question": "Is user manager anomalous?"}


def events(client, body):
    with client.stream("POST", "/query/stream", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        frames = "".join(response.iter_text()).strip().split("\n\n")
    pairs = [frame.split("\n") for frame in frames]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in pairs
    ]


def test_a_stream_ends_in_the_answer_of_a_query(client):
    told = events(client, QUESTION)
    plain = client.post("/query", json=QUESTION).json()

    names = [name for name, _ in told]
    assert names[0] == "understood"
    assert names[-1] == "answer"
    assert told[0][1]["kind"] == "user_anomaly"
    answer = told[-1][1]
    varying = {"query_time_ms", "understood", "evidence"}  # hold the clock
    assert {k: v for k, v in answer.items() if k not in varying} == {
        k: v for k, v in plain.items() if k not in varying
    }
    assert [body for name, body in told if name == "evidence"] == answer["evidence"]
    assert "\n\n".join(body["text"] for name, body in told if name == "part") == answer["answer"]


def test_a_stream_of_a_failing_serving_layer_still_ends_in_an_answer(client, serving):
    serving.status = 500

    name, body = events(client, QUESTION)[-1]

    assert (name, body["mode"][:8]) == ("answer", "degraded")


def test_a_bad_question_is_refused_before_the_stream(client):
    assert client.post("/query/stream", json={"question": "four"}).status_code == 422
