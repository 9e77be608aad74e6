#!/bin/bash
# wait.sh SECONDS: wait for the driver, then pack what is there
end=$(( $(date +%s) + $1 ))
while [ $(date +%s) -lt $end ] && [ ! -e /tmp/out/done ]; do sleep 2; done
cd /tmp && tar -czf $OUT/out.tar.gz --exclude='*.safetensors' out 2>/dev/null; cp /tmp/out/*.log $OUT/ 2>/dev/null
tail -n 25 /tmp/out/drive.log; tail -n 15 /tmp/out/release-graphs.log 2>/dev/null; tail -n 15 /tmp/out/release-eager.log 2>/dev/null; nvidia-smi --query-gpu=memory.used --format=csv
