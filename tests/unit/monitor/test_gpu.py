"""GPUs, as NVML would tell of them: there is none here, so the library is a stand-in."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from agentlocust.errors import ConfigError
from agentlocust.monitor.gpu import Gpus


class NVMLError(Exception):
    pass


class Nvml:
    """The part of pynvml that is used."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, count: int = 2, fails: str = "") -> None:
        self.count = count
        self.fails = fails
        self.open = 0

    def __getattr__(self, name: str):
        if not name.startswith("nvml"):
            raise AttributeError(name)
        if self.fails and self.fails in name:
            raise NVMLError("not here")
        answers = {
            "nvmlDeviceGetCount": lambda: self.count,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=90 + handle, memory=5),
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=100, used=30, free=70),
            "nvmlDeviceGetPowerUsage": lambda handle: 300_000,
            "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
        }
        return answers.get(name) or (lambda: setattr(self, "open", self.open + (1 if "Init" in name else -1)))


def test_each_gpu_is_a_subject(monkeypatch):
    """Thousandths, bytes, milliwatts and degrees."""
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus = Gpus()
    told = gpus.read()
    assert list(told) == ["gpu:0", "gpu:1"]
    assert told["gpu:1"] == {
        "utilisation": 910,
        "memory": 30,
        "memory_available": 70,
        "power": 300_000,
        "temperature": 61,
    }
    gpus.close()
    assert nvml.open == 0


def test_what_a_gpu_does_not_tell_is_unknown(monkeypatch):
    """Many tell no power; the rest is there."""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(fails="Power"))
    told = Gpus().read()["gpu:0"]
    assert told["power"] is None
    assert told["utilisation"] == 900


@pytest.mark.parametrize(
    ("nvml", "what"),
    [
        (None, "not installed"),
        (Nvml(fails="Init"), "no NVIDIA GPU can be read: not here"),
        (Nvml(fails="GetCount"), "no NVIDIA GPU can be read"),
        (Nvml(count=0), "has no NVIDIA GPU"),
    ],
)
def test_asked_for_in_vain_is_one_clear_message(monkeypatch, nvml, what):
    """The library, the driver or the GPU is missing; nothing is left open."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with pytest.raises(ConfigError, match=what) as caught:
        Gpus()
    assert caught.value.where == "--gpu"
    assert nvml is None or nvml.open == 0
