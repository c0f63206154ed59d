"""What is generated from a registry: wrappers, schemas, help, index, reference pages."""
