"""Runs the certification scripts for every product: `python -m tools.measure.conformance [--lane 32] [--heap 64k]`.

Writes `docs/conformance.md`, the table, and `build/conformance.json`, {"product": {"TC_..": "pass|fail|pending|na"}}.
A result comes from this run alone: a script that applies and did not run is a fail. With more arguments, which go to
pytest (`-k TC_B`), only a part runs, and nothing is written.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tools import BUILD, ROOT

SCRIPTS = ROOT / "tests" / "conformance"
DOCUMENT = ROOT / "docs" / "conformance.md"
RESULTS = BUILD / "conformance.json"
SIGNS = {"pass": "pass", "fail": "**fail**", "pending": "pending", "na": "–"}


def run(lane: int, heap: "str | None", jobs: str, more: list) -> Path:
    """Run pytest; the file in which it says what became of each test."""
    report = BUILD / "conformance.xml"
    BUILD.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    environment = os.environ | {
        "CONFORMANCE": "all",
        "CONFORMANCE_LANE": str(lane),
        "CONFORMANCE_HEAP": heap or "",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(SCRIPTS),
        "-n",
        jobs,
        f"--junitxml={report}",
        *more,
    ]
    subprocess.run(command, cwd=ROOT, env=environment)
    return report


def outcomes(report: Path) -> dict:
    """{(script, product): passed} of the tests that ran."""
    found = {}
    if not report.is_file():
        return found
    for case in ElementTree.parse(report).iter("testcase"):
        name, _, product = case.get("name", "").rstrip("]").partition("[")
        if not name.startswith("test_TC_") or case.find("skipped") is not None:
            continue
        key = name.removeprefix("test_"), product
        bad = case.find("failure") is not None or case.find("error") is not None
        found[key] = found.get(key, True) and not bad
    return found


def results(ran: dict) -> dict:
    """{product: {script: result}}, from what ran and what applies."""
    from tools.measure.conformance.catalogue import SCRIPTS as scripts
    from tools.measure.conformance.presets import PRESETS

    return {
        product: {
            name: "na"
            if not preset.has(script.when)
            else "pending"
            if script.pending
            else "pass"
            if ran.get((name, product))
            else "fail"
            for name, script in scripts.items()
        }
        for product, preset in PRESETS.items()
    }


def document(table: dict) -> str:
    """docs/conformance.md."""
    from tools.measure.conformance.catalogue import SCRIPTS as scripts
    from tools.measure.conformance.presets import PRESETS

    lines = [
        "# Conformance",
        "",
        "The certification scripts of a station (OCPP 2.0.1 Edition 3, Core), run against the firmware by `make",
        "conformance`, which writes this page. *pending*: waits for what the last column says; –: the product does not",
        "have the features.",
        "",
    ]
    lines += [f"* **{name}**: {preset.title}" for name, preset in PRESETS.items()]
    lines += ["", "| | " + " | ".join(PRESETS) + " |", "|---|" + "---|" * len(PRESETS)]
    for result in SIGNS:
        counts = (sum(value == result for value in table[name].values()) for name in PRESETS)
        lines.append(f"| {result} | " + " | ".join(map(str, counts)) + " |")
    lines += [
        "",
        "| script | title | " + " | ".join(PRESETS) + " | |",
        "|---|---|" + "---|" * len(PRESETS) + "---|",
    ]
    for name, script in scripts.items():
        signs = " | ".join(SIGNS[table[product][name]] for product in PRESETS)
        words = f"waits for {script.pending}" if script.pending else ""
        lines.append(f"| {name} | {_escaped(script.title)} | {signs} | {words} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(argv: "list | None" = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.measure.conformance")
    parser.add_argument("--lane", type=int, choices=(64, 32), default=64)
    parser.add_argument("--heap", help="heap of the firmware, like 64k")
    parser.add_argument("--jobs", default="2", help="tests at a time")
    args, more = parser.parse_known_args(argv)
    table = results(outcomes(run(args.lane, args.heap, args.jobs, more)))
    if not more:  # a part of the scripts says nothing of the others
        RESULTS.write_text(json.dumps(table, indent=1) + "\n")
        DOCUMENT.write_text(document(table))
    for product, values in table.items():
        counts = {result: list(values.values()).count(result) for result in SIGNS}
        print(f"{product}: " + ", ".join(f"{count} {result}" for result, count in counts.items()))
    failed = any("fail" in values.values() for values in table.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
