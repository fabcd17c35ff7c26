# Diagnostics (functional block N): logs that the CSMS fetches, and what the station knows of a customer.
#
# It is imported when it is first asked for, and its state is there only while there is something to do.
import asyncio
import gc

from micropython import const

from milliamp.base.packing import word
from milliamp.domain import tokens
from milliamp.storage import keys, security_log
from milliamp.wire import gates, http, link, types
from tables import uploads, words

# `st.diagnostics` is (a log on its way, customer information on its way), None each for none. A log is a list of these. An attempt begins when the CSMS has heard
# of it, so that it hears everything in order; the last status that it hears of ends it.
# RequestId.
_ID = const(0)
_STATUS = const(1)
# The CSMS knows the status: 0 no, 1 it is on its way, 2 yes.
_TOLD = const(2)
# (requestId, status): the last word on what this one replaced, None when said.
_BEFORE = const(3)
# (URL, is it the security log?, oldest and latest time or None).
_WHAT = const(4)
# Attempts that are left after this one.
_RETRIES = const(5)
# ms from one attempt to the next.
_PAUSE = const(6)
# Ticks at which the last one began.
_SINCE = const(7)
# While it runs.
_TASK = const(8)

_MOST_RETRIES = const(100)
# Seconds, where the CSMS names none.
_USUAL_PAUSE = const(60)
_LONGEST_PAUSE = const(86400)
# ms that an attempt may take.
_PATIENCE = const(60000)


# --- logs -------------------------------------------------------------------------------------------


def get_log(st, r, at, w):
    """N01. A second request cancels the first."""
    where = r.get(at, "log")
    url = r.text(where, "remoteLocation")
    security = r.same(r.get(at, "logType"), "SecurityLog")
    if not http.place(url):
        return w.status("Rejected", "InvalidURL")
    if security and "logs" not in st.profile.FLASH:
        return w.status("Rejected", "UnsupportedParam")
    name = "%s-%s-%s.log" % (
        st.settings.get(keys.IDENTITY) or st.profile.IDENTITY,
        "security" if security else "diagnostics",
        st.clock.text(st.clock.now()).replace(":", ""),
    )
    if url.endswith("/"):
        url = link.url(url, name)
    else:
        name = url[7:].partition("/")[2].partition("?")[0].rpartition("/")[2] or name
    oldest, latest = (
        r.text(where, "oldestTimestamp"),
        r.text(where, "latestTimestamp"),
    )
    what = url, security, st.clock.parse(oldest or ""), st.clock.parse(latest or "")
    pause = r.number(at, "retryInterval")
    pause = min(max(_USUAL_PAUSE if pause is None else pause, 0), _LONGEST_PAUSE) * 1000
    retries = min(max(r.number(at, "retries") or 0, 0), _MOST_RETRIES)
    own = [
        r.number(at, "requestId"),
        uploads.UPLOADING,
        0,
        None,
        what,
        retries,
        pause,
        0,
        None,
    ]
    old, inquiry = st.diagnostics
    w.status("AcceptedCanceled" if _replaces(old, own) else "Accepted")
    w.field("filename", name[:255])
    st.diagnostics = own, inquiry


def _replaces(old, own):
    """Put an upload in the place of another; True: that one was not over yet."""
    if old is None or old[_ID] is None:
        return False
    if old[_TASK] is not None:
        old[_TASK].cancel()
    ongoing = old[_STATUS] == uploads.UPLOADING or old[_RETRIES] > 0
    if ongoing or old[_TOLD] < 2:
        own[_BEFORE] = old[_ID], uploads.ACCEPTED_CANCELED if ongoing else old[_STATUS]
    return ongoing


def _status_due(st):
    own, _ = st.diagnostics
    if own is None:
        return None
    if own[_BEFORE] is not None:
        return own, own[_BEFORE]
    if own[_TOLD] == 2:
        if own[_TASK] is not None or st.clock.since(own[_SINCE]) < own[_PAUSE]:
            return None
        own[_RETRIES] -= 1
        own[_STATUS] = uploads.UPLOADING
    return own, (own[_ID], own[_STATUS])


def _status_render(st, w, cursor):
    own, told = cursor
    request_id, status = told
    if told is not own[_BEFORE]:
        own[_TOLD] = 1
    w.field("status", word(words.UPLOAD_LOG_STATUS, status))
    w.field("requestId", request_id)


def _status_answered(st, cursor, r, at):
    own, told = cursor
    if own is not st.diagnostics[0]:
        return
    if told is own[_BEFORE]:
        own[_BEFORE] = None
    elif told[1] == own[_STATUS]:
        # Unless it was asked for again meanwhile (F06.FR.10).
        own[_TOLD] *= 2
        if told[1] == uploads.UPLOADING:
            if own[_TASK] is None:
                own[_SINCE] = st.clock.ticks()
                own[_TASK] = asyncio.create_task(_attempt(st, own))
        elif own[_TOLD] and not own[_RETRIES]:
            st.diagnostics = None, st.diagnostics[1]


async def _attempt(st, own):
    # The one task of this block. Whatever the server does, `busy` ends it in time.
    try:
        status = await http.status(await _send(st, *own[_WHAT]))
    except Exception as error:
        st.log.warn("upload: %r" % error)
        status = 1
    _over(st, own, status)


