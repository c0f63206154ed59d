"""The Admin API of the local instance: the same paths, versions, bodies and errors as Atlas."""
