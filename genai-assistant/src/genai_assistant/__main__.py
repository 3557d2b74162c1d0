"""``python -m genai_assistant``: run the assistant."""

import logging

import uvicorn

from genai_assistant.app import create_app
from genai_assistant.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per call to the serving layer would drown everything else.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = Settings()
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, access_log=False)


if __name__ == "__main__":
    main()
