"""Sentence vectors of all-MiniLM-L6-v2, computed with NumPy from its weights on disk.

The model is BERT with 6 layers of 12 heads (Devlin et al., 2019); a text's vector is the mean of
its token vectors, of length 1 (Reimers and Gurevych, 2019). The files come with
``make sentence-model``, never at run time; weights with another hash are refused.
"""

import hashlib
import json
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from genai_assistant.errors import CorpusError

WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER = "tokenizer.json"
LAYERS = 6
HEADS = 12
MAX_TOKENS = 256
EPSILON = 1e-12

Array = NDArray[np.float32]


class SentenceModel:
    """Turns text into a unit vector of 384 numbers.

    Args:
        folder: Holds ``model.safetensors`` and ``tokenizer.json``.

    Raises:
        CorpusError: If a file is missing or the weights are not the pinned ones.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._weights = _read(folder / WEIGHTS)
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except OSError as error:
            raise CorpusError(f"no sentence model in {folder}: {error}") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self.fingerprint = f"all-MiniLM-L6-v2:{WEIGHTS_SHA256[:16]}"

    def embed(self, text: str) -> Array:
        """Return the vector of ``text``."""
        ids = self._tokenizer.encode(text).ids
        hidden = self._word_vectors(ids)
        for number in range(LAYERS):
            hidden = self._layer(hidden, f"encoder.layer.{number}")
        mean = hidden.mean(axis=0)
        unit: Array = mean / np.linalg.norm(mean)
        return unit

    def _word_vectors(self, ids: list[int]) -> Array:
        weights = self._weights
        total = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: len(ids)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normal(total, "embeddings.LayerNorm")

    def _layer(self, hidden: Array, name: str) -> Array:
        """Attend, then transform each token; both parts add to what came in."""
        attended = self._linear(self._attention(hidden, name), f"{name}.attention.output.dense")
        hidden = self._normal(hidden + attended, f"{name}.attention.output.LayerNorm")
        inner = self._linear(hidden, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        outer = self._linear(inner.astype(np.float32), f"{name}.output.dense")
        return self._normal(hidden + outer, f"{name}.output.LayerNorm")

    def _attention(self, hidden: Array, name: str) -> Array:
        """Return each token's mix of all tokens' values, by head (tokens x 384)."""
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}")
            .reshape(len(hidden), HEADS, -1)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(query.shape[-1]))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Array = (scores @ value).transpose(1, 0, 2).reshape(hidden.shape)
        return mixed

    def _linear(self, given: Array, name: str) -> Array:
        result: Array = given @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normal(self, given: Array, name: str) -> Array:
        centred = given - given.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        weights = self._weights
        result: Array = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return result


def _read(path: Path) -> dict[str, Array]:
    """Map a safetensors file: length of the header, the header as JSON, then the numbers."""
    with path.open("rb") as file:
        held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hashlib.sha256(held).hexdigest() != WEIGHTS_SHA256:
        raise CorpusError(f"{path} does not have the pinned sha256")
    length = int.from_bytes(held[:8], "little")
    header = json.loads(held[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, last = entry["data_offsets"]
        flat = np.frombuffer(held, np.float32, (last - first) // 4, 8 + length + first)
        weights[name] = flat.reshape(entry["shape"])
    return weights
