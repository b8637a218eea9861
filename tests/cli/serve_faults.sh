#!/bin/bash
# The seconds-long version of tests/bench/serve_faults.sh; memory settles only in the long one, and never under sanitizers.
command -v jq >/dev/null && command -v curl >/dev/null || exit 77
exec "$LCF_SOURCE_DIR/tests/bench/serve_faults.sh" "$LCF_BIN_DIR" 6 5 5
