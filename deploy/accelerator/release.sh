#!/bin/bash
set -u
exec > /tmp/out/drive.log 2>&1
t0=$(date +%s); say() { echo "[$(( $(date +%s) - t0 )) s] $*"; }
bash /tmp/s/setup.sh; cp /tmp/s/*.whl /tmp/wheelhouse/; say setup done
P=$(/tmp/worker/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp /tmp/s/tuner_cap.py $P/fl_tuner_cap.py; echo 'import fl_tuner_cap' > $P/fl_tuner_cap.pth
nvidia-smi > /tmp/out/nvidia-smi-before.txt
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheelhouse HF_HUB_OFFLINE=1 DAGSTER_HOME=/tmp/dhome PYTHONPATH=/tmp/flagrelease PATH=/tmp/host/bin:$PATH
mkdir -p /tmp/dhome /tmp/models /tmp/mm; cp /tmp/flagrelease/dagster.yaml /tmp/dhome; cp -r /tmp/flagrelease/container_scripts /tmp/mm/; cp /tmp/flagrelease/flagrelease_assets/demo/programs/make_model.py /tmp/mm/container_scripts/
/tmp/worker/bin/python -m pip install -q --no-deps gguf 2>&1 | tail -2
/tmp/worker/bin/python /tmp/mm/container_scripts/make_model.py smollm2 --target /tmp/models/smollm2 --output /tmp/out/model.json 2>&1 | tail -5; say model; ls -la /tmp/models/smollm2
cd /tmp/flagrelease; export FLAGRELEASE_DEPLOYMENT=/tmp/s/flagrelease.yaml
F="/tmp/host/bin/python -m flagrelease_assets.cli"
timeout 120 $F worker check nvidia --json > /tmp/out/worker-check.json; say worker check $?
timeout 1300 $F release nvidia HuggingFaceTB/SmolLM2-135M-Instruct > /tmp/out/release-graphs.log 2>&1; say graphs $?
nvidia-smi > /tmp/out/nvidia-smi-after1.txt
timeout 700 $F release nvidia HuggingFaceTB/SmolLM2-135M-Instruct-eager --job verify > /tmp/out/release-eager.log 2>&1; say eager $?
nvidia-smi > /tmp/out/nvidia-smi-after2.txt
touch /tmp/out/done
