"""Limits what the current process may do. For processes that read files from outside, just before they begin."""

from __future__ import annotations

import resource


def limit_process(*, memory_bytes: int, cpu_seconds: int, file_bytes: int, open_files: int | None = None) -> None:
    """Set limits that this process cannot raise again. A process that exceeds one is killed or gets an error.

    Args:
        memory_bytes: The size of its address space.
        cpu_seconds: The processor time it may use.
        file_bytes: The largest file it may write; 0 forbids writing.
        open_files: How many more files and connections it may open. What is open stays open. None sets no limit.
    """
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    if open_files is not None:
        limits[resource.RLIMIT_NOFILE] = open_files
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))
