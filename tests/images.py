"""The images that the tests need, built before they start, one a core: else workers would wait for each other's."""

import os
from concurrent.futures import ProcessPoolExecutor

from tools import builder
from tools.builder import profile


def wanted() -> list[tuple[str, dict]]:
    """(board, overrides) of each; what is missing here is built by the test that wants it."""
    from tests.measure.test_trim import VARIANTS, tried
    from tools.measure.conformance.presets import WIDEST_FIRST, board

    boards = [("sim", {}), ("sim", {"evses": 2}), *((name, {}) for name in profile.boards())]
    boards += [(str(board(name)), {}) for name in WIDEST_FIRST[:2]]
    boards += [(str(tried(name)), {}) for name in VARIANTS]
    return list({(name, str(more)): (name, more) for name, more in boards}.values())


def make() -> None:
    """Build them, with as many processes as there are cores."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for made in [pool.submit(builder.build, name, **more) for name, more in wanted()]:
            made.result()
