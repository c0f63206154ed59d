"""What S3, Kinesis and Lambda need beside their sources, stages and sinks."""