def _over(st, own, status):
    # An attempt ended: the HTTP status, 1 when there is no connection.
    if status > 299:
        st.log.warn("upload: HTTP status %d" % status)
    became = uploads.UPLOAD_FAILURE
    if status // 100 == 2:
        became = uploads.UPLOADED
        own[_RETRIES] = 0
    elif status in (401, 403, 407):
        became = uploads.PERMISSION_DENIED
    elif status in (0, 400):
        became = uploads.BAD_MESSAGE
    elif status in (405, 501):
        became = uploads.NOT_SUPPORTED_OPERATION
    own[_STATUS] = became
    own[_TOLD] = 0
    own[_TASK] = None
    st.outbox.wake()


async def _send(st, url, security, oldest, latest):
    profile = st.profile
    text = "%s %s %s %s %s\n" % (
        profile.VENDOR,
        profile.MODEL,
        profile.SERIAL,
        profile.VERSION,
        st.clock.text(st.clock.now()),
    )
    size = 0
    if security:
        for piece in _security(st, text, oldest, latest):
            size += len(piece)
            await asyncio.sleep_ms(0)
        pieces = _security(st, text, oldest, latest)
    else:
        # The counters in the order of base/counts.py.
        text += "boot %d %s\nheap free %d\njournal %s\ncounters %s\n" % (
            st.journal.boot,
            st.boot_reason,
            gc.mem_free() if hasattr(gc, "mem_free") else 0,
            " ".join(str(count) for count in st.journal.counts()),
            " ".join(str(count) for count in st.counters),
        )
        pieces = text.encode(), st.log.tail().encode()
        size = len(pieces[0]) + len(pieces[1])
    return await http.put(st, url, size, pieces)


def _security(st, title, oldest, latest):
    """The lines of the security log. A time that was a guess has a question mark."""
    yield title.encode()
    for event in security_log.read(st.board.flash("logs")):
        line = ""
        if event and (oldest or 0) <= event[0] and (latest is None or event[0] <= latest):
            line = "%s%s %s\n" % (st.clock.text(event[0]), "?" if event[1] else "", event[2])
        # Also where there is none: to read is a step.
        yield line.encode()


def trigger_status(st, index, connector):
    """TriggerMessage LogStatusNotification: Idle when nothing is uploaded (F06.FR.15)."""
    own, inquiry = st.diagnostics
    if own is None:
        own = [None, uploads.IDLE, 0, None, None, 0, 0, 0, None]
        st.diagnostics = own, inquiry
    own[_TOLD] = 0
    return True


# --- customer information ---------------------------------------------------------------------------


def customer_information(st, r, at, w):
    """N09, N10: report what is stored of a customer, or forget it, or both."""
    report, clear = r.boolean(r.get(at, "report")), r.boolean(r.get(at, "clear"))
    where = r.get(at, "idToken")
    others = bool(r.get(at, "customerIdentifier")) + bool(r.get(at, "customerCertificate"))
    if bool(where) + others != 1:
        return w.status("Invalid")
    upload, inquiry = st.diagnostics
    if not (report or clear) or inquiry is not None:
        return w.status("Rejected")
    token = types.read_token(r, where)
    # Nothing is stored by the other two.
    parts = _known(st, token) if where and report else []
    if not parts:
        parts.append("No data" if report else "Cleared")
    st.diagnostics = upload, [r.number(at, "requestId"), 0, parts]
    w.status("Accepted")
    return (_forget, token) if where and clear else None


async def _forget(st, token):
    try:
        for _ in tokens.forget(st, token):
            await asyncio.sleep_ms(0)
    except OSError as error:
        st.log.error("not forgotten: " + str(error))


def _known(st, token):
    # What is stored of a token, one text a message.
    text = tokens.describe(st, token)
    parts = [text] if text else []
    hashed = tokens.token_hash(token)
    for e in st.evses:
        if e.tx is not None and e.tx.token_hash == hashed:
            name, time = st.journal.transaction_id(e.tx.counter), st.clock.text(e.tx.started)
            parts.append("transaction %s on EVSE %d since %s" % (name, e.index, time))
        elif e.authorized and e.token_hash == hashed:
            parts.append("authorized on EVSE %d" % e.index)
    return parts


def _inquiry_due(st):
    return st.diagnostics[1]


def _inquiry_render(st, w, cursor):
    request_id, seq, parts = cursor
    w.field("data", parts[seq])
    if seq + 1 < len(parts):
        w.field("tbc", True)
    w.field("seqNo", seq)
    w.key("generatedAt").time(st.clock.now())
    w.field("requestId", request_id)


def _inquiry_answered(st, cursor, r, at):
    """Whatever the answer: the CSMS has it, or does not want it."""
    cursor[1] += 1
    if cursor[1] == len(cursor[2]):
        st.diagnostics = st.diagnostics[0], None


def busy(st) -> bool:
    """Is there anything that this block must still send? Asked each second: an attempt that takes for ever ends here,
    for `wait_for` would cost 400 bytes of heap."""
    own, inquiry = st.diagnostics
    if own is not None and own[_TASK] is not None:
        if st.clock.since(own[_SINCE]) < _PATIENCE:
            return True
        own[_TASK].cancel()
        # As a gateway would say it.
        _over(st, own, 504)
    return st.link.up and (own is not None or inquiry is not None)


CALLS = {"GetLog": get_log, "CustomerInformation": customer_information}
TRIGGERS = {"LogStatusNotification": trigger_status}
UNREAD = ("CustomerInformation.customerCertificate",)
SENDS = (
    (
        4,
        gates.WHEN_ACCEPTED,
        "LogStatusNotification",
        _status_due,
        _status_render,
        _status_answered,
    ),
    (
        5,
        gates.WHEN_ACCEPTED,
        "NotifyCustomerInformation",
        _inquiry_due,
        _inquiry_render,
        _inquiry_answered,
    ),
)
