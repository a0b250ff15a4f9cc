"""FLOPs of the presets at bert-base size, 512 tokens -> results/flops/bert-base-512.json."""

from __future__ import annotations

import json

from tokensieve import Prune, ReductionConfig, TokensieveConfig
from tokensieve.methods import METHODS
from tokensieve.model.plan import make_plan
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.schedule import Constant
from tokensieve.reduce.site import Hidden
from tokensieve_bench.places import RESULTS

PAPER = {"paper-c-11": 0.877, "paper-pfc-11": 0.877, "paper-pfc-7": 0.544}
TARGET = RESULTS / "flops" / "bert-base-512.json"


def main() -> None:
    """Write the plan's figures."""
    settings = {name: ReductionConfig.preset(name) for name in METHODS}
    settings["hidden p=0.7, module at 7"] = ReductionConfig(
        prune=Prune(schedule=Constant(0.7), site=Hidden()), combine=CombiningModule(layer=7)
    )
    rows = []
    for name, reduction in settings.items():
        plan = make_plan(TokensieveConfig(reduction=reduction), 512)
        rows.append({"name": name, "gflops": plan.flops / 1e9, "ratio": plan.ratio, "paper": PAPER.get(name)})
    record = {"model": "bert-base", "length": 512, "combination_tokens": 8, "keep_ratio": 0.9, "rows": rows}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
