"""Signatures of failures in the engine, in a model and in the multi-chip packages.

Belongs here: wordings of vLLM, model loading, serving, FlagGems, FlagTree, FlagCX and the plugin.
Does not belong here: wordings of drivers, runtimes and networks (environment_signatures).
"""

from __future__ import annotations

from typing import Tuple

from container_scripts.error_vocabulary import (
    FLAGCX,
    FLAGGEMS,
    FLAGTREE,
    MODEL,
    OVERRIDE,
    PLUGIN,
    TORCH,
    UNKNOWN,
    USER,
    VLLM,
    WEAK,
    Signature,
    rows,
)

_FAILS = (
    r"(?:\berrors?\b|\w*Error\b|\bfail\w*|\binvalid|not found|not implemented|unsupported|not supported"
    r"|no attribute|cannot import|no module named|could not)"
)
_ENGINE = [
    *rows("vllm_import", "2", VLLM, r"No module named '?vllm(?![_\w])", r"libcudart.*vllm|vllm.*libcudart"),
    *rows("plugin_load", "2", PLUGIN, r"Failed to load plugin '?(?:fl|vllm_fl|flagos)\b.*"),
    *rows(
        "plugin_load", "2", VLLM, r"Failed to load plugin .*", r"Only one platform plugin can be activated.*"
    ),
    *rows(
        "operator_missing",
        "2",
        VLLM,
        r"Could not run '(?:_\w*C\w*|vllm)::\w+'",
        r"'_OpNamespace' '(?:_\w*C\w*|vllm\w*)' object has no attribute.*",
        r"No module named '?vllm\._\w*C\w*",
    ),
    *rows(
        "config",
        "2",
        USER,
        r"must be divisible by tensor parallel size.*",
        r"is not divisible by (?:the )?(?:tensor|number of|tp).*",
        r"tensor parallel size .* divisible",
        r"World size .{0,20}larger than the number of available.*",
        r"User-specified max_model_len .*",
        r"unrecognized arguments?:.*",
        r"argument --?\S+: (?:invalid|expected).*",
        r"Bfloat16 is only supported on.*",
        r"No such option|invalid choice:.*",
        r"HF_TOKEN|huggingface-cli login",
        r"(?:max_num_batched_tokens|max_num_seqs|gpu_memory_utilization"
        r"|block_size) .{0,80}(?:must|should|smaller|less|greater).*",
        r"Cannot find any model weights with|please specify",
        r"requires you to execute the .*code|set the (?:option|argument) `?-{0,2}trust[_-]remote[_-]code",
        r"Unknown quantization method|quantization method .{0,40}is not (?:currently )?supported.*"
        r"|requires? .{0,40}compute capability.*",
        r"Attention backend .* (?:is )?not supported|Invalid (?:attention )?backend.*",
        r"does not support .* (?:dtype|quantization|parallel).*",
        r"unhandled errors? .*dtype|Unknown dtype.*",
        r"Input should be .*\[type=.*",
        r"is larger than the number of available GPUs",
    ),
    *rows(
        "collective_hang",
        "4",
        TORCH,
        r"Watchdog caught collective operation timeout.*",
        r"collective operation timeout",
        r"notify wait time ?out|EI0002",
        r"\bProcessGroup(?:NCCL|HCCL|Gloo|MCCL)\S*.{0,120}time(?:d )?out",
        strength=OVERRIDE,
    ),
    *rows(
        "collective_hang",
        "4",
        FLAGCX,
        r"\bflagcx\w*.{0,120}(?:time(?:d )?out|hang|hung|deadlock)",
        strength=OVERRIDE,
    ),
    *rows(
        "timeout",
        "3",
        UNKNOWN,
        r"No available shared memory broadcast block found.*",
        r"RPC call to \w+ timed out",
        r"\bTimeoutError\b",
        strength=WEAK,
    ),
]

