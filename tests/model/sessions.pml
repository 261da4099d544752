/* Sessions (src/table/sessions.cpp): attach, death as the kernel marks it, recovery by whoever comes next (who may die
 * while at it), the slot attached again, detach. What a session leaves behind is a record in ALLOC(slot, generation);
 * whoever makes room may condemn it, too. keeper.pml shows that the kernel marks each word of the dead.
 *
 * Held: a living session's word is its own; what a living session has in ALLOC nobody touches; a slot is given out
 * again only when nothing of its dead is left; in the end all slots are free and no record is in ALLOC.
 *
 * Bounds: SLOTS slots, RECORDS records, PROCS processes with ROUNDS lives each, DEATHS of them die.
 */
#ifndef PROCS
#define PROCS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef RECORDS
#define RECORDS 1
#endif
#ifndef DEATHS
#define DEATHS 2
#endif

/* A life: {generation 4, OWNER_DIED 1, thread id 3}. */
#define TID(l) ((l) & 7)
#define DIED(l) (((l) & 8) != 0)
#define GENERATION(l) ((l) >> 4)
#define LIFE(g, tid) ((g) << 4 | (tid))
#define MARKED(l) (((l) & 240) | 8)
#define CLEARED(l) ((l) & 240)
/* An owner: FREE, DEAD, or ALLOC: {generation 4, slot 2, 3}. */
#define FREE 0
#define DEAD 1
#define ALLOC(s, g) ((g) << 4 | (s) << 2 | 3)
#define IS_ALLOC(o) (((o) & 3) == 3)
#define SLOT_OF(o) (((o) >> 2) & 3)
#define NONE 9

byte life[SLOTS];
byte token_of[RECORDS], owner_of[RECORDS];
byte deaths = DEATHS, ended;

mtype = { choose, recover_read, recover_look, recover_condemn, recover_finish, recover_clear,
          attach_read, attach_take, work, alloc, in_alloc, give_back, room_look, room_alive, detach, dying, gone };

#define ALL_RECORDS 0    /* recover(): go on with the next record */
#define ONE_RECORD 1     /* making room */

