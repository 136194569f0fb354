"""What not every machine has; where it is missing, a subject is Absent."""


class Absent(RuntimeError):
    """A subject that this machine does not have."""


def check_bf16():
    """Raise Absent where the processor has no bf16."""
    import torch
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise Absent("PyTorch has no bf16 on this processor")


def gpu_wait():
    """The function that waits for the GPU. Raises Absent where there is none."""
    import torch
    if not torch.cuda.is_available():
        raise Absent("PyTorch sees no GPU")
    return torch.cuda.synchronize


def threads():
    """As many as PyTorch uses."""
    import torch
    return torch.get_num_threads()
