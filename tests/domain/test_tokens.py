"""Who may charge: the authorization cache, groups, the master pass, and what is decided offline."""

import pytest

from hostsim.lives.bench import CARD, OTHER, Bench, PowerCut, dice

PRE = "AuthCtrlr.LocalPreAuthorize"
ENABLED = "AuthCacheCtrlr.Enabled"
LIFE = "AuthCacheCtrlr.LifeTime"
DISABLE_POST = "AuthCacheCtrlr.DisablePostAuthorize"
DISABLE_REMOTE = "AuthCtrlr.DisableRemoteAuthorization"
OFFLINE = "AuthCtrlr.LocalAuthorizeOffline"
UNKNOWN = "AuthCtrlr.OfflineTxForUnknownIdEnabled"
MASTER = "AuthCtrlr.MasterPassGroupId"
STOP = "TxCtrlr.TxStopPoint"
FRIEND = ("04F0F0F0", "ISO14443")
BOSS = ("0A57E8", "ISO14443")
GROUP = ("Accepted", "FAMILY", None)


def asked(b):
    """The tokens that the CSMS was asked about, and forget them."""
    b.deliver()
    found = [p["idToken"]["idToken"] for action, p in b.sent if action == "Authorize"]
    b.sent.clear()
    return found


def met(variables=None, token=CARD, **options):
    """A station that has asked the CSMS about a token once. Nobody plugged in."""
    b = Bench({PRE: "true"} | (variables or {}), **options)
    b.card(token)
    b.card(token)  # taken back
    assert not b.e.authorized
    b.poll(3000)
    asked(b)
    return b


def row(b, token=CARD):
    from milliamp.domain import tokens

    return b.st.tokens.row(tokens.token_hash(token))


# --- online -------------------------------------------------------------------------------------------


def test_a_known_token_starts_without_a_question():
    b = met()
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed and asked(b) == []


def test_unless_the_cache_is_not_to_be_used_online():
    b = met({PRE: "false"})
    b.card()
    assert asked(b) == [CARD[0]]


def test_nor_when_it_is_disabled():
    b = met({ENABLED: "false"})
    assert row(b) is None
    b.card()
    assert asked(b) == [CARD[0]]


def test_a_token_that_was_refused_is_asked_for_again():
    b = met(csms={CARD[0]: ("Blocked", None, None)})
    assert row(b) is not None
    b.csms[CARD[0]] = ("Accepted", None, None)
    b.card()
    assert asked(b) == [CARD[0]] and b.e.authorized


def test_unless_its_refusal_is_final():
    b = met({DISABLE_POST: "true"}, csms={CARD[0]: ("Invalid", None, None)})
    b.csms[CARD[0]] = ("Accepted", None, None)
    b.card()
    assert asked(b) == [] and not b.e.authorized


def test_a_token_that_may_charge_elsewhere_only():
    b = Bench({PRE: "true"}, evses=2, csms={CARD[0]: ("Accepted", None, [2])})
    b.card(evse=1)
    assert not b.st.evses[0].authorized
    asked(b)
    b.card(evse=2)
    assert asked(b) == [] and b.st.evses[1].authorized
    b.card(evse=1)
    assert asked(b) == [CARD[0]] and not b.st.evses[0].authorized


def test_no_questions_at_all():
    b = met({DISABLE_REMOTE: "false", UNKNOWN: "true"})
    b.set(DISABLE_REMOTE, "true")
    b.set(PRE, "false")
    b.card(OTHER)
    assert asked(b) == [] and not b.e.authorized  # not known here, and not offline
    b.card()
    assert asked(b) == [] and b.e.authorized


@pytest.mark.parametrize("kind", ["NoAuthorization", "Central"])
def test_tokens_that_nobody_asks_about_are_not_kept(kind):
    b = Bench(csms={"X": ("Accepted", None, None)})
    b.plug()
    b.card(("X", kind))
    b.poll(500)
    assert b.outlet.closed and asked(b) == []
    assert row(b, ("X", kind)) is None


# --- what it learns from ----------------------------------------------------------------------------


def test_the_answer_to_an_event_is_kept_too():
    b = met()
    b.plug()
    b.csms[CARD[0]] = ("Invalid", None, None)
    b.card()
    asked(b)
    assert not b.e.authorized
    b.unplug()
    b.plug()
    b.card()
    assert asked(b) == [CARD[0]]


