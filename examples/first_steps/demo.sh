#!/usr/bin/env bash
# The main job, with the same wrappers that a coding agent calls. `make demo` runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
steps=examples/first_steps
cli=temp/cli_wrappers

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '\033[36m$ python %s\033[0m\n' "$*"; python "$@"; }

say "A session: every call below is a numbered config in it"
run session_manager.py new

say "The local instance: Atlas Stream Processing on this machine"

run $cli/cli_local_start.py
run $cli/cli_sp_list_connections.py $steps/0_connections.json
# What an interrupted run may have left behind.
python $cli/cli_sp_drop_stream_processor.py $steps/8_drop_processor.json > /dev/null 2>&1 || true

say "Sample the source"
run $cli/cli_sp_process.py $steps/1_sample_source.json

say "Test the logic: a tumbling window, nothing stored"
run $cli/cli_sp_process.py $steps/2_test_logic.json

say "Check the pipeline that is to stay, and run pipelines under a virtual clock"
run $cli/cli_pipeline_check.py $steps/2a_check_pipeline.json
run $cli/cli_pipeline_explain.py $steps/2b_explain_pipeline.json
run $cli/cli_pipeline_test.py $steps/2c_test_examples.json

say "Create the processor with a sink, and start it"
run $cli/cli_sp_create_stream_processor.py $steps/3_create_processor.json
run $cli/cli_sp_start_stream_processor.py $steps/4_start_processor.json

say "Feed it real documents, and sample what it gives"
run $cli/cli_sp_sample_stream_processor.py $steps/5_sample_processor.json &
sample=$!
while kill -0 $sample 2> /dev/null; do
    python $steps/feed.py
done
wait $sample

say "Its statistics, what its windows wait for, and the collection it merged into"
run $cli/cli_sp_get_stream_processor_stats.py $steps/6_stats.json
run $cli/cli_sp_explain_stream_processor.py $steps/6a_why_no_output.json --output pretty
run $steps/read.py

say "Stop, drop, and look at the session"
run $cli/cli_sp_stop_stream_processor.py $steps/7_stop_processor.json
run $cli/cli_sp_drop_stream_processor.py $steps/8_drop_processor.json
run session_manager.py show
run session_manager.py verify
run $cli/cli_local_stop.py
