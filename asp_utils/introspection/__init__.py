"""What is derived from signatures: models, schemas, registry, explanations of bad configs."""
