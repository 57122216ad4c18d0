"""The sim engine without its broker: what it does with one is tested where the broker is."""

from __future__ import annotations

from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import Error, Hello
from rig import Rig


def test_it_is_refused_without_a_simulated_device() -> None:
    with Rig("sim", {"PDFMILL_GPUSIM": ""}) as rig:
        rig.expect(Hello)
        error = rig.expect(Error)
        assert error.failure is FailureClass.ENGINE_MISSING
        assert "PDFMILL_GPUSIM" in error.message
        assert rig.ends()[0] == 1
