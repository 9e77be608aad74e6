#!/bin/bash
# release.sh eager|graphs: one release after the other, each result kept as soon as it is there.
# eager: verification without CUDA graphs, then what must fail. graphs: the whole release.
set -u
mode=$1; here=$(cd "$(dirname "$0")" && pwd); out=/tmp/out
mkdir -p $out; exec > $out/drive-"$mode".log 2>&1
t0=$(date +%s); say() { echo "[$(( $(date +%s) - t0 )) s] $*"; }
say "PYTHONDONTWRITEBYTECODE=${PYTHONDONTWRITEBYTECODE:-}"; unset PYTHONDONTWRITEBYTECODE # every engine imports torch twice
SYS=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
(python3 -m compileall -q -j 8 "$SYS"/{torch,triton,transformers,sympy} > /dev/null 2>&1; say "bytecode of the image's packages") &
bash "$here"/unpack.sh; cp "$here"/*.whl /tmp/wheelhouse/ 2>/dev/null; say unpacked
P=$(/tmp/worker/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp "$here"/tuner_cap.py "$P"/fl_tuner_cap.py; echo 'import fl_tuner_cap' > "$P"/fl_tuner_cap.pth
nvidia-smi > $out/nvidia-smi-before-"$mode".txt; nvidia-smi -L; /tmp/worker/bin/python -V
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheelhouse HF_HUB_OFFLINE=1 DAGSTER_HOME=/tmp/dhome PYTHONPATH=/tmp/flagrelease PATH=/tmp/host/bin:$PATH
mkdir -p /tmp/dhome /tmp/models /tmp/mm; cp /tmp/flagrelease/dagster.yaml /tmp/dhome
cp -r /tmp/flagrelease/container_scripts /tmp/mm/; cp /tmp/flagrelease/flagrelease_assets/demo/programs/make_model.py /tmp/mm/container_scripts/
/tmp/worker/bin/python -m pip install -q --no-deps gguf 2>&1 | tail -2
models() {
  /tmp/worker/bin/python /tmp/mm/container_scripts/make_model.py smollm2 --target /tmp/models/smollm2 --output $out/model.json 2>&1 | tail -1
  cp -r /tmp/models/smollm2 /tmp/models/unknown-architecture
  sed -i 's/LlamaForCausalLM/NoSuchModelForCausalLM/' /tmp/models/unknown-architecture/config.json; say model
}
[ -e "$here"/results.tar.gz ] && tar -xzf "$here"/results.tar.gz -C $out
cd /tmp/flagrelease; export FLAGRELEASE_DEPLOYMENT=$here/flagrelease.yaml
flagrelease() { /tmp/host/bin/python -m flagrelease_assets.cli "$@"; }
memory() { nvidia-smi --query-gpu=memory.used --format=csv,noheader; }
one() { # LOG MODEL JOB: one job, with the device's memory before and after
  before=$(memory); flagrelease release nvidia "$2" --job "$3" > $out/"$1".log 2>&1; code=$?
  sleep 2; say "$1: exit $code, device memory $before before, $(memory) after"
}
if [ "$mode" = graphs ]; then
  models & # the release needs it after its installation, which takes longer
  one release-graphs HuggingFaceTB/SmolLM2-135M-Instruct release
else
  models; flagrelease worker check nvidia --json > $out/worker-check.json; say "worker check $?"
  one release-eager HuggingFaceTB/SmolLM2-135M-Instruct-eager verify
  for failure in missing-path too-long-context unknown-architecture more-devices-than-there-are too-much-cache; do
    one failure-$failure failures/$failure run_a
  done
  ( for _ in $(seq 400); do pid=$(pgrep -f 'vllm.entrypoints.cli.main serve' | head -1)
      [ -n "$pid" ] && { sleep 8; kill -KILL "$pid"; echo "killed server $pid while it loaded"; break; }; sleep 0.5; done ) &
  one failure-killed-while-loading failures/killed-while-loading run_a
fi
nvidia-smi > $out/nvidia-smi-after-"$mode".txt
touch $out/done
