# Ethernet of an STM32. The driver finds the cable and the address by itself; one that stays without an address is
# started again.
import network
from micropython import const

_RING = const(0x3FFFFFFF)
# Longer than DHCP goes on asking by itself: after 0, 2, 6, 14, 30 and 62 s; a switch may be mute for the first 30.
_PATIENCE_MS = const(180000)


class Ethernet:
    """Nothing is started before the first `ready`."""

    def __init__(self):
        self._lan = None
        # Ticks at which it last had an address, or was started.
        self._at = 0

    def ready(self, now: int) -> bool:
        """Is there an IP network? Takes one step towards it otherwise."""
        try:
            if self._lan is None:
                lan = network.LAN()  # type: ignore[call-arg]  # the stubs are of an ESP32
                lan.active(True)
                self._lan = lan
            elif self._lan.isconnected():
                self._at = now
                return True
            elif (now - self._at) & _RING < _PATIENCE_MS:
                return False
            else:
                self._lan.active(False)
                self._lan.active(True)
        except OSError:
            # No PHY: try again, later.
            pass
        self._at = now
        return False