def test_a_remote_start_without_a_question_is_learned_from():
    from milliamp.domain import sessions

    b = Bench(
        {PRE: "true", "AuthCtrlr.AuthorizeRemoteStart": "false"},
        csms={CARD[0]: GROUP, FRIEND[0]: GROUP},
    )
    b.plug()
    sessions.remote_start(b.st, b.e, CARD, 1, None)
    b.deliver()
    b.card(FRIEND)
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")
    assert row(b, CARD)[1] == row(b, FRIEND)[1] != bytes(6)


def test_it_expires_when_the_csms_says_so():
    b = Bench({PRE: "true"})
    reply = b.reply

    def until(action, payload):
        answer = reply(action, payload)
        if answer:
            answer["idTokenInfo"]["cacheExpiryDateTime"] = "2026-11-20T12:01:00Z"
        return answer

    b.reply = until
    b.card()
    b.card()
    asked(b)
    b.card()
    b.card()
    assert asked(b) == []
    b.poll(60_000)
    b.card()
    assert asked(b) == [CARD[0]]


def test_it_expires_when_it_is_not_used():
    b = met({LIFE: "60"})
    for _ in range(3):  # each use counts
        b.poll(40_000)
        b.card()
        b.card()
        assert asked(b) == []
    b.poll(61_000)
    b.card()
    assert asked(b) == [CARD[0]]


def test_the_least_recently_used_one_makes_room():
    cards = [(f"04{n:06}", "ISO14443") for n in range(17)]
    b = Bench({PRE: "true"}, csms={card[0]: ("Accepted", None, None) for card in cards})
    size = b.tables.profile.CACHE
    assert size == 16

    def touch(card):
        b.card(card)
        b.card(card)
        return asked(b)

    for card in cards[:16]:
        assert touch(card) == [card[0]]
    assert b.st.tokens.used() == 16 * 24
    assert touch(cards[0]) == []
    assert touch(cards[16]) == [cards[16][0]]
    b.power_cycle()
    b.connect()
    assert b.st.tokens.used() == 16 * 24
    assert touch(cards[0]) == touch(cards[16]) == touch(cards[2]) == []
    assert touch(cards[1]) == [cards[1][0]]


# --- offline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, may, unknown, starts",
    [
        ("Accepted", True, False, True),
        ("Accepted", False, False, False),
        ("Accepted", False, True, True),
        ("Blocked", True, False, False),
        ("Blocked", True, True, False),
    ],
)
def test_offline_the_cache_decides(status, may, unknown, starts):
    values = {OFFLINE: str(may).lower(), UNKNOWN: str(unknown).lower(), PRE: "false"}
    b = met(values, csms={CARD[0]: (status, None, None)})
    b.disconnect()
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed == starts


def test_offline_a_card_of_the_group_stops():
    b = Bench(csms={CARD[0]: GROUP, FRIEND[0]: GROUP, OTHER[0]: ("Accepted", "ELSE", None)})
    for card in (FRIEND, OTHER):
        b.card(card)
        b.card(card)
    b.plug()
    b.card()
    b.poll(500)
    b.disconnect()
    b.card(OTHER)
    assert b.outlet.closed
    b.card(FRIEND)
    assert not b.outlet.closed
    b.connect()
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")
    assert b.last()["idToken"]["idToken"] == FRIEND[0]


# --- groups ---------------------------------------------------------------------------------------------


def test_a_known_group_stops_without_a_question():
    b = Bench({PRE: "true"}, csms={CARD[0]: GROUP, FRIEND[0]: GROUP})
    for card in (CARD, FRIEND):
        b.card(card)
        b.card(card)
    b.plug()
    b.card()
    b.poll(500)
    asked(b)
    b.card(FRIEND)
    assert asked(b) == [] and not b.outlet.closed


def test_a_refused_card_of_the_group_does_not_stop():
    b = Bench({PRE: "true"}, csms={CARD[0]: GROUP, FRIEND[0]: ("Invalid", "FAMILY", None)})
    b.card(FRIEND)
    b.plug()
    b.card()
    b.poll(500)
    asked(b)
    b.card(FRIEND)
    assert asked(b) == [FRIEND[0]] and b.outlet.closed


