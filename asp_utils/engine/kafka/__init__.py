"""Kafka's own words: consuming, producing, what becomes of records."""
