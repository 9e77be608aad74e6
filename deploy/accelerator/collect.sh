#!/bin/bash
# collect.sh SECONDS: wait for release.sh that long, then pack what is there.
end=$(( $(date +%s) + $1 ))
while [ "$(date +%s)" -lt $end ] && [ ! -e /tmp/out/done ]; do sleep 2; done
(cd /tmp/flagrelease-worker/runs/*/benchmark_metrics && tar -czf "$OUT"/profiles.tar.gz */profiles) 2>/dev/null
cd /tmp && tar -czf "$OUT"/out.tar.gz out 2>/dev/null
tail -n 12 /tmp/out/drive-*.log; for log in release-graphs release-eager; do tail -n 12 /tmp/out/$log.log 2>/dev/null; done
nvidia-smi --query-gpu=memory.used --format=csv
