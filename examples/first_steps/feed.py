"""Insert ten minutes of made-up solar readings into the local instance."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pymongo import MongoClient

uri = json.loads(Path("temp/local/instance.json").read_text())["mongod_uri"]

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
with MongoClient(uri) as client:
    client.solar.readings.insert_many(readings)
