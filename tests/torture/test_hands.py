"""Ten thousand lives of a charger (`--torture`) in which EVs, drivers, plugs and parts do as they like: the contactor is never
closed on what must not have voltage, never twice in 5 s, never too late open, and nothing live is unlocked."""

import pytest

from tests.boards.lives import folder_of_two, live
from tools import BOARDS


@pytest.mark.parametrize("evses", [1, 2])
@pytest.mark.parametrize("board", ["esp32_generic", "stm32_nucleo_h743"])
def test_nothing_live_is_anybodys_accident(board, evses, tmp_path, whole, figures):
    folder = BOARDS / board if evses == 1 else folder_of_two(board, tmp_path)
    lives = closings = 0
    for seed in range(2500 if whole else 8):
        faults, closed = live(folder, evses, seed * 4 + evses, 10)
        assert not faults, (seed, faults)
        lives += 1
        closings += closed
    assert closings > lives // 4  # it is no way of being safe never to charge
    figures(lives=lives, closings=closings)
