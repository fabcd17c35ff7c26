# Thinning: what the journal drops when it is short of room (E04.FR.07). Loaded for that time.
#
# Two neighbouring sectors become one. Of the records that may be dropped every second one stays, or every fourth ...,
# of each stream by itself (E04.FR.08): a transaction's periodic values, its clock-aligned ones, each of its states.
# Values go before states, and the last state of a transaction stays. The pair that stands for the shortest time
# goes first, so that a long outage is thinned evenly: all of it by two, then by four ...
#
# Of security events, which the security log keeps as well, the last few of a pair stay: thousands of starts without a
# CSMS take no transaction's room.
#
# It goes on while events are appended and delivered: each step leaves the log as it was, until the header of the
# new sector is programmed. Both sectors are closed, so all that can change about them is what is acknowledged.
import struct

from micropython import const

from milliamp.storage import kinds

_HEADER_SIZE = const(32)
# Of so many one stays; 0: none.
_STEPS = b"\x01\x02\x04\x08\x10\x20\x40\x00"
# That are told apart at once.
_STREAMS = const(16)
# In a stream's name.
_STATE = const(1 << 8)
_MOST_SPAN = const(0xFFFF)
# As a generation.
_FAILED = const(0x3FFFFFF0)
# Records between two yields.
_PIECE = const(4)
# Security events of two sectors that stay.
_NOTICES = const(8)


def make_room(records, stream, dense: int):
    """Merge two sectors: a generator, of which each step does a little. It returns True when that is done, False when there
    is no pair that fits one sector, whatever is dropped, and None when something came between: try again. Pairs up to
    the generation `dense` are known not to fit. `stream(payload)` names what a record is one in a row of."""
    # Of one that was given up.
    records.target = -1
    span = 1
    while span:
        wider = 0
        before = 0
        while True:
            yield
            # What is delivered goes now, and not in the middle of it.
            records.free()
            older = records.after(before)
            if older < 0:
                break
            before = records.generations[older]
            younger = records.after(before)
            if younger < 0 or records.after(records.generations[younger]) < 0:
                # The newest sector is still being written.
                break
            if records.generations[younger] <= dense:
                continue
            spans = records.span(older)[0], records.span(younger)[0]
            longest = max(spans)
            if longest == span and sum(spans) < _MOST_SPAN:
                done = yield from _merge(records, older, younger, stream)
                if done is not False:
                    return done
            elif longest > span and not 0 < wider <= longest:
                wider = longest
        span = wider
    return False


def _merge(records, older, younger, stream):
    # Only the newest sector is younger? Then the state stays, in case that one is lost.
    following = records.after(records.generations[younger])
    keeps_state = records.after(records.generations[following]) < 0
    pair = records, older, younger, keeps_state, records.acked
    # transaction: the number of its last state, where no event follows it.
    last = {}
    kept = values = states = notices = 0
    try:
        for record in _pair(*pair):
            if record is None:
                yield
                continue
            number, kind, payload = record
            size = records.size(len(payload))
            if kind == kinds.SECURITY:
                notices += 1
                if notices > _NOTICES:
                    # In place of an older one.
                    continue
            name = stream(payload[6:]) if kind in (kinds.TX_EVENT, kinds.TX_UPDATE) else 0
            if kind != kinds.TX_UPDATE:
                kept += size
                last.pop(name >> 9, None)
            elif name & _STATE:
                states += size
                last[name >> 9] = number
            else:
                values += size
        for n in range(2 * len(_STEPS) - 1):
            steps = _STEPS[min(n, len(_STEPS) - 1)], _STEPS[max(n - len(_STEPS) + 1, 0)]
            size = kept
            for some, step in zip((values, states), steps):
                size += some // step if step else 0
            if size <= records.room:
                done = yield from _write(pair, steps, stream, last, notices - _NOTICES)
                records.target = -1
                if done:
                    return True
    except ValueError:
        pass
    except LookupError:
        return None
    except OSError:
        if records.target >= 0:
            records.generations[records.target] = _FAILED
        return None
    return False


def _write(pair, steps, stream, last, surplus):
    """Write what stays into a free sector that takes the place of both: all of it, or nothing. Of the streams of values
    every steps[0]th stays, of those of states every steps[1]th; the first `surplus` security events go. False: it is too
    much."""
    records, older, younger, _, acked = pair
    generations = records.generations
    generation = generations[younger]
    first = number = max(records.firsts[older], acked)
    span = generation - generations[older] + records.span(older)[0]
    if records.spare < 0:
        records.erase()
    place = records.target = records.spare
    records.spare = -1
    wear = records.wear
    at = _HEADER_SIZE
    # stream: (how many of it, the time of the last one, did that stay?)
    seen = {}
    for record in _pair(*pair):
        if record is None:
            yield
            continue
        was, kind, payload = record
        if kind == kinds.SECURITY:
            surplus -= 1
            if surplus >= 0 and was != acked:
                continue
        elif kind == kinds.TX_UPDATE:
            name = stream(payload[6:])
            # What is acknowledged next may be on its way just now.
            stays = last.get(name >> 9) == was or was == acked
            step = steps[name >> 8 & 1]
            if name not in seen and len(seen) >= _STREAMS:
                # Too many to tell transactions apart.
                name &= 0x1FF
            time = struct.unpack_from("<I", payload, 2)[0]
            count, before, stayed = seen.get(name, (-1, None, False))
            # Else a part of the same sample, which shares its fate.
            if time != before:
                count += 1
                stayed = step > 0 and count % step == 0
            seen[name] = count, time, stayed
            if not (stays or stayed):
                continue
        if at + records.size(len(payload)) > _HEADER_SIZE + records.room:
            return False
        at += records.write(place, at, generation, kind, payload)
        number += kind >= kinds.FIRST_DELIVERED
    end = records.firsts[records.after(generation)]
    dropped = end - number - records.dropped(first, end, older)
    records.thinned += dropped
    try:
        records.commit(place, generation, first, span, number - first, wear)
    except OSError:
        records.thinned -= dropped
        raise
    records.gaps += dropped
    for place in (older, younger):
        generations[place] = records.firsts[place] = 0
        if records.mark and records.mark[0] == place:
            records.mark = None
    return True


def _pair(records, older, younger, keeps_state, acked):
    """Yield (number, kind, payload) of what is pending in two neighbours, and of the state in the younger one if that
    counts; None where there shall be a pause. ValueError: not all of it can be read. LookupError: not all of it is pending
    any more as it was with `acked`; numbers count what stays, so where that was chosen nothing may be acknowledged."""
    place = older
    first = records.firsts[older]
    expected = max(first, acked)
    end = records.end(older, younger)
    seen = 0
    for mark, kind, payload in records.walk(older, _HEADER_SIZE, first):
        if not seen % _PIECE:
            yield None
            if acked != records.acked >= first:
                raise LookupError
        seen += 1
        if mark[0] != place:
            if place == younger or expected != end:
                break
            place = younger
            expected = max(records.firsts[younger], acked)
            end = records.end(younger, records.after(records.generations[younger]))
        if kind < kinds.FIRST_DELIVERED:
            if keeps_state and place == younger:
                yield 0, kind, payload
        elif mark[2] > expected:
            break
        elif mark[2] == expected:
            # Else it is acknowledged.
            expected += 1
            yield mark[2], kind, payload
    if expected != end or place == older:
        raise ValueError
