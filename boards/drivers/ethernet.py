# Ethernet of an STM32. The driver finds the cable and the address by itself; one that stays without an address is
# started again.
import network
from micropython import const

_RING = const(0x3FFFFFFF)
# Longer than DHCP goes on asking by itself: after 0, 2, 6, 14, 30 and 62 s; a switch may be mute for the first 30. And a
# start that fails may take a second, in which nobody looks after the contactors.
_PATIENCE_MS = const(180000)


class Ethernet:
    """Nothing is started before the first `ready`."""

    def __init__(self):
        # While it is started.
        self._lan = None
        # Ticks at which it last had an address, or a start was tried.
        self._at = None

    def ready(self, now: int) -> bool:
        """Is there an IP network? Takes one step towards it otherwise."""
        lan = self._lan
        try:
            if lan and lan.isconnected():
                self._at = now
                return True
            if self._at is not None and (now - self._at) & _RING < _PATIENCE_MS:
                return False
            self._lan = None
            if lan:
                lan.active(False)
            else:
                # The stubs are of an ESP32.
                lan = network.LAN()  # type: ignore[call-arg]
            lan.active(True)
            self._lan = lan
        except OSError:
            # No PHY: try again, later.
            pass
        self._at = now
        return False
