"""Signatures of failures around the engine: device, framework, process, network, disk.

Belongs here: wordings of drivers, vendor runtimes, collectives, operating systems and hubs.
Does not belong here: wordings of vLLM, of models and of the multi-chip packages (engine_signatures).
"""

from __future__ import annotations

from typing import Tuple

from container_scripts.error_vocabulary import (
    FLAGCX,
    MEMORY,
    NETWORK,
    OVERRIDE,
    TORCH,
    UNKNOWN,
    USER,
    VLLM,
    WEAK,
    Signature,
    rows,
)

_VENDOR_API = r"(?:CUDA|HIP|ROCm|NPU|MUSA|MACA|MLU|CNRT|XPU|GCU|ACL|DTK|HCU|TOPS|SYCL)"
_COLLECTIVE = r"(?:NCCL|RCCL|HCCL|MCCL|CNCL|ECCL|BKCL|XCCL|IXCCL|Gloo)"

_DEVICE = [
    *rows(
        "device_not_found",
        "0",
        TORCH,
        rf"\bNo {_VENDOR_API} (?:GPUs?|devices?) (?:are|is) available",
        r"no (?:CUDA|ROCm|HIP|MUSA|MACA)-capable device",
        r"\bNo devices were found",
        r"invalid device ordinal",
        r"Found no NVIDIA driver",
        r"no NVIDIA driver on your system",
        r"CUDA_ERROR_NO_DEVICE|hipErrorNoDevice|musaErrorNoDevice",
        r"\bdevice_count\b\W*(?:is |== ?|: ?)?0\b",
        r"/dev/(?:davinci|mxcd|kfd|bi|iluvatar|dri|nvidia|mtgpu|hct)\S*.{0,40}No such",
        r"could not select device driver",
        r"nvidia-container-cli: .*",
        r"Failed to initialize NVML.*",
        r"NVML(?:Error_?| Shared Library | error: )(?:Not ?Found"
        r"|driver not loaded|DriverNotLoaded|Uninitialized)",
        r"NVIDIA-SMI has failed",
        r"(?:npu|mx|ix|mth?gmi|rocm|hy)-?smi.*(?:command not found|No such file)",
        r"Unexpected error from (?:cuda|hip|musa|npu)GetDeviceCount.*",
        r"Error 80[0-9]: ",
        r"\bdrvErr",
        r"dcmi .*(?:init|fail)",
        r"lib(?:ascend_hal|cuda|nvidia-ml|mxcd|drvdsmi_host|musa_driver"
        r"|ixml|hsa-runtime64|cndev|efml)\.so\S*: cannot open",
        r"Torch not compiled with \w+ enabled",
        r"(?:rtSetDevice|aclrtSetDevice|SetDevice).{0,60}(?:fail|error)",
        r"\b(?:no|zero) (?:npu|gpu|musa|accelerator) (?:device )?(?:found|detected|available)",
        r"Unable to determine the device handle for GPU",
        fatal=True,
        strength=OVERRIDE,
    ),
    *rows(
        "device_lost",
        "3",
        TORCH,
        r"DEVICE_LOST\b",
        r"GPU (?:has )?fallen off the bus",
        r"\bXid\b.{0,40}: 79",
        r"device (?:is )?lost",
        fatal=True,
        strength=OVERRIDE,
        quiet=True,
    ),
    *rows(
        "driver_mismatch",
        "0",
        TORCH,
        r"driver version is insufficient",
        r"forward compatibility was attempted",
        r"ncclCommRegister",
        r"driver/library version mismatch",
        r"NVIDIA driver on your system is too old",
        r"unsatisfied condition: cuda",
        r"provided PTX was compiled with an unsupported toolchain",
        fatal=True,
        strength=OVERRIDE,
    ),
    *rows(
        "permission",
        "0",
        TORCH,
        r"Permission denied.{0,80}/dev/",
        r"/dev/\S+.{0,40}(?:Permission denied|Operation not permitted)",
        fatal=True,
        strength=OVERRIDE,
    ),
    *rows(
        "communication",
        "0",
        TORCH,
        rf"\b{_COLLECTIVE}\b (?:error|WARN\b.*(?:error|fail)).*",
        r"\b(?:nccl|rccl|hccl|mccl)(?:System|Internal"
        r"|Unhandled\w*|Remote|InvalidUsage|InvalidArgument)Error",
        r"\bhccl\w*\b.*\b(?:fail\w*|error)\b",
        r"DistBackendError",
    ),
]

