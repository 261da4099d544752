/* Waiting (src/table/waiting.cpp, wait() and release() in locks.cpp): places, the waiters and urgent flags of a cell, sleep
 * on one's own wake word, hand-over to the one who has waited longest. The chain is one step here (chain.pml has it): a
 * key is in some record or in none.
 *
 * A slice (the end of a bounded sleep) comes only when nothing else can happen. Without deaths none may be needed: that
 * is a lost wake-up, and the model fails. With deaths (-DDEATHS=n) slices come, and everyone who lives is let in after a
 * bounded number of them. Time is nondeterministic: a waiter becomes urgent, or times out, at any moment.
 *
 * Bounds: WAITERS processes with ROUNDS bounded waits each, BARGERS that call lock() once, EVICTIONS of an unlocked
 * record, TIMEOUTS of the waiters may time out, KEYS keys (process p asks for key p % KEYS).
 * -DPOLL: a waiter whose turn it is not looks again when nothing else happens, as it does each millisecond.
 */
#ifndef WAITERS
#define WAITERS 3
#endif
#ifndef BARGERS
#define BARGERS 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef URGENT
#define URGENT 1 /* how many may become urgent */
#endif
#ifndef EVICTIONS
#define EVICTIONS 0
#endif
#ifndef KEYS
#define KEYS 1
#endif
#ifndef RECORDS
#define RECORDS 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef ENOUGH
#define ENOUGH 6 /* slices of one waiter that let it in for sure, once nothing else moves */
#endif
#define PROCS (WAITERS + BARGERS)

/* A head: {token, urgent 1, waiters 1}; an owner: FREE (no key), IDLE, process + 1. */
#define HAS_WAITERS(h) (((h) & 1) != 0)
#define IS_URGENT(h) (((h) & 2) != 0)
#define WITH_FLAGS(h, u, w) (((h) & 252) | ((u) << 1) | (w))
#define IDLE 0
#define FREE 15
#define NONE 15

byte head_of[RECORDS], owner_of[RECORDS];
byte record_of[KEYS];    /* where a key is */
bool from_the_end;       /* where room is looked for */
#define RECORD_AT(i) (from_the_end -> RECORDS - 1 - (i) : (i))

bool alive[PROCS];
bool is_ready[PROCS], passed[PROCS], urgent[PROCS], asleep[PROCS];    /* places; p's place is p */
byte aimed[PROCS], age[PROCS], wakes[PROCS];
byte death_wakes[PROCS];    /* on p's life word: how many sleepers the kernel wakes: 0, 1, 2: all */
byte clock_now = 1, deaths = DEATHS, may_time_out = TIMEOUTS, may_be_urgent = URGENT, evictions = EVICTIONS;
byte ended, polling;    /* polling: how many sleep because it is not their turn */

/* Seen from outside: a waiter that has made the cell urgent is not overtaken by a younger one, unless it is passed over. */
bool said_urgent[PROCS], forgiven[PROCS];

mtype = { choose, first_find, first_grant, take_place, read_wakes, aim, make_ready, find, line, grant, refused, flag,
          pass_over, check_sleep, sleeping, held, release, leave, wake_first, wake_add, wake_futex, wake_all, wake_all_add,
          wake_all_futex, died, gone, evict_wake };

#define TO_END 0
#define TO_HELD 1
#define TO_FIND 2

inline forget() {
  record = 0; head = 0; owner = 0; count = 0; i = 0; older = false; others = false; any_urgent = false; turn = 0; best = NONE;
  after = 0; target = 0; slices = 0; rounds = 0; on_life = NONE
}

inline insert_key() {
  i = 0;
  do
  :: i < RECORDS && owner_of[RECORD_AT(i)] != FREE -> i++
  :: else -> break
  od;
  assert(i < RECORDS);
  record_of[me % KEYS] = RECORD_AT(i); owner_of[RECORD_AT(i)] = IDLE; head_of[RECORD_AT(i)] = (head_of[RECORD_AT(i)] & 252) + 4;
  i = 0
}

inline granted_to_me() {
  assert(owner_of[record] == IDLE || !alive[owner_of[record] - 1]);
  i = 0;
  do
  :: i < PROCS ->
     /* (a) who has waited too long has its turn before those who came later */
     assert(!(said_urgent[i] && !forgiven[i] && i != me && alive[i] && is_ready[i] && !passed[i] && aimed[i] == record && is_ready[me] && age[i] < age[me]
              && aimed[me] == record));
     i++
  :: else -> break
  od;
  i = 0
}

proctype worker(byte me) {
  mtype pc = choose;
  byte rounds = ROUNDS;
  byte record, head, owner;    /* the hit */
  byte count, i, turn, best = NONE, after, target, slices, on_life = NONE;
  bool older, others, any_urgent;

end:
  do
  :: d_step { deaths > 0 && pc != choose && pc != gone && pc != died ->
       deaths--;
       polling = polling - (pc == sleeping && on_life == NONE -> 1 : 0);
       forget(); asleep[me] = false; pc = died }
  /* The kernel marks the life word and wakes one who sleeps on it. */
  :: d_step { pc == died -> alive[me] = false; said_urgent[me] = false; forgiven[me] = false; urgent[me] = false; aimed[me] = 0; age[me] = 0; passed[me] = false;
       is_ready[me] = false;    /* as good as: its session is dead */
       death_wakes[me] = 1; ended++; pc = gone }

  :: d_step { pc == choose && rounds == 0 -> pc = gone; ended++ }
  :: d_step { pc == choose && rounds > 0 -> rounds--; pc = first_find }

  /* ---- the first try, without a place; a barger has no other ---- */
  :: d_step { pc == first_find ->
       if
       :: record_of[me % KEYS] == NONE ->    /* insert() */
          insert_key()
       :: else
       fi;
       record = record_of[me % KEYS]; head = head_of[record]; owner = owner_of[record];
       if
       :: owner != IDLE && alive[owner - 1] -> pc = (me < WAITERS -> take_place : gone)
       :: else -> pc = (me < WAITERS && IS_URGENT(head) -> take_place : first_grant)
       fi;
       if
       :: pc == gone -> rounds = 0; ended++; head = 0; owner = 0; record = 0
       :: else
       fi }
  :: d_step { pc == first_grant ->
       if
       :: head_of[record] == head && owner_of[record] == owner ->
          granted_to_me();
          head_of[record] = head + 4; owner_of[record] = me + 1;    /* keeps the flags */
          target = record;
          pc = (HAS_WAITERS(head) && owner != IDLE -> wake_all : held); after = TO_HELD
       :: else -> pc = first_find
       fi }

  /* ---- wait() ---- */
  :: d_step { pc == take_place -> age[me] = clock_now; clock_now++; turn = 0; head = 0; owner = 0; pc = read_wakes }
  :: d_step { pc == read_wakes -> count = wakes[me];
#ifdef CANARY_LOOK_BEFORE_AIM
       pc = find }
#else
       pc = aim }
#endif
  :: d_step { pc == aim ->
#ifndef CANARY_KEPT_AT_NEW_AIM
       target = (is_ready[me] && aimed[me] != record -> aimed[me] : NONE);
#endif
       aimed[me] = record; pc = make_ready }
  :: d_step { pc == make_ready -> is_ready[me] = true; passed[me] = false;
#ifdef CANARY_LOOK_BEFORE_AIM
       pc = flag }
#else
#ifndef CANARY_KEPT_AT_NEW_AIM
       after = TO_FIND; pc = (target != NONE -> wake_first : find) }
#else
       pc = find }
#endif
#endif
  :: d_step { pc == find ->
       if
       :: record_of[me % KEYS] == NONE ->
          insert_key()
       :: else
       fi;
       record = record_of[me % KEYS]; head = head_of[record]; owner = owner_of[record];
       older = false; others = false; any_urgent = false;
       pc = (owner != IDLE && alive[owner - 1] -> refused : line) }
  :: d_step { pc == line ->
       if
       :: i == PROCS -> i = 0;
#ifdef CANARY_NO_TURNS
          pc = grant
#else
          pc = (IS_URGENT(head) && older -> refused : grant)
#endif
       :: else ->
          if
          :: i != me && is_ready[i] && alive[i] && aimed[i] == aimed[me] ->
             others = true; any_urgent = any_urgent || urgent[i]; older = older || (!passed[i] && age[i] < age[me])
          :: else
          fi;
          i++
       fi }
  :: d_step { pc == grant ->
       if
       :: head_of[record] == head && owner_of[record] == owner ->
          granted_to_me();
#ifdef CANARY_FLAGS_NOT_RECOMPUTED
          head_of[record] = head + 4;
#else
          head_of[record] = WITH_FLAGS(head + 4, any_urgent, others);
#endif
          owner_of[record] = me + 1; target = record; after = TO_HELD;
          is_ready[me] = false; passed[me] = false; urgent[me] = false; said_urgent[me] = false; forgiven[me] = false; age[me] = 0;
          pc = (HAS_WAITERS(head) && owner != IDLE -> wake_all : held);
#ifndef CANARY_KEPT_AT_NEW_AIM
          if
          :: aimed[me] != record && pc == held -> target = aimed[me]; after = TO_HELD; pc = wake_first
          :: else
          fi;
#endif
          aimed[me] = 0
       :: else -> pc = find
       fi;
       older = false; others = false; any_urgent = false }
  /* held by one who lives (owner != IDLE, alive when it was seen), or the turn of others */
  :: d_step { pc == refused && may_time_out > 0 && record == aimed[me] -> may_time_out--; pc = leave }
  :: d_step { pc == refused && may_be_urgent > 0 && !urgent[me] -> may_be_urgent--; urgent[me] = true }
  :: d_step { pc == refused -> older = false; others = false; any_urgent = false;
#ifdef CANARY_LOOK_BEFORE_AIM
       pc = aim }
#else
       pc = (record != aimed[me] -> read_wakes : flag) }
#endif
#ifdef CANARY_NO_FLAG
  :: d_step { pc == flag -> pc = check_sleep }
#else
#ifdef CANARY_FLAG_UNCOMPARED
  :: d_step { pc == flag -> head_of[record] = WITH_FLAGS(head_of[record], (IS_URGENT(head_of[record]) || urgent[me]), 1); pc = check_sleep }
#else
  :: d_step { pc == flag ->
       if
       :: WITH_FLAGS(head, (IS_URGENT(head) || urgent[me]), 1) == head ->
#ifdef CANARY_TURN_UNCHECKED
          pc = check_sleep
#else
          pc = (head_of[record] == head && owner_of[record] == owner -> check_sleep : read_wakes)
#endif
       :: else ->
          if
          :: head_of[record] == head && owner_of[record] == owner ->
             head = WITH_FLAGS(head, (IS_URGENT(head) || urgent[me]), 1); head_of[record] = head; pc = check_sleep
          :: else -> pc = read_wakes
          fi
       fi;
       if
       :: pc == check_sleep -> said_urgent[me] = urgent[me];
          if
          :: owner == IDLE || !alive[owner - 1] ->    /* the turn of others; a second time: for too long */
             on_life = NONE;
             if
             :: turn == head + 1 -> pc = pass_over; i = 0
             :: else -> turn = head + 1
             fi
          :: else -> on_life = owner - 1
          fi
       :: else
       fi }
#endif
#endif
  :: d_step { pc == pass_over ->
       if
       :: i == PROCS -> i = 0; turn = 0; pc = read_wakes
       :: else ->
          if
          :: i != me && is_ready[i] && alive[i] && aimed[i] == aimed[me] && age[i] < age[me] -> passed[i] = true; forgiven[i] = true
          :: else
          fi;
          i++
       fi }
  :: d_step { pc == check_sleep -> head = 0; owner = 0; i = 0;    /* the kernel compares, then it sleeps */
       if
#ifdef CANARY_SLEEP_UNCOMPARED
       :: true -> asleep[me] = true; pc = sleeping; polling = polling + (on_life == NONE -> 1 : 0)
#else
       :: wakes[me] == count && (on_life == NONE || alive[on_life]) -> asleep[me] = true; pc = sleeping;
          polling = polling + (on_life == NONE -> 1 : 0)
#endif
       :: else -> on_life = NONE; pc = read_wakes
       fi;
       count = 0 }
  :: d_step { pc == sleeping && !asleep[me] -> polling = polling - (on_life == NONE -> 1 : 0); on_life = NONE; pc = read_wakes }
  :: d_step { pc == sleeping && asleep[me] && on_life != NONE && death_wakes[on_life] > 0 ->
       death_wakes[on_life] = 2;    /* passed on to all who sleep on that life */
       asleep[me] = false; on_life = NONE; pc = read_wakes }
#if DEATHS > 0
  :: d_step { timeout && pc == sleeping -> slices++; assert(slices <= ENOUGH);
       polling = polling - (on_life == NONE -> 1 : 0); asleep[me] = false; on_life = NONE; pc = read_wakes }
#endif
#ifdef POLL
  /* Not our turn: such a sleep is for a millisecond. */
  :: d_step { timeout && pc == sleeping && on_life == NONE -> slices++; assert(slices <= ENOUGH);
       polling--; asleep[me] = false; pc = read_wakes }
