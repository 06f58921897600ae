"""What TensorFlow is told before the first solve; a stand-in for a GPU, as no test has one."""

import pytest

from photo_jobs import start
from vgg19.backend import tf


@pytest.mark.parametrize(
    ("device", "gpus", "is_deterministic"), [("auto", ["GPU:0"], True), ("cpu", ["GPU:0"], False), ("auto", [], False)]
)
def test_operations_on_a_gpu_are_deterministic(monkeypatch, device, gpus, is_deterministic):
    told = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: None)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, value: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: told.append(True))
    start.load_tensorflow(device)
    assert told == [True] * is_deterministic
