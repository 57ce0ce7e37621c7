"""A Python kernel as it was before there were subshells."""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp


class KernelWithoutSubshells(IPythonKernel):
    """Neither says that it has subshells nor answers a request for one."""

    _supports_kernel_subshells = False

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name in list(self.control_handlers):
            if "subshell" in name:
                del self.control_handlers[name]


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=KernelWithoutSubshells)
