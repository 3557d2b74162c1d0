"""What routes may ask for."""

from typing import Annotated

from fastapi import Depends, Request

from batch_layer.services import Services
from batch_layer.transactions.service import TransactionService


def get_services(request: Request) -> Services:
    """Return what the lifespan holds, started or not."""
    services: Services = request.app.state.services
    return services


def get_transactions(request: Request) -> TransactionService:
    """Return the transactions side.

    Raises:
        ServiceUnavailableError: While the Spark session is not up.
    """
    return get_services(request).transactions


ServicesDep = Annotated[Services, Depends(get_services)]
TransactionsDep = Annotated[TransactionService, Depends(get_transactions)]