#endif

  /* ---- timed out: the place is freed, then the wake that may have been ours is passed on ---- */
  :: d_step { pc == leave -> is_ready[me] = false; passed[me] = false; urgent[me] = false; said_urgent[me] = false; forgiven[me] = false; age[me] = 0; aimed[me] = 0;
       target = record; record = 0; head = 0; owner = 0; count = 0; turn = 0; after = TO_END;
       older = false; others = false; any_urgent = false;
#ifdef CANARY_NOT_PASSED_ON
       target = 0; pc = choose }
#else
       pc = wake_first }
#endif

  /* ---- the lock is ours; then release() ---- */
  :: d_step { pc == held -> slices = 0; count = 0; turn = 0; target = 0; after = 0; assert(owner_of[record] == me + 1);
       head = head_of[record]; owner = 0; pc = release }
  :: d_step { pc == release ->
       if
       :: head_of[record] == head ->
          head_of[record] = WITH_FLAGS(head + 4, IS_URGENT(head), 0);
          owner_of[record] = IDLE; target = record; after = TO_END;
          pc = (HAS_WAITERS(head) || IS_URGENT(head) -> wake_first : choose); record = 0; head = 0;
          if
          :: pc == choose -> target = 0
          :: else
          fi
       :: else -> head = head_of[record]
       fi }

  /* ---- wake_first_waiter(target) ---- */
  :: d_step { pc == wake_first ->
       if
       :: i == PROCS -> i = 0; pc = wake_add
       :: else ->
          if
          :: is_ready[i] && alive[i] && aimed[i] == target ->
             if
             :: best == NONE || (passed[best] != passed[i] && passed[best]) || (passed[best] == passed[i] && age[i] < age[best]) -> best = i
             :: else
             fi
          :: else
          fi;
          i++
       fi }
  :: d_step { pc == wake_add && best != NONE -> wakes[best]++; pc = wake_futex }
  :: d_step { pc == wake_add && best == NONE -> pc = wake_futex }
  :: d_step { pc == wake_futex ->
       if
       :: best != NONE -> asleep[best] = false
       :: else
       fi;
       best = NONE; target = 0;
       if
       :: after == TO_END -> pc = choose
       :: after == TO_HELD -> pc = held
       :: else -> pc = find
       fi;
       after = 0 }
  /* ---- wake_all_waiters(target) ---- */
  :: d_step { pc == wake_all ->
       if
       :: i == PROCS -> i = 0; pc = held; after = 0; target = 0
       :: else ->
          if
          :: is_ready[i] && alive[i] && aimed[i] == target -> pc = wake_all_add
          :: else -> i++
          fi
       fi }
  :: d_step { pc == wake_all_add -> wakes[i]++; pc = wake_all_futex }
  :: d_step { pc == wake_all_futex -> asleep[i] = false; i++; pc = wake_all }
  od
}

/* Takes the record of a key that nobody holds: condemn(), in one step but for the wakes. */
proctype evictor() {
  byte i, record, todo = EVICTIONS;
  bool flagged;
end:
  do
  :: d_step { todo == EVICTIONS && !from_the_end -> from_the_end = true }
  :: d_step { todo > 0 && record_of[0] != NONE && owner_of[record_of[0]] == IDLE ->
       todo--; record = record_of[0]; record_of[0] = NONE; owner_of[record] = FREE;
       flagged = HAS_WAITERS(head_of[record]);
       head_of[record] = (head_of[record] & 252) + 4;
       i = 0;
       do    /* the flag is gone with the record */
       :: i < PROCS -> said_urgent[i] = false; i++
       :: else -> break
       od;
       i = 0 }
     do
     :: d_step { flagged && i < PROCS ->
          if
          :: is_ready[i] && alive[i] && aimed[i] == record -> wakes[i]++; asleep[i] = false
          :: else
          fi;
          i++ }
     :: d_step { !flagged || i == PROCS -> i = 0; record = 0; flagged = false } break
     od
  od
}

#if DEATHS == 0
/* Nothing moves any more: then nobody may be asleep. */
proctype monitor() {
end:
#ifdef POLL
  timeout && polling == 0 ->
#else
  timeout ->
#endif
  assert(ended == PROCS)
}
#endif

init {
  byte i;
  atomic {
    do
    :: i < KEYS -> record_of[i] = NONE; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < RECORDS -> owner_of[i] = FREE; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < PROCS -> alive[i] = true; run worker(i); i++
    :: else -> break
    od;
#if EVICTIONS > 0
    run evictor();
#endif
#if DEATHS == 0
    run monitor();
#endif
  }
}
