"""Pure knowledge of pipelines: parse, check, plan."""
