"""The command line of the double: `serve MODEL …` and `bench serve …`."""

from __future__ import annotations

import sys


def main() -> int:
    """Dispatch to a subcommand."""
    if sys.argv[1:2] == ["serve"]:
        from vllm.entrypoints.cli import serve

        return serve.main(sys.argv[2:])
    if sys.argv[1:3] == ["bench", "serve"]:
        from vllm.entrypoints.cli import bench

        return bench.main(sys.argv[3:])
    print(f"vllm double: unknown command {sys.argv[1:]}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