proctype worker(byte me) {
  mtype pc = choose;
  byte rounds = ROUNDS;
  byte slot = NONE, my_generation;    /* our session */
  byte at, seen, record, token, owner, why;
  bool worked, made_room;

  if
  :: me == PROCS -> ended == PROCS; rounds = 1
  :: else
  fi;
end:
  do
  :: d_step { me < PROCS && deaths > 0 && pc != choose && pc != gone && pc != dying -> deaths--;
       at = 0; seen = 0; record = 0; token = 0; owner = 0; why = 0; rounds = 0; worked = false; made_room = false;
       my_generation = 0; pc = dying }
  /* The kernel is at it a moment later. */
  :: d_step { pc == dying ->
       if
       :: slot != NONE -> assert(TID(life[slot]) == me + 1); life[slot] = MARKED(life[slot]); slot = NONE
       :: else
       fi;
       pc = gone; ended++ }
#ifdef CANARY_THREAD_OUTLIVES_KEEPER
  /* The keeper is dead already, another thread of the process not yet. */
  :: d_step { me < PROCS && deaths > 0 && slot != NONE && TID(life[slot]) == me + 1 -> deaths--; life[slot] = MARKED(life[slot]) }
#endif

  :: d_step { pc == choose && rounds == 0 -> pc = gone; ended++;
       if
       :: me == PROCS ->
          at = 0;
          do
          :: at < SLOTS -> assert(TID(life[at]) == 0 && !DIED(life[at])); at++
          :: else -> break
          od;
          at = 0;
          do
          :: at < RECORDS ->    /* DEAD: a rescuer died at it; whoever makes room finishes it (chain.pml) */
             assert(owner_of[at] == FREE || owner_of[at] == DEAD); at++
          :: else -> break
          od;
          at = 0
       :: else
       fi }
  :: d_step { pc == choose && rounds > 0 -> rounds--; at = 0; pc = recover_read }

  /* ---- recover_the_dead() ---- */
  :: d_step { pc == recover_read ->
       if
       :: at == SLOTS -> at = 0; seen = 0; pc = (me == PROCS -> choose : attach_read)
       :: else ->
          seen = life[at];
          if
          :: DIED(seen) -> record = 0; pc = recover_look
          :: else -> seen = 0; at++
          fi
       fi }
  :: d_step { pc == recover_look ->
       if
       :: record == RECORDS -> record = 0; pc = recover_clear
       :: else ->
          token = token_of[record]; owner = owner_of[record]; why = ALL_RECORDS;
          if
          :: owner == DEAD -> pc = recover_finish
#ifdef CANARY_ALLOC_WITHOUT_GENERATION
          :: IS_ALLOC(owner) && SLOT_OF(owner) == at -> pc = recover_condemn    /* trap 5 */
#else
          :: owner == ALLOC(at, GENERATION(seen)) -> pc = recover_condemn
#endif
          :: else -> token = 0; owner = 0; record++
          fi
       fi }
  :: d_step { pc == recover_condemn ->    /* condemn() */
       if
       :: token_of[record] == token && owner_of[record] == owner ->
          token++; token_of[record] = token; owner = DEAD; owner_of[record] = DEAD; pc = recover_finish
       :: else -> token = 0; owner = 0;
          if
          :: why == ALL_RECORDS -> record++; pc = recover_look
          :: else -> record = 0; why = ALL_RECORDS; pc = work
          fi
       fi }
  :: d_step { pc == recover_finish ->    /* finish_condemned() */
       if
       :: token_of[record] == token && owner_of[record] == DEAD -> owner_of[record] = FREE
       :: else
       fi;
       token = 0; owner = 0;
       if
       :: why == ALL_RECORDS -> record++; pc = recover_look
       :: else -> record = 0; why = ALL_RECORDS; pc = work
       fi }
  :: d_step { pc == recover_clear ->
       if
#ifdef CANARY_CLEAR_ANY_GENERATION
       :: DIED(life[at]) -> life[at] = CLEARED(life[at])
#else
       :: life[at] == seen -> life[at] = CLEARED(seen)
#endif
       :: else
       fi;
       seen = 0; at++; pc = recover_read }

  /* ---- attach(): a slot that is neither alive nor to be recovered ---- */
  :: d_step { pc == attach_read ->
       if
       :: at == SLOTS -> at = 0; pc = choose    /* session_limit */
       :: else ->
          seen = life[at];
          if
#ifdef CANARY_REUSE_UNRECOVERED
          :: TID(seen) != 0 -> seen = 0; at++
#else
          :: TID(seen) != 0 || DIED(seen) -> seen = 0; at++
#endif
          :: else -> pc = attach_take
          fi
       fi }
  :: d_step { pc == attach_take ->
       if
       :: life[at] == seen ->
#ifdef CANARY_SAME_GENERATION
          my_generation = GENERATION(seen);
#else
          my_generation = GENERATION(seen) + 1;
#endif
          life[at] = LIFE(my_generation, me + 1); slot = at;
          record = 0;
          do    /* nothing of an earlier life is left */
          :: record < RECORDS -> assert(!IS_ALLOC(owner_of[record]) || SLOT_OF(owner_of[record]) != slot); record++
          :: else -> break
          od;
          record = 0; at = 0; pc = work
       :: else -> at++; pc = attach_read
       fi;
       seen = 0 }

  /* ---- a session's work: a record in ALLOC for a while; making room; in any order ---- */
  :: d_step { pc == work && !worked -> worked = true; record = 0; pc = alloc }
#if RECORDS > 1
  :: d_step { pc == work && !worked -> worked = true; record = 1; pc = alloc }
#endif
  :: d_step { pc == work && !made_room -> made_room = true; record = 0; pc = room_look }
#if RECORDS > 1
  :: d_step { pc == work && !made_room -> made_room = true; record = 1; pc = room_look }
#endif
  :: d_step { pc == work -> pc = detach }
  :: d_step { pc == alloc ->
       if
       :: owner_of[record] == FREE ->
          token_of[record] = token_of[record] + 1; token = token_of[record]; owner_of[record] = ALLOC(slot, my_generation);
          pc = in_alloc
       :: else -> record = 0; pc = work
       fi }
  :: d_step { pc == in_alloc -> assert(life[slot] == LIFE(my_generation, me + 1)); pc = give_back }
  :: d_step { pc == give_back ->
       assert(token_of[record] == token && owner_of[record] == ALLOC(slot, my_generation));
       owner_of[record] = FREE; token = 0; record = 0; pc = work }
  :: d_step { pc == room_look -> token = token_of[record]; owner = owner_of[record]; why = ONE_RECORD;
       if
       :: owner == DEAD -> pc = recover_finish
       :: IS_ALLOC(owner) -> pc = room_alive
       :: else -> token = 0; owner = 0; record = 0; why = ALL_RECORDS; pc = work
       fi }
  :: d_step { pc == room_alive ->
       if
       :: TID(life[SLOT_OF(owner)]) != 0 && GENERATION(life[SLOT_OF(owner)]) == owner >> 4 ->
          token = 0; owner = 0; record = 0; why = ALL_RECORDS; pc = work
       :: else -> pc = recover_condemn
       fi }
  :: d_step { pc == detach -> assert(life[slot] == LIFE(my_generation, me + 1));
       life[slot] = CLEARED(life[slot]); slot = NONE; my_generation = 0; worked = false; made_room = false; pc = choose }
  od
}

init {
  byte i;
  atomic {
    do
    :: i <= PROCS -> run worker(i); i++
    :: else -> break
    od
  }
}
