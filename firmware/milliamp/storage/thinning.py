# Thinning: what the journal drops when it is full, and nothing else has room (E04.FR.07). Loaded for that moment.
#
# Two neighbouring sectors become one. Of the records that may be dropped every second one stays, of each
# stream by itself: a transaction's periodic values, its clock-aligned ones. The pair that stands for the
# shortest time goes first, so that a long outage is thinned evenly: all of it by two, then by four ...
import struct

from micropython import const

from milliamp.storage.kinds import _FIRST_DELIVERED, _TX_UPDATE

_HEADER_SIZE = const(32)
_STEPS = b"\x01\x02\x04\x08\x10\x20\x40\x00"  # of so many one stays; 0: none
_STREAMS = const(16)  # that are told apart at once
_MOST_SPAN = const(0xFFFF)


def make_room(records, stream) -> bool:
    """Merge two sectors. `stream(payload)` names what a record is one in a row of. False:
    there is no pair that fits one sector, whatever is dropped. OSError: the flash fails."""
    pairs = []
    older = records.after(0)
    while older >= 0:
        younger = records.after(records.generations[older])
        if younger < 0 or records.after(records.generations[younger]) < 0:
            break  # the newest sector is still being written
        spans = records.span(older)[0], records.span(younger)[0]
        if sum(spans) < _MOST_SPAN:
            pairs.append((max(spans), records.generations[older], older, younger))
        older = younger
    pairs.sort()
    for _, _, older, younger in pairs:
        kept, loose = _weigh(records, older)
        also_kept, also_loose = _weigh(records, younger)
        kept += also_kept
        loose += also_loose
        for step in _STEPS:
            if kept + (loose // step if step else 0) > records.room:
                continue
            try:
                if records.merge(older, younger, _keep(records, older, younger, step, stream)):
                    return True
            except ValueError:
                break  # not all of it can be read
    return False


def _weigh(records, place):
    """Bytes of a sector's records that stay in any case, and of those that may be dropped."""
    kept = loose = 0
    at = _HEADER_SIZE
    while True:
        size, kind, _ = records.read(place, at, 0)
        if size <= 0:
            return kept, loose
        if kind == _TX_UPDATE:
            loose += size
        elif kind >= _FIRST_DELIVERED or _is_last(records, place):
            kept += size
        at += size


def _is_last(records, place):
    """Is only the newest sector younger? Then its state stays, in case that one is lost."""
    following = records.after(records.generations[place])
    return records.after(records.generations[following]) < 0


def _keep(records, older, younger, step, stream):
    """Yield (kind, payload) of what stays of two neighbours when each `step`th of a stream does. ValueError: a
    record cannot be read."""
    seen = {}  # stream: (how many of it, the time of the last one, did that stay?)
    place = older
    expected = max(records.firsts[older], records.acked)
    end = records.end(older, younger)
    keeps_state = _is_last(records, younger)
    for mark, kind, payload in records.walk(older, _HEADER_SIZE, records.firsts[older]):
        if mark[0] != place:
            if place == younger or expected != end:
                break
            place = younger
            expected = max(records.firsts[younger], records.acked)
            end = records.end(younger, records.after(records.generations[younger]))
        if kind < _FIRST_DELIVERED:
            if keeps_state and place == younger:
                yield kind, payload
            continue
        if mark[2] < expected:
            continue  # acknowledged
        if mark[2] > expected:
            break
        expected += 1
        stays = True
        if kind == _TX_UPDATE:
            name, time = stream(payload[6:]), struct.unpack_from("<I", payload, 2)[0]
            if name not in seen and len(seen) >= _STREAMS:
                seen.clear()
            count, last, stays = seen.get(name, (-1, None, False))
            if time != last:  # else a part of the same sample, which shares its fate
                count += 1
                stays = step > 0 and count % step == 0
            seen[name] = count, time, stays
        if stays or mark[2] == records.acked:  # which may be on its way just now
            yield kind, payload
    if expected != end or place == older:
        raise ValueError
