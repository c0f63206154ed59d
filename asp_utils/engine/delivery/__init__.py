"""From the end of a pipeline to the sink: output, transactions, checkpoints, dead letters."""