_FRAMEWORK = [
    *rows("vllm_import", "1", VLLM, r"/vllm/\S*\.so: undefined symbol.*"),
    *rows("framework", "1", TORCH, r"\b(?:NPU|ACL) function error: .*"),
    *rows(
        "import_torch",
        "1",
        TORCH,
        r"(?:ImportError|ModuleNotFoundError).*\b(?:torch"
        r"|torch_npu|torch_musa|torch_mlu|torch_gcu|torch_xmlir)\b",
        r"No module named '?torch(?:_npu|_musa|_mlu|_gcu|_xmlir|vision|audio)?\b",
        r"Failed to load the backend extension: torch_\w+",
        fatal=True,
    ),
    *rows("flagcx", "4", FLAGCX, r"libflagcx\w*\.so\S*: cannot open"),
    *rows(
        "import_torch",
        "1",
        TORCH,
        r"\blib[\w+\-]+\.so[.\d]*: cannot open shared object file",
        r"undefined symbol: \S+",
        r"version `?(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+'? not found",
    ),
    *rows(
        "kernel_image",
        "1",
        TORCH,
        r"no kernel image is available",
        r"invalid device function",
        r"hipErrorNoBinaryForGpu",
        r"is not compatible with the current PyTorch installation",
        fatal=True,
        strength=OVERRIDE,
    ),
    *rows("import_torch", "1", VLLM, r"Cannot re-initialize (?:CUDA|NPU|MUSA|HIP|\w+) in forked subprocess"),
    *rows(
        "framework",
        "2",
        TORCH,
        r"torch\._(?:dynamo|inductor)\.exc\.\w+",
        r"\b(?:BackendCompilerFailed|InductorError)\b",
        rf"\b{_VENDOR_API} driver error: .*",
        r"Could not run 'aten::\w+.*' with arguments from the '\w+' backend",
        r"\b(?:cublas|cudnn|rocblas|hipblas|mublas|mudnn|aclnn\w*)\w*(?:STATUS_\w+| (?:error|failed)).*",
        r"\btbe compil\w*|E[ZE]\d{4}.{0,40}op(?:erator)? (?:compile|build)",
    ),
]

