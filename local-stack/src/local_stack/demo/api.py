"""Ask the services, over HTTP alone, as any client would."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from contracts import service_key
from contracts.api import AnomalyRecord, Consistency, Summary
from local_stack.errors import DemoError
from local_stack.settings import Settings

_TIMEOUT_SECONDS = 60
_PAGE = 1000


class Api:
    """The three services that the demo talks to."""

    def __init__(self, settings: Settings) -> None:
        base = f"http://{settings.host}"
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self.serving = f"{base}:{settings.serving_port}"
        self.batch = f"{base}:{settings.batch_port}"
        self.assistant = f"{base}:{settings.assistant_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def summary(self) -> Summary:
        """Return the merged totals, with each layer's share."""
        return Summary.model_validate(self._get(f"{self.serving}/api/stats/summary"))

    def consistency(self) -> Consistency:
        """Return the proof that nothing is missing or counted twice."""
        return Consistency.model_validate(self._get(f"{self.serving}/consistency"))

    def anomalies_since(self, start_ms: int) -> Iterator[AnomalyRecord]:
        """Yield the merged anomalies with an event time of at least ``start_ms``, newest first."""
        for row in self._pages(f"{self.serving}/api/anomalies", {}):
            record = AnomalyRecord.model_validate(row)
            if record.timestamp < start_ms:
                return
            yield record

    def alerts(self) -> list[dict[str, Any]]:
        """Return every alert, newest first."""
        return list(self._pages(f"{self.serving}/api/alerts", {}))

    def training_report(self) -> dict[str, Any]:
        """Return the report of the published security run."""
        return self._object(self._get(f"{self.serving}/api/training-data/report"))

    def start_security_run(self) -> str | None:
        """Start a security run and return its id; None while another one runs."""
        answer = self._send("POST", f"{self.batch}/security/run", {})
        if answer.status_code == httpx.codes.CONFLICT:
            return None
        return str(self._checked(answer)["runId"])

    def security_run(self, run_id: str) -> dict[str, Any]:
        """Return the status of a security run."""
        return self._object(self._get(f"{self.batch}/security/runs/{run_id}"))

    def start_analysis(self, topic: str, start_offset: Mapping[str, int], analysis: str) -> str:
        """Start an analysis of the transactions from some offsets on; return the batch id."""
        body = {
            "topic": topic,
            "startOffset": dict(start_offset),
            "endOffset": "latest",
            "analysisType": analysis,
        }
        answer = self._send("POST", f"{self.batch}/batch/run", body)
        return str(self._checked(answer)["batchId"])

    def analysis(self, batch_id: str) -> dict[str, Any]:
        """Return the status of an analysis."""
        return self._object(self._get(f"{self.batch}/batch/status/{batch_id}"))

    def analysis_rows(self, batch_id: str) -> list[dict[str, Any]]:
        """Return the rows of a finished analysis."""
        body = self._object(self._get(f"{self.batch}/batch/data/{batch_id}/aggregated"))
        return list(body["data"])

    def ask(self, question: str) -> dict[str, Any]:
        """Put a question to the assistant, about the last two days."""
        body = {"question": question, "context_window": "2d"}
        return self._checked(self._send("POST", f"{self.assistant}/query", body))

    def _pages(self, url: str, parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            query = {**parameters, "limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
            page = self._object(self._get(url, query))
            yield from page["data"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def _get(self, url: str, parameters: Mapping[str, str] | None = None) -> object:
        return self._checked(self._send("GET", url, None, parameters))

    def _send(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        parameters: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return self._client.request(
                method, url, json=body, params=parameters, headers=self._headers(url)
            )
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {url}: {error or type(error).__name__}") from error

    def _headers(self, url: str) -> dict[str, str]:
        return service_key.headers() if url.startswith(self.batch) else {}

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        if not answer.is_success:
            request = answer.request
            raise DemoError(
                f"{request.method} {request.url}: {answer.status_code} {answer.text[:500]}"
            )
        return self._object(answer.json())

    @staticmethod
    def _object(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise DemoError(f"expected a JSON object, got {str(value)[:200]}")
        return value
