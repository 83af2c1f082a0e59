"""Silence for libraries that draw bars, print tables and warn about what a trainer does on purpose."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOGGERS = ("transformers", "trl", "peft", "datasets", "accelerate")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Only errors of transformers, trl, peft, datasets and accelerate are logged inside; bars are off.

    Every setting is put back on leaving, so that a caller's own choice of verbosity survives.
    """
    import datasets
    from transformers.utils import logging as module

    transformers_logging: Any = module
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    bars = transformers_logging.is_progress_bar_enabled()
    maps = datasets.are_progress_bars_disabled()
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            # peft 0.21 reads a name that transformers 5.23 has renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            # GPT-2 keeps its matrices the other way round; peft says that it has seen it.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
        if not maps:
            datasets.enable_progress_bars()
