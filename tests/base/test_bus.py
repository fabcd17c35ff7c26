"""Facts and votes."""

from milliamp.base.bus import Bus


def test_who_asked_for_a_fact_hears_it_in_order_and_votes_are_joined():
    heard = []

    def subscriber(name, vote):
        def hear(station, fact, evse, arg):
            heard.append((name, station, fact, evse, arg))
            return vote

        return hear

    bus = Bus("station")
    bus.subscribe(0b0110, subscriber("a", 1))
    bus.subscribe(0b0010, subscriber("b", None))
    bus.subscribe(0b1010, subscriber("c", 4))
    assert bus.tell(0b0010, 2, "arg") == 5
    assert [name for name, *_ in heard] == ["a", "b", "c"]
    assert heard[0] == ("a", "station", 0b0010, 2, "arg")
    heard.clear()
    assert bus.tell(0b0100) == 1
    assert heard == [("a", "station", 0b0100, 0, None)]
    assert bus.tell(0b10000) == 0
