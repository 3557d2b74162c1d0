"""Threat corpus, own embeddings in Chroma, BM25 beside them, fused by rank."""
