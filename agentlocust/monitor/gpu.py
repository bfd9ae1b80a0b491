"""NVIDIA GPUs of this machine, by NVML through nvidia-ml-py (the extra `[gpu]`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from agentlocust.errors import ConfigError
from agentlocust.monitor.target import Figures


class Gpus:
    """The GPUs, ready to be read. Raises ConfigError when the library, the driver or a GPU is missing."""

    def __init__(self) -> None:
        try:
            self._nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            raise ConfigError(
                "nvidia-ml-py is not installed", where="--gpu", hint="pip install 'agentlocust[gpu]'"
            ) from None
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise ConfigError(f"no NVIDIA GPU can be read: {error}"[:200], where="--gpu", hint=_HINT) from None
        try:
            count = self._nvml.nvmlDeviceGetCount()
            self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except self._nvml.NVMLError as error:
            self.close()
            raise ConfigError(f"no NVIDIA GPU can be read: {error}"[:200], where="--gpu", hint=_HINT) from None
        if not self._handles:
            self.close()
            raise ConfigError("this machine has no NVIDIA GPU", where="--gpu", hint=_HINT)

    def read(self) -> dict[str, Figures]:
        """Figures by `gpu:INDEX`, None where a GPU does not tell.

        `utilisation` in thousandths of the time a kernel ran, `memory` and `memory_available` in bytes,
        `power` in milliwatts, `temperature` in degrees Celsius.
        """
        return {f"gpu:{index}": self._one(handle) for index, handle in enumerate(self._handles)}

    def close(self) -> None:
        """Let the driver go."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            pass

    def _one(self, handle: Any) -> Figures:
        nvml = self._nvml
        busy = self._told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        return {
            "utilisation": None if busy is None else int(busy.gpu) * 10,
            "memory": None if memory is None else int(memory.used),
            "memory_available": None if memory is None else int(memory.free),
            "power": self._told(lambda: int(nvml.nvmlDeviceGetPowerUsage(handle))),
            "temperature": self._told(lambda: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
        }

    def _told(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except self._nvml.NVMLError:
            return None


_HINT = "the GPUs read are those of the machine the test is started on"
