"""Weights, prices and names of transactions, in the order of the contract's value lists."""

from contracts import transactions as contract

CATEGORY_WEIGHTS = (0.20, 0.18, 0.22, 0.10, 0.08, 0.07, 0.04, 0.05, 0.03, 0.03)
PAYMENT_WEIGHTS = (0.30, 0.20, 0.25, 0.10, 0.05, 0.08, 0.02)
CHANNEL_WEIGHTS = (0.25, 0.20, 0.35, 0.15, 0.05)
TIER_WEIGHTS = (0.50, 0.30, 0.15, 0.05)
REGION_WEIGHTS = (0.22, 0.25, 0.12, 0.28, 0.08, 0.05)
STATUS_WEIGHTS = (0.92, 0.04, 0.02, 0.015, 0.005)
QUANTITY_WEIGHTS = (0.70, 0.20, 0.10 / 3, 0.10 / 3, 0.10 / 3)
DISCOUNT_WEIGHTS = (0.60, 0.30, 0.10)
DISCOUNT_RANGES = ((0, 0), (5, 15), (20, 50))
CARD_WEIGHTS = (0.40, 0.30, 0.07, 0.20, 0.03)
TAX_RATE = 0.09
CURRENCY = "INR"

WEEKEND_BOOST = {"grocery": 1.4, "clothing": 1.4}
WEEKDAY_BOOST = {"electronics": 1.3}

REGIONS = ("north", "south", "east", "west", "central", "northeast")
"""The order of ``REGION_WEIGHTS``."""

DEVICE_WEIGHTS = {
    "web": (0.08, 0.05, 0.75, 0.12),
    "mobile_app": (0.66, 0.30, 0.0, 0.04),
    "marketplace": (0.45, 0.20, 0.30, 0.05),
}
"""Shares of ``DEVICE_TYPES`` by channel; the other channels have no device."""

HOUR_WEIGHTS = (*(0.15,) * 6, 0.4, 0.6, 0.9, *(1.5,) * 9, 1.3, 1.3, 1.2, 1.0, 0.6, 0.3)
"""How busy each hour of the day (UTC) is; business hours, 9 to 18, are the busiest."""

PRICE_RANGES = {
    "electronics": (29.99, 2499.99),
    "clothing": (9.99, 299.99),
    "grocery": (1.99, 89.99),
    "home_garden": (14.99, 999.99),
    "sports": (19.99, 799.99),
    "beauty": (4.99, 199.99),
    "automotive": (9.99, 499.99),
    "books": (5.99, 49.99),
    "toys": (7.99, 199.99),
    "pharmacy": (2.99, 149.99),
}

SUB_CATEGORIES = {
    "electronics": ("smartphone", "laptop", "headphones", "camera", "tablet"),
    "clothing": ("shirt", "dress", "jeans", "shoes", "jacket"),
    "grocery": ("produce", "dairy", "bakery", "snacks", "beverages"),
    "home_garden": ("furniture", "lighting", "kitchen", "garden", "bedding"),
    "sports": ("fitness", "cycling", "running", "camping", "racket"),
    "beauty": ("skincare", "makeup", "haircare", "fragrance", "bath"),
    "automotive": ("tyres", "oil", "accessories", "tools", "electronics"),
    "books": ("fiction", "science", "history", "children", "cooking"),
    "toys": ("puzzle", "board_game", "doll", "vehicle", "building"),
    "pharmacy": ("vitamins", "first_aid", "pain_relief", "baby_care", "oral_care"),
}
BRANDS = ("Aurora", "Northwind", "Kestrel", "Lumina", "Terravale", "Orchid", "Bluepeak", "Sable")

CITIES = {
    "north": (
        ("Delhi", "Delhi", "110"),
        ("Jaipur", "Rajasthan", "302"),
        ("Amritsar", "Punjab", "143"),
    ),
    "south": (
        ("Bengaluru", "Karnataka", "560"),
        ("Chennai", "Tamil Nadu", "600"),
        ("Kochi", "Kerala", "682"),
    ),
    "east": (("Kolkata", "West Bengal", "700"), ("Patna", "Bihar", "800")),
    "west": (
        ("Mumbai", "Maharashtra", "400"),
        ("Pune", "Maharashtra", "411"),
        ("Surat", "Gujarat", "395"),
    ),
    "central": (("Bhopal", "Madhya Pradesh", "462"), ("Raipur", "Chhattisgarh", "492")),
    "northeast": (("Guwahati", "Assam", "781"), ("Shillong", "Meghalaya", "793")),
}

CARD_PAYMENTS = contract.PAYMENT_METHODS[:2]
ONLINE_CHANNELS = tuple(DEVICE_WEIGHTS)
