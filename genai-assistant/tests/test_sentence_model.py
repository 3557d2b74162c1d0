"""The sentence model, where ``make sentence-model`` has put it; its refusal where not."""

from pathlib import Path

import pytest

from genai_assistant.errors import CorpusError
from genai_assistant.retrieval.sentence_model import TOKENIZER, WEIGHTS, SentenceModel

FETCHED = Path(__file__).parents[2] / ".tools" / "sentence-model"


def test_without_the_files_it_says_where_it_looked(tmp_path):
    with pytest.raises(CorpusError, match=str(tmp_path)):
        SentenceModel(tmp_path)


def test_other_weights_are_refused(tmp_path):
    (tmp_path / WEIGHTS).write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    (tmp_path / TOKENIZER).write_text("{}")

    with pytest.raises(CorpusError, match="sha256"):
        SentenceModel(tmp_path)


@pytest.mark.skipif(not FETCHED.exists(), reason="make sentence-model was not run")
def test_similarities_are_those_that_its_authors_publish():
    model = SentenceModel(FETCHED)
    happy = model.embed("That is a happy person")
    others = ("That is a happy dog", "That is a very happy person", "Today is a sunny day")

    told = [float(happy @ model.embed(text)) for text in others]

    assert told == pytest.approx([0.695, 0.943, 0.257], abs=0.001)