def test_the_friend_who_stopped_does_not_become_the_owner():
    b = Bench({STOP: "EVConnected"}, csms={CARD[0]: GROUP, FRIEND[0]: GROUP})
    b.plug()
    b.card()
    b.poll(500)
    b.card(FRIEND)
    b.poll(500)
    b.deliver()
    stopped = [p for _, p in b.sent if p.get("triggerReason") == "StopAuthorized"]
    assert [p["idToken"]["idToken"] for p in stopped] == [FRIEND[0]]
    b.power_cycle()
    b.connect()
    from milliamp.domain import tokens

    assert b.e.tx.token_hash == tokens.token_hash(CARD)


# --- the master pass --------------------------------------------------------------------------------------


def masters(**options):
    csms = {BOSS[0]: ("Accepted", "Police", None)}
    csms |= {card[0]: ("Accepted", None, None) for card in (CARD, OTHER)}
    return Bench({MASTER: "POLICE", PRE: "true"}, csms=csms, **options)


@pytest.mark.parametrize("kept", [False, True])
def test_a_master_pass_starts_nothing(kept):
    b = masters()
    if kept:
        b.card(BOSS)
        asked(b)
    b.plug()
    b.card(BOSS)
    b.poll(1000)
    assert not b.e.authorized and not b.outlet.closed
    assert asked(b) == ([] if kept else [BOSS[0]])


def test_nor_from_afar():
    from milliamp.domain import sessions

    b = masters()
    b.set("AuthCtrlr.AuthorizeRemoteStart", "false")
    b.plug()
    sessions.remote_start(b.st, b.e, CARD, 1, ("police", "Local"))
    b.poll(500)
    assert not b.e.authorized and b.e.remote_id is None


@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_a_master_pass_stops_everything(where):
    b = masters(evses=3)
    for evse, card in ((1, CARD), (2, OTHER)):
        b.plug(evse)
        b.card(card, evse)
    b.poll(1000)
    b.deliver()
    assert [outlet.closed for outlet in b.board.outlets] == [True, True, False]
    b.card(BOSS, where)
    b.deliver()
    assert not any(outlet.closed or outlet.locked for outlet in b.board.outlets)
    ended = [p for _, p in b.sent if p.get("eventType") == "Ended"]
    assert len(ended) == 2
    for payload in ended:
        assert payload["triggerReason"] == "StopAuthorized"
        assert payload["transactionInfo"]["stoppedReason"] == "MasterPass"
        assert payload["idToken"]["idToken"] == BOSS[0]


def test_a_master_pass_and_a_stop_point_that_still_holds():
    b = masters()
    b.set(STOP, "EVConnected")
    b.plug()
    b.card()
    b.poll(1000)
    b.card(BOSS)
    assert not b.outlet.locked
    b.unplug()
    assert b.last()["triggerReason"] == "EVCommunicationLost"
    assert b.last()["transactionInfo"]["stoppedReason"] == "MasterPass"


# --- clearing, and customers ------------------------------------------------------------------------------


def test_clearing_leaves_nothing_in_flash():
    from milliamp.domain import tokens

    b = met()
    hashed = tokens.token_hash(CARD)
    assert hashed in bytes(b.flashes["tokens"].image)
    assert len(list(b.st.tokens.clear())) == 2  # the other sectors
    assert hashed not in bytes(b.flashes["tokens"].image)
    b.card()
    assert asked(b) == [CARD[0]]


def test_clearing_erases_one_sector_a_step_and_keeps_what_comes_meanwhile():
    from milliamp.domain import tokens

    b = met(csms={CARD[0]: ("Accepted", None, None), OTHER[0]: ("Accepted", None, None)})
    flash, st = b.flashes["tokens"], b.st
    hashes = [tokens.token_hash(token) for token in (CARD, OTHER)]
    for _ in range(2):
        before = flash.erases
        for _ in st.tokens.clear():
            assert flash.erases <= before + 1
            before = flash.erases
            if st.tokens.row(hashes[1]) is None:
                tokens.learn(st, OTHER, ("Accepted", None, 0, 0))
        assert flash.erases <= before + 1
        assert st.tokens.row(hashes[0]) is None and st.tokens.row(hashes[1]) is not None
        assert hashes[0] not in bytes(flash.image)
        b.power_cycle()
        st = b.st
        assert st.tokens.row(hashes[1]) is not None
        tokens.learn(st, CARD, ("Accepted", None, 0, 0))
    # What came meanwhile is no less kept: the next one takes it, too.
    list(st.tokens.clear())
    assert not any(hashed in bytes(flash.image) for hashed in hashes)


