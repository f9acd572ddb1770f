"""Counters from the Prometheus text of dcgm-exporter."""

from __future__ import annotations

from pearlstreet.compute.hardware.dcgm import read_counters, with_dcgm
from pearlstreet.compute.hardware.model import DeviceReport, NodeReport

LABELS = 'gpu="{index}",UUID="GPU-{index}",device="nvidia{index}",modelName="NVIDIA H100",Hostname="n1"'


def line(metric: str, value: object, index: int = 0, more: str = "") -> str:
    return f"{metric}{{{LABELS.format(index=index)}{more}}} {value}"


TEXT = "\n".join(
    [
        "# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.",
        "# TYPE DCGM_FI_DEV_XID_ERRORS gauge",
        line("DCGM_FI_DEV_XID_ERRORS", 79),
        line("DCGM_FI_DEV_XID_ERRORS", 0, 1),
        line("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 2),
        line("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "1.5e+03", 1),
        line("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", 3),
        line("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", 4),
        line("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", 0x40),
        line("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", 0x5, 1),
        line("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 99, 1, ',GPU_I_ID="3"'),
        line("DCGM_FI_DEV_GPU_TEMP", 45),
        line("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "NaN"),
        "DCGM_FI_DEV_XID_ERRORS{broken",
    ]
)


def test_counters_are_read_by_device() -> None:
    found = read_counters(TEXT)
    assert found["GPU-0"] == {"xid_79": 1.0, "ecc_uncorrected": 2.0, "link_errors": 7.0, "throttled": 1.0}
    assert found["1"] == {"ecc_corrected": 1500.0, "throttled": 0.0}, "idle and the power cap are no trouble"


def test_counters_of_both_sources_meet_in_the_report() -> None:
    devices = tuple(
        DeviceReport(index, "NVIDIA", "h100-sxm-80g", 80.0, uuid=uuid, counters={"ecc_uncorrected": 5.0})
        for index, uuid in enumerate(("GPU-0", ""))
    )
    report = with_dcgm(NodeReport("n1", 8, 64, 100, devices), read_counters(TEXT))
    assert report.devices[0].counters["ecc_uncorrected"] == 5.0
    assert report.devices[0].counters["xid_79"] == 1.0
    assert report.devices[1].counters == {"ecc_uncorrected": 5.0, "ecc_corrected": 1500.0, "throttled": 0.0}


def test_any_text_is_read_without_an_error() -> None:
    assert read_counters("<html>404</html>") == {}
