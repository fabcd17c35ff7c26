"""The station's queue as the wire shows it: is an event repeated or passed over only when that was right?

The oldest event is sent until a CALLRESULT has come for it, then the next. So an event that comes again needs an answer
that was lost, and one that comes no more needs an answer that was given. Only security events give way: to an error, and
for a while to silence. Exact in virtual time, where the station acts on what has reached it at once.
"""

from dataclasses import dataclass

from hostsim.charger.device import Device
from hostsim.net.network import Network
from hostsim.net.schemas import CALL, CALLERROR, CALLRESULT
from hostsim.net.traffic import DOWN, UP, MessageSeen, Traffic

_QUEUED = ("TransactionEvent", "SecurityEventNotification")
_AT_ONCE = 0.1  # seconds within which an answer is durable
_TIMEOUT = 30  # seconds after which the station takes it that no answer will come
_ABOUT = 2  # seconds: it looks at the time once in a while


@dataclass
class _Attempt:
    """An event on the wire. `name` is its own, but that of a security event is only its kind."""

    name: tuple
    message: MessageSeen
    answered: float | None = None  # when a CALLRESULT passed that came in time
    refused: bool = False  # by a CALLERROR


class Deliveries:
    """`faults` is what cannot be. `new`: different events; `unclear`: equal security events of which nobody can
    tell whether they are one; `repeated`: events that came again, rightly; `given_up`: security events that may
    have been, after an error or in silence."""

    def __init__(self, traffic: Traffic, network: Network, device: Device):
        self.faults: list[str] = []
        self.new = self.repeated = self.unclear = self.given_up = 0
        self._network = network
        self._device = device
        self._last: _Attempt | None = None
        self._shocks: list[
            float
        ] = []  # when the connection or the power went, since the last attempt
        self._clock = traffic.clock
        traffic.on_message.append(self._heard)
        network.on_cut.append(self._shocked)
        device.on_power.append(lambda what: self._shocked())

    def _shocked(self) -> None:
        self._shocks.append(self._clock.now())

    def _heard(self, message: MessageSeen) -> None:
        if message.direction == UP and message.kind == CALL and message.action in _QUEUED:
            self._attempt(message)
        elif message.direction == DOWN and message.kind in (CALLRESULT, CALLERROR):
            self._answer(message)

    def _answer(self, message: MessageSeen) -> None:
        last = self._last
        if (
            last
            and last.answered is None
            and (message.connection, message.id) == (last.message.connection, last.message.id)
            and message.time < last.message.time + _TIMEOUT + _ABOUT
        ):
            last.refused = message.kind == CALLERROR
            self.given_up += last.refused and len(last.name) == 1
            last.answered = None if last.refused else message.time
            if self._network.mode != "on" or not self._device.powered:
                self._shocked()  # it may never get there

    def _attempt(self, message: MessageSeen) -> None:
        payload = message.payload
        if message.action == "TransactionEvent":
            name = payload["transactionInfo"]["transactionId"], payload["seqNo"]
        else:
            name = (payload["type"],)
        last, self._last = self._last, _Attempt(name, message)
        again = last is not None and last.name == name
        if last is None:
            self.new += 1
        elif self._is_known(last):
            # The station knows the answer. Security events of a kind are told apart by this alone.
            self.new += 1
            if again and len(name) > 1:
                self.faults.append(f"{name} was sent again, though its answer had come")
        elif last.answered is None:
            silent = len(last.name) == 1 and message.time >= last.message.time + _TIMEOUT - _ABOUT
            self.given_up += silent and not last.refused
            if again and len(name) > 1:
                self.repeated += 1
            elif again:
                self.unclear += 1
            else:
                self.new += 1
                if len(last.name) > 1 or not (silent or last.refused):
                    self.faults.append(f"{name} was sent before {last.name} was answered")
        elif not again:
            self.new += 1
        elif len(name) > 1:
            self.repeated += 1
        else:
            self.unclear += 1
        self._shocks.clear()

    def _is_known(self, attempt: _Attempt) -> bool:
        """Has the answer surely reached the station's flash?"""
        came = attempt.answered
        if came is None or came > attempt.message.time + _TIMEOUT - _ABOUT:
            return False
        return not any(came <= shock <= came + _AT_ONCE for shock in self._shocks)