_PROCESS = [
    *rows(
        "oom",
        "2",
        MEMORY,
        r"\b(?:out of|insufficient|not enough) (?:\w+ )?memory\b(?!.{0,40}(?:avoid"
        r"|prevent|may|might|can cause|could))",
        r"OutOfMemoryError|OUT_OF_(?:DEVICE_|HOST_)?MEMORY"
        r"|cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUBLAS_STATUS_ALLOC_FAILED",
        r"No available memory for the cache blocks.*",
        r"Free memory on device\b.*less than desired.*",
        r"larger than the (?:maximum number of tokens|available KV cache memory)",
        r"KV cache is needed, which is larger",
        r"Cannot allocate memory",
        r"std::bad_alloc",
        r"(?:rtMalloc|aclrtMalloc|halMemAlloc|musaMalloc|mcMalloc)\w*.{0,80}(?:fail|error|207001)",
        r"DefaultCPUAllocator: .*allocate",
        r"max(?:imum)? seq(?:uence)? len.{0,80}KV cache",
        fatal=True,
        strength=OVERRIDE,
    ),
    *rows(
        "oom",
        "2",
        MEMORY,
        r"Available KV cache memory: -[\d.]+ ?GiB",
        fatal=True,
        strength=OVERRIDE,
        quiet=True,
    ),
    *rows(
        "killed",
        "2",
        MEMORY,
        r"oom-kill|Out of memory: Killed process|OOMKilled|killed (?:due to|because of) memory",
        fatal=True,
        strength=OVERRIDE,
        quiet=True,
    ),
    *rows(
        "segfault",
        "2",
        "",
        r"Segmentation fault",
        r"\bSIGSEGV\b",
        r"Caught signal 11\b",
        r"\bSIGBUS\b|Bus error",
        r"\bSIGILL\b|Illegal instruction",
        r"double free or corruption|free\(\): invalid|malloc\(\): |corrupted size vs",
        fatal=True,
        strength=OVERRIDE,
        quiet=True,
    ),
    *rows(
        "killed",
        "2",
        UNKNOWN,
        r"^\s*Killed\s*$|\bSIGKILL\b|killed by signal 9|exit(?:ed with)? code:? -?(?:137|9)\b",
        fatal=True,
    ),
    *rows(
        "device_fault",
        "3",
        UNKNOWN,
        r"an illegal memory access was encountered|IllegalAddress\b",
        r"an illegal instruction was encountered",
        r"misaligned address",
        r"device-side assert triggered",
        r"unspecified launch failure|LaunchFailure",
        r"Memory access fault by GPU",
        r"HSA_STATUS_ERROR_\w+",
        r"\b(?:vector|ai ?|aic|aiv)core (?:execution|exception)\b.*"
        r"|(?:vector|aicore) core execution is abnormal",
        r"\berror code is 507\d{3}",
        r"trapType: .*",
        r"\bInner error is reported as above",
        r"\bE[HZ]\d{4}: ?Inner Error",
        r"\bAccelerator ?Error\b",
        r"Memory Violation",
        r"uncorrectable ECC error",
        r"\bMMU fault|page fault\b.*(?:gpu|device)",
        fatal=True,
    ),
    *rows(
        "device_fault",
        "3",
        UNKNOWN,
        rf"\b{_VENDOR_API} (?:runtime )?error\b: .*",
        r"\bNative API failed.*",
        r"\b(?:musa|mc|cnrt|tops|hip)Error\w+",
    ),
]

_HARNESS = [
    *rows(
        "disk",
        "X",
        UNKNOWN,
        r"No space left on device.*",
        r"Disk quota exceeded",
        r"\bENOSPC\b",
        strength=OVERRIDE,
    ),
    *rows(
        "network",
        "X",
        USER,
        r"gated repo\b.*",
        r"\b401 (?:Client Error|Unauthorized).*",
        r"\b403 Forbidden.*|Access to model .{0,80}is restricted",
    ),
    *rows(
        "network",
        "X",
        NETWORK,
        r"integrity check failed.*",
        r"Max retries exceeded with url.*",
        r"HTTPS?ConnectionPool\(.*",
        r"Read timed out.*",
        r"Connect(?:ion)? ?timed? ?out.*|ConnectTimeout\w*",
        r"Temporary failure in name resolution|Name or service not known"
        r"|NameResolutionError|Could not resolve host.*|getaddrinfo failed",
        r"Network is unreachable|No route to host",
        r"We couldn'?t connect to .*",
        r"LocalEntryNotFoundError",
        r"ProxyError|SSLError|SSL: \w+|certificate verify failed",
        r"IncompleteRead|ChunkedEncodingError|Consistency check failed.*|FileIntegrityError",
        r"unable to access 'https?://.*",
        r"RPC failed; (?:curl|HTTP).*|early EOF|fatal: the remote end hung up",
        r"\b(?:429|502|503|504) (?:Client|Server|Too Many|Bad Gateway|Service Unav|Gateway).*",
        r"gnutls_handshake.*|TLS connection was non-properly",
        r"TLS handshake timeout|dial tcp .*|Client\.Timeout exceeded",
        r"Cannot send a request, as the client has been closed",
        r"outgoing traffic has been disabled|offline mode is enabled.*",
    ),
    *rows(
        "install",
        "X",
        UNKNOWN,
        r"No matching distribution found for.*"
        r"|Could not find a version that satisfies.*|ResolutionImpossible",
        r"Failed building wheel for.*|subprocess-exited-with-error|CMake Error.*|make: \*\*\* .*Error",
    ),
    *rows(
        "harness", "X", UNKNOWN, r"result (?:file|document) (?:is )?(?:missing|not written)", strength=WEAK
    ),
]

ENVIRONMENT_SIGNATURES: Tuple[Signature, ...] = (*_DEVICE, *_FRAMEWORK, *_PROCESS, *_HARNESS)
