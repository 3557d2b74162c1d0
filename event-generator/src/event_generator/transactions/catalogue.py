"""What is sold, to whom and where. None of it depends on the seed: history and stream agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts import transactions as contract
from event_generator.draws import Codes, Objects, generator, pool, shares, uniform_integers
from event_generator.errors import ConfigurationError
from event_generator.transactions import vocabulary as words

_PRODUCTS, _CUSTOMERS, _STORES = range(3)
_CATALOGUE_SEED = 31


@dataclass(frozen=True, slots=True)
class Products:
    """Products as columns, sorted by category.

    Attributes:
        first: For each category, by code, the position of its first product.
        count: For each category, by code, how many products it has.
    """

    first: Codes
    count: Codes
    ids: Objects
    names: Objects
    sub_categories: Objects
    brands: Objects
    prices: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Places:
    """Somebody's or something's place, as columns."""

    ids: Objects
    regions: Codes
    cities: Objects
    states: Objects
    postal_codes: Objects


def products(number: int) -> Products:
    """Return ``number`` products, at least one of each category.

    Raises:
        ConfigurationError: If there are fewer products than categories.
    """
    categories = contract.CATEGORIES
    if number < len(categories):
        raise ConfigurationError(
            f"NUM_PRODUCTS: {number} is less than {len(categories)}, one for each category"
        )
    rng = generator(_CATALOGUE_SEED, _PRODUCTS)
    count = np.array(shares(words.CATEGORY_WEIGHTS, number - len(categories))) + 1
    codes = np.repeat(np.arange(len(categories)), count)
    ranges = np.array([words.PRICE_RANGES[category] for category in categories])[codes]
    prices = np.round(ranges[:, 0] + rng.random(number) * (ranges[:, 1] - ranges[:, 0]), 2)
    kinds = uniform_integers(rng, 0, 4, number).tolist()
    brands = [words.BRANDS[code] for code in uniform_integers(rng, 0, 7, number)]
    subs = [
        words.SUB_CATEGORIES[categories[code]][kind]
        for code, kind in zip(codes.tolist(), kinds, strict=True)
    ]
    numbered = enumerate(zip(brands, subs, strict=True), start=1)
    return Products(
        first=np.cumsum(count) - count,
        count=count,
        ids=pool([f"PROD-{index:05d}" for index in range(1, number + 1)]),
        names=pool([f"{b} {s.replace('_', ' ').title()} {index}" for index, (b, s) in numbered]),
        sub_categories=pool(subs),
        brands=pool(brands),
        prices=prices,
    )


def customers(number: int) -> tuple[Places, Codes]:
    """Return ``number`` customers and their tiers, shared out over tiers and regions exactly."""
    rng = generator(_CATALOGUE_SEED, _CUSTOMERS)
    tiers = np.repeat(np.arange(len(words.TIER_WEIGHTS)), shares(words.TIER_WEIGHTS, number))
    places = _places(rng, "CUST-", 6, number)
    return places, rng.permutation(tiers)


def stores(number: int) -> Places:
    """Return ``number`` stores, shared out over the regions."""
    return _places(generator(_CATALOGUE_SEED, _STORES), "STORE-", 3, number)


def local_stores(rng: np.random.Generator, stores: Places, regions: Codes) -> Codes:
    """Draw a store of each region named; any store where the region has none."""
    uniform = rng.random(len(regions))
    drawn = (uniform * len(stores.ids)).astype(np.int64)
    for region in range(len(words.REGIONS)):
        local, here = np.flatnonzero(stores.regions == region), regions == region
        if len(local):
            drawn[here] = local[(uniform[here] * len(local)).astype(np.int64)]
    return drawn


def _places(rng: np.random.Generator, prefix: str, digits: int, number: int) -> Places:
    codes = np.repeat(np.arange(len(words.REGIONS)), shares(words.REGION_WEIGHTS, number))
    regions = rng.permutation(codes)
    towns = [
        words.CITIES[words.REGIONS[region]][int(part * len(words.CITIES[words.REGIONS[region]]))]
        for region, part in zip(regions.tolist(), rng.random(number).tolist(), strict=True)
    ]
    ends = uniform_integers(rng, 1, 99, number).tolist()
    return Places(
        ids=pool([f"{prefix}{index:0{digits}d}" for index in range(1, number + 1)]),
        regions=regions,
        cities=pool([city for city, _, _ in towns]),
        states=pool([state for _, state, _ in towns]),
        postal_codes=pool(
            [f"{code}{end:03d}" for (_, _, code), end in zip(towns, ends, strict=True)]
        ),
    )
