"""Tuning says which packages it lacks, and what a worker opens."""

import importlib.util

import pytest

from tvm_ondevice_train.errors import OdtError
from tvm_ondevice_train.tune.extra import check_extra
from tvm_ondevice_train.tune.remote import main, opened, start_worker
from tvm_ondevice_train.tune.tuner import tune


def test_without_its_packages_tuning_says_what_to_install(monkeypatch):
    check_extra()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "tvm_ondevice_train.tune.extra.find_spec",
        lambda name: None if name in ("xgboost", "tornado") else found(name),
    )
    with pytest.raises(OdtError, match=r"needs xgboost, tornado; pip install '.*\[tune\]'"):
        tune("absent.onnx")


@pytest.mark.parametrize("bind", [{}, {"bind": "127.0.0.2"}])
def test_a_worker_listens_where_it_is_told_and_by_default_to_its_own_machine(bind):
    worker = start_worker("127.0.0.1", 9, "key", **bind)
    try:
        with open("/proc/net/tcp") as table:
            rows = [line.split()[1:4] for line in table][1:]
    finally:
        worker.terminate()
    end = f":{worker.port:04X}"
    listening = {place for place, _, state in rows if state == "0A" and place.endswith(end)}
    assert listening == {"0200007F" + end if bind else "0100007F" + end}


def test_a_worker_says_what_it_opens():
    assert (
        opened("127.0.0.1", 9091)
        == "Listening at 127.0.0.1:9091, for programs of this machine only."
    )
    assert "all addresses of this machine, port 9091: whoever reaches it can run code" in opened(
        "0.0.0.0", 9091
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["9190", "key"], "the tracker is '9190'; it must be HOST:PORT"),
        (["127.0.0.1:9", "key", "--bind", "203.0.113.7"], "cannot listen at 203.0.113.7"),
    ],
)
def test_a_worker_that_cannot_start_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["remote", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert message in capsys.readouterr().err
