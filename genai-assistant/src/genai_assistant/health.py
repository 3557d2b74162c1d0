"""Health of the assistant and, through the serving layer, of the layers behind it."""

import asyncio

from contracts.api import Consistency
from genai_assistant.bodies import Health
from genai_assistant.errors import ServingError
from genai_assistant.evidence import REAL_TIME
from genai_assistant.metrics import Metrics
from genai_assistant.model import ChatModel
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.serving_client import ServingClient

HEALTHY = "healthy"
UNAVAILABLE = "unavailable"
DISABLED = "disabled"
STARTING = "starting"


class HealthCheck:
    """Looks at every dependency, concurrently; never raises."""

    def __init__(
        self,
        serving: ServingClient,
        index: ThreatIndex,
        metrics: Metrics,
        model: ChatModel | None,
    ) -> None:
        self._serving = serving
        self._index = index
        self._metrics = metrics
        self._model = model

    async def look(self) -> Health:
        """Return the state now."""
        is_serving, is_trained, account = await asyncio.gather(
            self._serving.is_ok("/api/health/ready"),
            self._serving.is_ok("/api/training-data/health"),
            self._account(),
        )
        serving = HEALTHY if is_serving else UNAVAILABLE
        # Without a published run the serving layer says 503, like one that is broken.
        no_training = STARTING if is_serving else UNAVAILABLE
        services = {
            "serving_api": serving,
            "rag_service": HEALTHY if len(self._index) else UNAVAILABLE,
            "openai": self._model_state(),
            "training_data": HEALTHY if is_trained else no_training,
        }
        layers = {
            "speed_layer": UNAVAILABLE if account is None or not account.complete else HEALTHY,
            "batch_layer": _batch_state(account),
            "serving_layer": serving,
        }
        for name, state in {**services, **layers}.items():
            self._metrics.dependency_health.labels(name).set(state in {HEALTHY, DISABLED})
        is_well = all(state in {HEALTHY, DISABLED} for state in {**services, **layers}.values())
        return Health(
            status=HEALTHY if is_well else "degraded",
            services=services,
            lambda_architecture=layers,
            mode=self._model.name if self._model else "evidence",
        )

    def _model_state(self) -> str:
        """Tell from the last call; asking the model for its health would cost money."""
        if self._model is None:
            return DISABLED
        return UNAVAILABLE if self._model.last_error else HEALTHY

    async def _account(self) -> Consistency | None:
        try:
            return await self._serving.get("/consistency", Consistency, {}, REAL_TIME)
        except ServingError:
            return None


def _batch_state(account: Consistency | None) -> str:
    if account is None:
        return UNAVAILABLE
    return HEALTHY if account.run_id else STARTING
