"""``python -m genai_assistant``: run the assistant."""

import uvicorn

from contracts import log_lines, traces
from genai_assistant.app import create_app
from genai_assistant.settings import Settings


def main() -> None:
    """Serve until SIGTERM."""
    log_lines.configure("genai-assistant")
    traces.configure("genai-assistant")
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
    )


if __name__ == "__main__":
    main()
