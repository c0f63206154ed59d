"""Print what the processor merged, newest minute last."""

import json
from pathlib import Path

from pymongo import MongoClient

uri = json.loads(Path("temp/local/instance.json").read_text())["mongod_uri"]

with MongoClient(uri) as client:
    peaks = client.solar.peaks
    print(f"solar.peaks holds {peaks.count_documents({})} documents; the last five:")
    for peak in reversed(list(peaks.find().sort("_id.minute", -1).limit(5))):
        print(peak)