_MODEL = [
    *rows(
        "arch",
        "3",
        MODEL,
        r"Model architectures? .{0,120}(?:are|is) not supported.*",
        r"model type .{0,60}does not recognize this architecture.*",
        r"has no vLLM implementation.*",
        r"Unrecognized model in .*|Unrecognized configuration class",
        r"failed to be inspected",
    ),
    *rows(
        "model_not_found",
        "3",
        MODEL,
        r"does not appear to have a file named.*",
        r"is neither a folder in this worker nor a hub id.*",
        r"ModelFilesError: config\.json .*",
        r"Repository ?Not ?Found.*",
        r"Repo id must be in the form.*",
        r"is not a local folder and is not a valid model",
        r"Can'?t load (?:the )?(?:tokenizer|configuration"
        r"|config|model|feature extractor|image processor).*",
        r"Invalid repository ID or local directory.*",
        r"No such file or directory: \S*(?:config\.json|tokenizer\S*|\.safetensors|\.bin|\.gguf)\b",
        r"config\.json.{0,40}(?:not found|missing|does not exist)",
        r"Entry ?Not ?Found ?Error",
        r"Revision ?Not ?Found",
        r"(?:404|not exist).{0,80}(?:model|repo)",
        r"No supported config format found",
    ),
    *rows(
        "weights",
        "3",
        MODEL,
        r"ModelFilesError: (?:shard|no weight files) .*",
        r"size mismatch for .*",
        r"KeyError: '(?:model|layers|lm_head|transformer|language_model|visual)\..*",
        r"safetensors_rust\.\w+|SafetensorError.*"
        r"|(?:HeaderTooLarge|MetadataIncompleteBuffer|InvalidHeader)",
        r"not initialized from checkpoint.*",
        r"Error\(s\) in loading state_dict",
        r"There is no module or parameter named.*",
        r"PytorchStreamReader failed.*",
        r"Attempted to load weight .{0,80}into parameter.*",
        r"UnpicklingError.*",
    ),
    *rows(
        "tokenizer",
        "3",
        MODEL,
        r"ModelFilesError: no tokenizer .*",
        r"Tokenizer class \S+ does not exist.*|(?:couldn'?t|could not) instantiate the backend tokenizer.*"
        r"|sentencepiece.{0,40}(?:not found|not installed)",
        r"chat template .{0,60}(?:must|not|no longer|required).*"
        r"|default chat template is no longer allowed",
    ),
    *rows(
        "request",
        "3",
        USER,
        r"Error in preprocessing prompt",
        r"This model'?s maximum context length is.*",
        r"\bBadRequestError\b|\"?400 Bad Request\"?",
        r"The decoder prompt .{0,60}longer than the maximum model length",
    ),
    *rows(
        "port_in_use",
        "3",
        UNKNOWN,
        r"Address already in use",
        r"port \d+ is already (?:in use|allocated)|EADDRINUSE",
    ),
    *rows("false_ready", "3", UNKNOWN, r"false[- ]ready"),
    *rows(
        "empty_or_garbled",
        "3",
        UNKNOWN,
        r"(?:output|answer|completion|text) (?:is |was )?(?:empty|degenerate|garbled)",
        r"non_empty|not_degenerate",
    ),
    *rows("server", "3", UNKNOWN, r"Engine is already dead, terminating server.*", fatal=True, strength=WEAK),
    *rows(
        "server",
        "3",
        UNKNOWN,
        r"Engine ?Dead ?Error",
        r"\bengine (?:is |was )?(?:already )?dead",
        r"\bHTTP(?: status)? 5\d\d\b",
        strength=WEAK,
    ),
    *rows(
        "server",
        "3",
        VLLM,
        r"Worker failed with error '+.*(?:no attribute"
        r"|unexpected keyword|positional argument|NoneType|not defined)",
        strength=WEAK,
    ),
]