def test_a_new_sector_of_the_cache_is_one_record():
    from milliamp.domain import tokens

    b = met()
    flash, longest = b.flashes["tokens"], 0
    for n in range(200):
        before = flash.operations - flash.erases
        tokens.learn(b.st, (f"CARD{n % 16}", "ISO14443"), ("Accepted", None, 0, 0))
        longest = max(longest, flash.operations - flash.erases - before)
    assert longest == 3  # all rows, the header, the one that is new
    rows = [b.st.tokens.row(tokens.token_hash((f"CARD{n}", "ISO14443"))) for n in range(16)]
    b.power_cycle()
    assert rows == [
        b.st.tokens.row(tokens.token_hash((f"CARD{n}", "ISO14443"))) for n in range(16)
    ]


def test_a_customer_is_described_and_forgotten():
    from milliamp.domain import tokens

    b = met(csms={CARD[0]: ("Blocked", "FAMILY", None), OTHER[0]: ("Accepted", None, None)})
    b.card(OTHER)
    text = tokens.describe(b.st, CARD)
    assert "Blocked" in text and "2026-11-20T12:00" in text and "group" in text
    assert "group" not in tokens.describe(b.st, OTHER)
    assert list(tokens.forget(b.st, CARD)) and not list(tokens.forget(b.st, CARD))
    assert tokens.describe(b.st, CARD) == ""
    assert tokens.token_hash(CARD) not in bytes(b.flashes["tokens"].image)
    b.power_cycle()
    assert row(b) is None and row(b, OTHER) is not None


# --- flash --------------------------------------------------------------------------------------------


def test_it_outlives_a_reboot():
    b = met()
    before = row(b)
    b.power_cycle()
    assert row(b) == before
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed  # offline


# --- what is kept, and for how long ---------------------------------------------------------------------


def reads(b, info):
    """What a block makes of an IdTokenInfoType."""
    import json

    from milliamp.wire import types

    reader = b.st.rpc.reader
    text = json.dumps([info]).encode()
    reader.buf[: len(text)] = text
    reader.load(len(text))
    while reader.check(1000) is None:
        pass
    return types.read_info(b.st, reader, reader.first(0))


