"""Print what the processor merged, newest minute last: `python read.py MONGOD_URI`."""

import sys

from pymongo import MongoClient

with MongoClient(sys.argv[1]) as client:
    peaks = client.solar.peaks
    print(f"solar.peaks holds {peaks.count_documents({})} documents; the last five:")
    for peak in reversed(list(peaks.find().sort("_id.minute", -1).limit(5))):
        print(peak)
