"""The control API of the transactions side."""

from fastapi import APIRouter

router = APIRouter(tags=["transactions"])