@pytest.mark.parametrize(
    "expiry, valid",
    [
        ("1999-12-31T23:59:59Z", False),
        ("1970-01-01T00:00:00Z", False),
        ("0001-01-01T00:00:00Z", False),
        ("2026-11-20T11:59:59Z", False),
        ("", False),
        ("never", False),
        ("2026-11-21T12:00:00Z", True),
        ("2999-12-31T23:59:59Z", True),
        ("9999-12-31T23:59:59Z", True),
        (None, True),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_until_when_a_token_is_known(expiry, valid, before):
    from milliamp.domain import tokens

    b = met() if before else Bench()
    info = {"status": "Accepted"} | ({} if expiry is None else {"cacheExpiryDateTime": expiry})
    tokens.learn(b.st, CARD, reads(b, info))
    b.disconnect()
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed == valid


def test_an_expiry_counts_alone():
    from milliamp.domain import tokens

    b = Bench({LIFE: "60"})
    now = b.st.clock.now()
    tokens.learn(b.st, CARD, ("Accepted", None, 0, now + 1000))
    tokens.learn(b.st, OTHER, ("Accepted", None, 0, 0))
    b.poll(100_000)
    b.disconnect()
    b.plug()
    b.card(OTHER)
    assert not b.e.authorized
    b.card(CARD)
    assert b.e.authorized


def test_unknown_cards_do_not_take_the_place_of_customers():
    from milliamp.domain import tokens

    b = Bench()
    entries = b.tables.profile.CACHE
    for n in range(entries - 1):
        tokens.learn(b.st, (f"customer{n}", "ISO14443"), ("Accepted", None, 0, 0))
    for n in range(3 * entries):
        b.poll(1000)
        tokens.learn(b.st, (f"stranger{n}", "ISO14443"), ("Unknown", None, 0, 0))
        assert row(b, (f"stranger{n}", "ISO14443"))  # C10.FR.01
    assert all(row(b, (f"customer{n}", "ISO14443")) for n in range(entries - 1))
    b.power_cycle()
    assert all(row(b, (f"customer{n}", "ISO14443")) for n in range(entries - 1))


@pytest.mark.parametrize("status", ["ConcurrentTx", "NotAtThisTime"])
@pytest.mark.parametrize("unknown", ["true", "false"])
def test_how_it_was_at_that_moment_decides_nothing(status, unknown):
    from milliamp.domain import tokens

    b = met({DISABLE_POST: "true", UNKNOWN: unknown}, csms={CARD[0]: (status, None, None)})
    assert row(b) is not None
    b.csms[CARD[0]] = ("Accepted", None, None)
    b.plug()
    b.card()
    assert asked(b) == [CARD[0]] and b.e.authorized
    b.card()
    tokens.learn(b.st, CARD, (status, None, 0, 0))
    b.disconnect()
    b.card()
    assert b.e.authorized == (unknown == "true")


def test_an_empty_group_is_none():
    from milliamp.domain import tokens

    assert tokens.group_hash(("", "Central")) == tokens.group_hash(None) == b""


def test_an_empty_cache_is_cleared_without_a_write():
    from milliamp.blocks import authorization

    b = met()
    flash = b.flashes["tokens"]

    def clear():
        before = flash.operations
        assert list(b.st.tokens.clear()) is not None and b.st.tokens.used() == 0
        return flash.operations - before

    assert clear() > 0 and clear() == 0
    b.power_cycle()
    b.connect()
    assert clear() == 0
    b.card()
    b.deliver()
    assert b.st.tokens.used() and clear() > 0 and clear() == 0
    assert authorization.clear_cache


class Life:
    """A cache that is used at random, and what it must hold."""

    def __init__(self, flash, seed, entries=5):
        from milliamp.domain.token_cache import Cache

        self.flash, self.seed, self.entries = flash, seed, entries
        self.cache = Cache(flash, entries)
        self.rows = {}  # hash -> row, least recently used first
        self.doubt = None  # (before, after) of what the power was cut in

    def rows_after(self, hashed, now):
        rows = dict(self.rows)
        if hashed not in rows and len(rows) == self.entries:
            refused = [key for key, row in rows.items() if row[2]]
            del rows[(refused or list(rows))[0]]
        rows.pop(hashed, None)
        return rows | {hashed: (hashed, b"G" * 6, now // 7 % 2, 0, 2, now + 5, now)}

    def put(self, n, now):
        after = self.rows_after(b"token%d" % n, now)
        self.doubt = self.rows, after
        self.cache.put(b"token%d" % n, b"G" * 6, now // 7 % 2, 2, now + 5, now)
        self.rows = after

    def held(self):
        found = (self.cache.row(b"token%d" % n) for n in range(10))
        return {row[0]: row for row in found if row}


@pytest.mark.parametrize("torn", ["nothing", "half", "bits", "all"])
@pytest.mark.parametrize("unit", [1, 8, 32])
def test_a_power_cut_costs_the_change_it_interrupts_and_no_more(torn, unit):
    from hostsim.charger.flash import Nor
    from milliamp.domain.token_cache import Cache

    flash = Nor(3 * 512, 512, unit)
    life = Life(flash, 1)
    random = dice(7)
    now = 1000
    for cut in range(150):
        flash.cut_power(random(9), torn, random)
        try:
            while True:
                now += 1
                if not random(4):
                    life.cache.prepare()
                life.put(random(10), now)
        except PowerCut:
            flash.power_on()
        life.cache = Cache(flash, life.entries)
        assert life.held() in life.doubt, cut
        life.rows = dict(sorted(life.held().items(), key=lambda item: item[1][6]))


def test_a_flash_that_fails_costs_the_memory_only():
    b = met()
    b.flashes["tokens"].bad = set(range(100))
    b.csms[OTHER[0]] = ("Accepted", None, None)
    b.plug()
    b.card(OTHER)
    b.poll(500)
    assert b.outlet.closed and row(b, OTHER)
    assert b.errors() == []


def test_a_region_of_another_time_leaves_the_station_with_an_empty_cache():
    b = met()
    b.board.flashes["tokens"].unit = 16  # not what the sectors say
    b.power_cycle()
    assert b.st.tokens.used() == 0
    b.connect()
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed
