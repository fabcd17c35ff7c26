"""Says in less bytecode what mpy-cross wrote in one go: works on .mpy files, function by function.

- A jump to a jump goes where that one leads, one to `return None` is that; a condition that only steps over a jump is turned
  round and jumps itself.
- Where two stretches that go on at the same place end alike, the first jumps into the second, like branches that all end in
  a call whose result is dropped. What returns or raises alike does so if that saves two bytes: it is a jump more.
- `except E as e` wraps its lines into a `finally` that deletes `e`: here only a coroutine lets go of it, and only at the end.
- The locals that are named most are the first 16, which bytecode names in one byte.

Handlers are active or not by where the code stands that raises or returns: what moves stays within the same handlers, on
the same side of each. The names of instructions are those of py/bc0.h, the format is .mpy version 6.
"""

from collections import Counter

_FORMS = 0x3A4  # two bits for each sixteen opcodes: what follows
_NOTHING, _NAME, _NUMBER, _OFFSET = range(4)
_MORE = 0x9E  # an opcode that has none of these bits is followed by one byte more
_LOAD_FAST_N, _STORE_FAST_N, _DELETE_FAST = 0x24, 0x26, 0x28
_LOAD_FAST, _STORE_FAST, _SHORT = 0xB0, 0xC0, 16
_LOAD_NONE = 0x51
_UNWIND_JUMP, _JUMP, _JUMP_IF, _JUMP_IF_NOT = 0x40, 0x42, 0x43, 0x44
_SETUP_WITH, _SETUP_EXCEPT, _SETUP_FINALLY, _POP_EXCEPT_JUMP, _FOR_ITER = range(0x47, 0x4C)
_WITH_CLEANUP, _END_FINALLY = 0x5C, 0x5D
_RETURN, _RAISE_LAST, _RAISE, _RAISE_FROM = range(0x63, 0x67)
_SIGNED = (_UNWIND_JUMP, _JUMP, _JUMP_IF, _JUMP_IF_NOT)  # the others only lead on
_SETUPS = (_SETUP_WITH, _SETUP_EXCEPT, _SETUP_FINALLY)
_ENDS = (_UNWIND_JUMP, _JUMP, _POP_EXCEPT_JUMP, _RETURN, _RAISE_LAST, _RAISE, _RAISE_FROM)
_GENERATOR = 1
_WORTH = 2  # bytes, for what costs a jump more


def squeeze(data: bytes) -> bytes:
    """A .mpy file that does the same. One with machine code stays as it is."""
    file = _File(data)
    if data[2] >> 2:
        return data
    tables = file.number(), file.number()
    for _ in range(tables[0]):
        size = file.number()
        file.at += 0 if size & 1 else (size >> 1) + 1
    for _ in range(tables[1]):
        file.skip_object()
    return data[: file.at] + _function(file)


class _File:
    """Reads a .mpy file."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 4

    def number(self) -> int:
        number = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number

    def skip_object(self) -> None:
        kind = self.data[self.at]
        self.at += 1
        if kind == 10:
            for _ in range(self.number()):
                self.skip_object()
        elif kind > 4:
            size = self.number()
            self.at += size + (kind < 7)  # texts end in a zero byte


def _number(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.insert(0, value & 0x7F | 0x80)
    return bytes(out)


def _function(file: _File) -> bytes:
    """A function and those in it, written anew."""
    head = file.number()
    body = file.data[file.at : file.at + (head >> 3)]
    file.at += head >> 3
    body = _shortened(body)
    out = _number(len(body) << 3 | head & 7) + body
    if head & 4:
        count = file.number()
        out += _number(count) + b"".join(_function(file) for _ in range(count))
    return out


class _Op:
    """An instruction: its opcode, what follows but an offset, and where it leads (a _Label)."""

    def __init__(self, code: int, rest: bytes = b"", to=None):
        self.code = code
        self.rest = rest
        self.to = to

    @property
    def size(self) -> int:
        return 1 + len(self.rest) + (self.to is not None)

    def is_like(self, other) -> bool:
        return (self.code, self.rest, self.to) == (other.code, other.rest, other.to)


class _Label:
    """A place between instructions."""


def _shortened(body: bytes) -> bytes:
    """A function's prelude and bytecode."""
    start, flags, arguments, cells = _prelude(body)
    code = _decoded(body, start)
    _drop_cleanups(code, flags & _GENERATOR)
    _tidy(code)
    while _share_end(code):
        _tidy(code)
    _return_at_once(code)
    _tidy(code)
    if not cells:
        _order_locals(code, arguments)
    return min(body, body[:start] + _encoded(code), key=len)


def _prelude(body: bytes) -> tuple:
    """(where the bytecode begins, flags, number of arguments, of cells)."""
    arguments, named, flags = body[0] & 3, 0, 0
    at = 0
    while body[at] & 0x80:
        at += 1
        byte = body[at]
        flags |= (byte >> 6 & 1) << at - 1
        named |= (byte >> 3 & 1) << at - 1
        arguments |= (byte & 4) << at - 1
    info = cells = shift = 0
    while True:
        at += 1
        byte = body[at]
        cells |= (byte & 1) << shift
        info |= (byte >> 1 & 0x3F) << 6 * shift
        shift += 1
        if byte < 0x80:
            break
    arguments += named + (flags >> 1 & 1) + (flags >> 2 & 1)
    return at + 1 + info + cells, flags, arguments, cells


def _decoded(body: bytes, at: int) -> list:
    """The instructions, and labels where one leads."""
    found, labels = [], {}
    while at < len(body):
        place, code, to = at, body[at], None
        form = _FORMS >> 2 * (code >> 4) & 3
        at += 1
        if form == _OFFSET:
            wide = body[at] >> 7
            offset = body[at] & 0x7F | (body[at + 1] << 7 if wide else 0)
            if code in _SIGNED:
                offset -= 0x4000 if wide else 0x40
            at += 1 + wide
            to = labels.setdefault(at + offset, _Label())
        rest = at
        if form in (_NAME, _NUMBER):
            while body[at] & 0x80:
                at += 1
            at += 1
        at += not code & _MORE
        found.append((place, _Op(code, body[rest:at], to)))
    out = []
    for place, op in found:
        out += [labels[place], op] if place in labels else [op]
    return out


def _encoded(code: list) -> bytes:
    wide: set = set()
    while True:
        at, places = 0, {}
        for item in code:
            places[item] = at
            at += item.size + (item in wide) if isinstance(item, _Op) else 0
        out, more = bytearray(), set()
        for op in _ops(code):
            out.append(op.code)
            if op.to:
                offset = places[op.to] - places[op] - 2 - (op in wide)
                low, high, zero = (-64, 63, 0x40) if op.code in _SIGNED else (0, 127, 0)
                if op in wide:
                    offset += zero << 8
                    out += bytes((offset & 0x7F | 0x80, offset >> 7 & 0xFF))
                elif low <= offset <= high:
                    out.append(offset + zero)
                else:
                    more.add(op)
            out += op.rest
        if not more:
            return bytes(out)
        wide |= more


def _ops(code: list) -> list:
    return [item for item in code if isinstance(item, _Op)]


def _handlers(code: list) -> dict:
    """{what can be reached: ((handler around, innermost last; is it behind where that begins?), ..)}."""
    places = {item: at for at, item in enumerate(code)}
    found, todo = {}, [(0, ())]
    while todo:
        at, around = todo.pop()
        while at < len(code) and code[at] not in found:
            item = code[at]
            found[item] = around
            at += 1
            if isinstance(item, _Label):
                continue
            then = around
            if item.code in _SETUPS:
                around = then = (*around, item)
            elif item.code == _POP_EXCEPT_JUMP:
                then = around[:-1]
            elif item.code == _UNWIND_JUMP:
                then = around[: len(around) - (item.rest[0] & 0x7F)]
            elif item.code == _END_FINALLY:
                around = around[:-1]
            if item.to:
                todo.append((places[item.to], then))
            if item.code in _ENDS:
                break
    return {
        item: tuple((setup, places[setup.to] <= places[item]) for setup in around)
        for item, around in found.items()
    }


def _tidy(code: list) -> None:
    """Take the shortest way everywhere, and drop what nothing leads to."""
    _thread(code)
    _turn(code)
    reached = _handlers(code)
    code[:] = [item for item in code if item in reached]
    wanted = {op.to for op in _ops(code)}
    code[:] = [item for item in code if isinstance(item, _Op) or item in wanted]


def _thread(code: list) -> None:
    """Jumps to jumps lead on; of labels at one place one is left."""
    places = {item: at for at, item in enumerate(code)}

    def at(label):
        place = places[label]
        while place < len(code) and isinstance(code[place], _Label):
            place += 1
        return place

    first = {}
    for label in (item for item in code if isinstance(item, _Label)):
        first.setdefault(at(label), label)
    for op in _ops(code):
        seen = set()
        while op.to and op.to not in seen:
            seen.add(op.to)
            place = at(op.to)
            op.to = first[place]
            goal = code[place] if place < len(code) else op
            if op.code in (_UNWIND_JUMP, _FOR_ITER, *_SETUPS) or goal.code != _JUMP:
                break
            if op.code in _SIGNED or places[goal.to] > places[op]:
                op.to = first[at(goal.to)]


def _turn(code: list) -> None:
    """`if not a: <over the next>; jump` is `if a: jump`; a jump to what follows anyway goes."""
    at = 0
    while at + 1 < len(code):
        op, following = code[at : at + 2]
        if isinstance(op, _Op) and op.code == _JUMP and op.to is following:
            del code[at]
            at = max(at - 1, 0)
        elif (
            isinstance(op, _Op)
            and op.code in (_JUMP_IF, _JUMP_IF_NOT)
            and isinstance(following, _Op)
            and following.code == _JUMP
            and code[at + 2 : at + 3] == [op.to]
        ):
            op.code ^= _JUMP_IF ^ _JUMP_IF_NOT
            op.to = following.to
            del code[at + 1]
        else:
            at += 1


def _share_end(code: list) -> bool:
    """Let one stretch jump into the end of another that goes on like it: of all pairs those who share most."""
    handlers = _handlers(code)
    ends: dict = {}  # where it goes on: [where a stretch ends]
    for at, item in enumerate(code):
        if isinstance(item, _Label):
            before = next((op for op in code[at - 1 :: -1] if isinstance(op, _Op)), item)
            if at and isinstance(before, _Op) and before.code not in _ENDS:
                ends.setdefault((_JUMP, item), []).append(at)
        elif item.code in (_JUMP, _POP_EXCEPT_JUMP, _RETURN, _RAISE):
            ends.setdefault((item.code, item.to), []).append(at)
    best = (0, 0, {})
    for (kind, _), places in ends.items():
        for n, one in enumerate(places):
            if isinstance(code[one], _Label):
                continue
            for other in places[n + 1 :]:
                if kind != _JUMP and handlers[code[one]] != handlers[code[other]]:
                    continue
                same = _common(code, one, other, handlers)
                gain = sum(code[at].size for at in same)
                if kind != _JUMP:
                    gain += code[one].size - 2
                if same and gain >= (1 if kind in (_JUMP, _POP_EXCEPT_JUMP) else _WORTH):
                    best = max(best, (gain, -one, {**same, one: other}), key=lambda b: b[:2])
    if best[2]:
        _lead_into(code, best[2])
    return bool(best[2])


def _common(code: list, one: int, other: int, handlers: dict) -> dict:
    """{place: the one that is like it} of what stands before two places, the last first."""
    same, end = {}, one
    while True:
        one, other = _before(code, one), _before(code, other)
        if one < 0 or other <= end:
            return same
        op = code[one]
        if op.code in (*_SETUPS, *_ENDS, _WITH_CLEANUP, _END_FINALLY):
            return same
        if not op.is_like(code[other]) or handlers[op] != handlers[code[other]]:
            return same
        same[one] = other


def _before(code: list, at: int) -> int:
    at -= 1
    while at >= 0 and isinstance(code[at], _Label):
        at -= 1
    return at


def _lead_into(code: list, same: dict) -> None:
    """Drop the stretch of `same`, jump to its copy instead; who led into it leads into that."""
    start, end = min(same), max(same)
    moved, labels = {}, {}
    for at in range(start, end):
        if isinstance(code[at], _Label):
            place = next(n for n in range(at, end + 1) if n in same)
            moved[code[at]] = labels.setdefault(same[place], _Label())
    jump = _Op(_JUMP, to=labels.setdefault(same[start], _Label()))
    out = []
    for at, item in enumerate(code):
        if at in labels:
            out.append(labels[at])
        if at == start:
            out.append(jump)
        if not start <= at <= end:
            out.append(item)
    code[:] = out
    for op in _ops(code):
        op.to = moved.get(op.to, op.to)


def _return_at_once(code: list) -> None:
    """A jump to `return`, or to that of a local or a small constant, is no shorter than what it leads to."""
    handlers = _handlers(code)
    places = {item: at for at, item in enumerate(code)}
    for at, op in enumerate(code):
        if isinstance(op, _Op) and op.code == _JUMP:
            goal = _ops(code[places[op.to] :])[:2]
            if goal[0].code not in _ENDS and not goal[0].to and not goal[0].rest:
                goal = goal if len(goal) > 1 and goal[1].code == _RETURN else goal[:1]
            else:
                goal = goal[:1]
            last = goal[-1]
            if last.code in (_RETURN, _RAISE) and handlers[last] == handlers[op]:
                code[at] = tuple(_Op(item.code) for item in goal)
    code[:] = [op for item in code for op in (item if isinstance(item, tuple) else (item,))]


def _drop_cleanups(code: list, is_generator: int) -> None:
    """Without the `finally` around the lines of `except E as e`."""
    at = 0
    while at < len(code):
        op = code[at]
        at += 1
        if not isinstance(op, _Op) or op.code != _SETUP_FINALLY or at < 2:
            continue
        handler = code.index(op.to)
        stored = [place for place in range(handler, len(code)) if isinstance(code[place], _Op)][:4]
        codes = [code[place].code for place in stored]
        if codes[:1] + codes[2:] != [_LOAD_NONE, _DELETE_FAST, _END_FINALLY]:
            continue
        inside = set(code[at:handler])
        for item in inside:
            if isinstance(item, _Op) and item.code == _UNWIND_JUMP and item.to not in inside:
                item.rest = bytes((item.rest[0] - 1,))
        # What the end of the lines puts there for the `finally`, if that can be reached.
        last = code[handler - 1]
        gone = {at - 1, handler, *stored[2:]}
        if isinstance(last, _Op) and last.code == _LOAD_NONE:
            gone.add(handler - 1)
        if not is_generator:
            gone.update(stored[:2])
        code[:] = [item for place, item in enumerate(code) if place not in gone]


def _order_locals(code: list, arguments: int) -> None:
    """The most frequent locals come behind the arguments."""
    slots = {op: slot for op in _ops(code) if (slot := _slot(op)) is not None}
    often = Counter(slot for slot in slots.values() if slot >= arguments)
    if len(often) + arguments <= _SHORT:
        return
    given = dict(zip(sorted(often, key=lambda slot: (-often[slot], slot)), sorted(often)))
    for op, slot in slots.items():
        _name(op, given.get(slot, slot))


def _slot(op: _Op):
    """The local that an instruction names, or None."""
    if op.code in (_LOAD_FAST_N, _STORE_FAST_N, _DELETE_FAST):
        return _File(b"    " + op.rest).number()
    return op.code & 15 if op.code & 0xF0 in (_LOAD_FAST, _STORE_FAST) else None


def _name(op: _Op, slot: int) -> None:
    if op.code != _DELETE_FAST:
        is_load = op.code == _LOAD_FAST_N or op.code & 0xF0 == _LOAD_FAST
        if slot < _SHORT:
            op.code, op.rest = (_LOAD_FAST if is_load else _STORE_FAST) | slot, b""
            return
        op.code = _LOAD_FAST_N if is_load else _STORE_FAST_N
    op.rest = _number(slot)
