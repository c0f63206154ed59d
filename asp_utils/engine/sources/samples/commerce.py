"""`samplecommerce`: orders of an online shop (the name is public, the shape our own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asp_utils.engine.sources.samples import Sample, iso

if TYPE_CHECKING:
    import random
    from datetime import datetime

_GOODS: Final = (
    ("sku-100", "notebook", "stationery", 4.5),
    ("sku-101", "fountain pen", "stationery", 32.0),
    ("sku-200", "tea kettle", "kitchen", 28.9),
    ("sku-201", "bread knife", "kitchen", 19.0),
    ("sku-300", "rain jacket", "clothing", 74.0),
    ("sku-301", "wool socks", "clothing", 11.5),
)
_COUNTRIES: Final = ("BR", "CA", "DE", "FR", "IN", "JP", "US")
_CUSTOMERS: Final = 500


def _order(number: int, moment: datetime, dice: random.Random) -> dict[str, Any]:
    items: list[dict[str, Any]] = [
        {"sku": sku, "name": name, "category": kind, "price": price, "quantity": quantity}
        for sku, name, kind, price in dice.sample(_GOODS, dice.randrange(1, 4))
        for quantity in (dice.randrange(1, 4),)
    ]
    return {
        "order_id": f"order-{number}",
        "customer_id": f"customer-{dice.randrange(_CUSTOMERS)}",
        "timestamp": iso(moment),
        "items": items,
        "total": round(sum(item["price"] * item["quantity"] for item in items), 2),
        "currency": "EUR",
        "payment": dice.choice(("card", "invoice", "wallet")),
        "shipping": {"country": dice.choice(_COUNTRIES), "express": dice.random() < 0.2},
    }


SAMPLE = Sample("samplecommerce", 200, _order)