_COMPILERS = r"(?:bishengir-compile|ttir|ttgir|tt\.\w+|linalg|mlir\w*|llvm)"
# FlagGems names its kernels after the ATen operators that they replace.
_ATEN = (
    r"(?:add)?mm|bmm|mv|baddbmm|(?:log_)?softmax|(?:layer|group|rms|batch)_norm|cumsum|topk|sort|index_select"
    r"|embedding|gather|scatter|arg(?:max|min)|amax|sum|mean|mul|add|sub|div|true_div|exp|sin|cos|pow|silu"
    r"|gelu|relu|sigmoid|tanh|rsqrt|where|cat|copy|fill|zeros|ones|full|arange|masked_fill|dropout"
    r"|repeat_interleave|flash_attn\w*|unique|nonzero|isin"
)
_MULTICHIP = [
    *rows(
        "flagtree",
        "4",
        FLAGTREE,
        r"ptxas (?:fatal|error) .*",
        r"PassManager::run failed",
        r"Internal Triton PTX codegen error.*",
        r"(?:PTXAS|MLIRCompilation|HSACO|LLVMIR|CompileTime)Error\b.*",
        r"triton\.compiler\.\w*\.?\w*Error.*",
        r"\bptxas\b.*returned non-zero exit status",
        r"0 active drivers \(.*",
        r"\d+ active drivers \(\[.*\]\)\. There should only be one",
        r"\d+ compatible backends for target .*",
        r"bishengir-compile.{0,40}(?:error|cannot|fail).*",
        r"\[Convert\w+To\w+\] .*",
        r"\btriton\b.*\bcompil\w+ (?:error|fail\w*).*",
        r"\blibtriton\w*\.so\b.{0,60}(?:cannot|undefined|error)",
        rf"\b{_COMPILERS}\b.{{0,60}}(?:cannot be legalized|failed to legalize|failed to translate)",
        r"failed to legalize operation 'tt\..*",
        r"\bCannot find option named .*",
        r"LLVM ERROR: .*",
        r"\btriton\b.*(?:incompatib\w*|not compatible|cannot ensure compatib\w*|version mismatch)",
        r"\bflag_?tree\b.*" + _FAILS,
        r"AssertionError.{0,40}triton|triton.{0,60}Assertion .* failed",
        r"clang .{0,60}Unknown command line argument",
        r"unsupported (?:target|arch\w*) .{0,20}(?:gfx|sm_|ivcore|mp_|xcore)",
    ),
    *rows(
        "dispatch",
        "4",
        PLUGIN,
        r"(?<![/\w])vllm[_-](?:plugin[_-])?fl\b(?!/).*" + _FAILS,
        _FAILS + r" in vllm_fl\.",
        r"\bImplementation '(?:default\.flagos|vendor\.\w+|reference\.\w+)' fail.*",
        r"All \d+ implementation\(s\) failed for op=.*",
        r"No (?:available )?implementation .{0,40}for op\b.*",
        quiet=True,
    ),
    *rows(
        "flaggems",
        "4",
        FLAGGEMS,
        r"(?<![/\w])flag[_-]?gems\b(?!/).*" + _FAILS,
        _FAILS + r".*(?<![/\w])flag[_-]?gems\b(?!/)",
        r"libtriton_jit.{0,80}" + _FAILS,
    ),
    *rows(
        "flaggems",
        "4",
        "",
        r"triton\.runtime\.errors\.OutOfResources.*|\bOutOfResources\b.*"
        r"|out of resource: (?:shared memory|threads|registers|tensor memory).*",
        strength=OVERRIDE,
    ),
    *rows(
        "flagcx",
        "4",
        FLAGCX,
        r"\bflagcx\w*\b.*(?:fail|error|invalid|not fully|undefined|unsupported).*",
        r"flagcx\S*:\d+:.*Assertion .*failed.*",
        r"Assertion `?.*flagcx\w*.*failed",
    ),
    *rows("flaggems", "4", FLAGGEMS, rf"kernel ?Name\W+(?:{_ATEN})_kernel", fatal=True, strength=OVERRIDE),
    *rows(
        "numerical",
        "4",
        UNKNOWN,
        r"(?:(?:is|are|got|has|contains?|contained|found|produced|returned|with|or"
        r"|logprobs?|loss|values?|becomes?)\W{1,3})(?:nan|inf|-inf|infinite)s?\b",
        r"\b(?:nan|inf)s? (?:or (?:nan|inf)s? )?(?:values?|detected"
        r"|found|in (?:logits|output|loss|weights|hidden|tensor|the))",
        r"numerical mismatch.*",
        r"non-?finite log-?prob\w*.*",
        r"probability tensor contains either",
        r"Out of range float values are not JSON compliant.*",
        r"Tensor-likes are not (?:close|equal).*|Mismatched elements:.*",
    ),
]

ENGINE_SIGNATURES: Tuple[Signature, ...] = (*_MULTICHIP, *_ENGINE, *_MODEL)
