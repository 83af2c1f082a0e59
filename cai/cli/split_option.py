"""`--test-share`: one option of every command that splits prompts."""

from __future__ import annotations

import math
from typing import Any

import click


class _Share(click.FloatRange):
    """A number from 0 up to, but not, 1; NaN, which compares with nothing, is refused too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail("nan is not in the range 0<=x<1.", param, ctx)
        return found


test_share_option = click.option(
    "--test-share", type=_Share(0, 1, max_open=True), default=0.2, show_default=True, metavar="SHARE",
    help="Share of prompts held out, where the file does not say; drawn by opening turn.",
)  # fmt: skip
