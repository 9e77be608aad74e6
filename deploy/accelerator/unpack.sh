#!/bin/bash
# Unpack, make worker and host environments, the model. Log lines with seconds.
set -u
t0=$(date +%s); say() { echo "[$(( $(date +%s) - t0 )) s] $*"; }
cd /tmp && cat /tmp/parts/part-* > payload.tar && mkdir -p pay && tar -xf payload.tar -C pay && rm payload.tar; say unpacked
cd /tmp/pay && mkdir -p vt && tar -xJf vllm-rest.tar.xz -C vt & xz -dc /tmp/pay/vllm-C.so.xz > /tmp/C.so & wait; cp /tmp/C.so /tmp/pay/vt/vllm/_C_stable_libtorch.abi3.so; say vllm tree
python3 - <<'PY'
import zipfile, os
root="/tmp/pay/vt"; out="/tmp/pay/wv/vllm-0.24.0-cp38-abi3-manylinux_2_28_x86_64.whl"
with zipfile.ZipFile(out,"w",zipfile.ZIP_STORED) as z:
    for d,_,fs in os.walk(root):
        for f in fs:
            p=os.path.join(d,f); z.write(p, os.path.relpath(p,root))
PY
mv /tmp/pay/wv /tmp/wheelhouse; say wheel
SYS=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'); PY=$(command -v python3); say "system python $PY $SYS"
for v in worker host; do python3 -m venv /tmp/$v 2>/tmp/venv-$v.log || python3 -m venv --without-pip /tmp/$v; P=$(/tmp/$v/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'); echo "$SYS" > $P/zz_system.pth; done
/tmp/worker/bin/python -c 'import torch,triton,pip; print(torch.__version__, triton.__version__, pip.__version__)'; say venvs
/tmp/host/bin/python -m pip install -q --no-index --no-deps --no-compile --disable-pip-version-check /tmp/pay/wh/*.whl 2>&1 | tail -3; say host packages
mkdir -p /tmp/flagrelease && cd "$REPO" && cp -r flagrelease_assets container_scripts pyproject.toml dagster.yaml workspace.yaml /tmp/flagrelease/; say project
