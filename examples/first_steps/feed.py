"""Insert ten minutes of made-up solar readings: `python feed.py MONGOD_URI`."""

import random
import sys
from datetime import UTC, datetime, timedelta

from pymongo import MongoClient

begin = datetime.now(UTC).replace(second=0, microsecond=0)
readings = [
    {
        "device_id": f"device_{second % 5}",
        "timestamp": (begin + timedelta(seconds=second)).isoformat(),
        "max_watts": 450,
        "obs": {"watts": random.randrange(450), "temp": random.randrange(5, 26)},
    }
    for second in range(600)
]
with MongoClient(sys.argv[1]) as client:
    client.solar.readings.insert_many(readings)
