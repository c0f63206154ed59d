"""Kafka Connect's MongoDB connectors, turned into connections, topics and a pipeline."""
