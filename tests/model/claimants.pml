/* Claimants (src/table/claimants.cpp): taken, written, named by a cell, dropped, freed at once or by a sweep, while others
 * read them through the cell. Grants change hands by release, by take-over and by a renewal that changes the claimant
 * under the same token. One d_step is one access to shared memory with the private steps up to the next. A process may
 * die before any of them; its session's slot is then attached again. At the end a survivor releases all cells and
 * sweeps; then every claimant must be FREE.
 *
 * Bounds: CELLS cells, CLAIMANTS claimants, PROCS processes with ROUNDS calls each (the first) or ROUNDS_OF_OTHERS,
 * DEATHS of them die.
 */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef ROUNDS_OF_OTHERS
#define ROUNDS_OF_OTHERS 2
#endif
#ifndef CELLS
#define CELLS 1
#endif
#ifndef CLAIMANTS
#define CLAIMANTS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

/* A claimant's state: {generation 8, session generation 1, session 2, single 1, pinned 1, used 1}. */
#define USED(s) (((s) & 1) != 0)
#define PINNED(s) (((s) & 2) != 0)
#define SINGLE(s) (((s) & 4) != 0)
#define SESSION(s) (((s) >> 3) & 3)
#define SESSION_GENERATION(s) (((s) >> 5) & 1)
#define GENERATION(s) ((s) >> 6)
#define TAKEN(s, p, one) (((s) & ~63) | ((p) << 3) | (generation[p] << 5) | ((one) << 2) | 3)
#define DROPPED(s) ((s) & ~2)
#ifdef CANARY_SAME_GENERATION
#define FREED(s) ((s) & ~63)
#else
#define FREED(s) (((s) & ~63) + 64)
#endif

/* Is the session that took it the living one of its slot? */
#ifdef CANARY_STALE_PIN
#define LIVES(s) (alive[SESSION(s)])    /* trap 5 */
#else
#define LIVES(s) (alive[SESSION(s)] && generation[SESSION(s)] == SESSION_GENERATION(s))
#endif

#define IDLE 0
#define NONE 7

short state_of[CLAIMANTS];
byte word1_of[CLAIMANTS], word2_of[CLAIMANTS];    /* the descriptor */
byte head_of[CELLS];                              /* {token, edition 2} */
byte owner_of[CELLS];                             /* IDLE, claimant + 1 */

bool alive[PROCS];
bit generation[PROCS];    /* of each slot's session */
byte deaths = DEATHS, ended;

/* Seen from outside: the descriptor that a cell's grant was made with. */
byte truth[CELLS];

#define NEXT_TOKEN(h) (((h) & 252) + 4)
#ifdef CANARY_NO_EDITION
#define NEXT_EDITION(h) (h)
#else
#define NEXT_EDITION(h) (((h) & 252) | (((h) + 1) & 3))
#endif

inline check_freed(index) {
  i = 0;
  do
  :: i < CELLS -> assert(owner_of[i] != index + 1); i++    /* no cell names it */
  :: else -> break
  od;
  i = 0
}

mtype = { choose, read_head, read_owner, read_state, read_word1, read_word2, still, decide,
          take_read, take, write1, write2, install, drop_read, drop, free_single,
          judge, judge_life, scan, sweep_free, round_ends, gone, survive };

/* What a call does. */
#define LOCK 0
#define RENEW 1
#define RELEASE 2
#define CHECK 3
#define SWEEP 4
#define UNCACHE 5

proctype worker(byte me) {
  mtype pc = choose;
  byte rounds = (me == 0 -> ROUNDS : ROUNDS_OF_OTHERS);
  byte call, cell, head, owner, word1, word2;
  short state;                 /* as described */
  byte mine = NONE;            /* the claimant in use */
  bool single;
  byte cached = NONE;          /* a claimant that we keep pinned */
  short own_state;
  byte at, i;                  /* a sweep's place */
  short judged[CLAIMANTS];
  bool through;
  byte truth_then;    /* seen from outside: what the cell's grant was when still() said so */

end:
  do
  :: d_step { me < PROCS && deaths > 0 && pc != gone ->
       deaths--; alive[me] = false; ended++; pc = gone;
       rounds = 0; call = 0; cell = 0; head = 0; owner = 0; word1 = 0; word2 = 0; state = 0; mine = NONE; single = 0;
       cached = NONE; own_state = 0; at = 0; i = 0; through = 0; truth_then = 0;
       do
       :: i < CLAIMANTS -> judged[i] = 0; i++
       :: else -> break
       od;
       i = 0 }
  :: d_step { me == PROCS && pc == choose && ended == PROCS ->
       i = 0;    /* the slots of the dead are attached again */
       do
       :: i < PROCS ->
          if
          :: !alive[i] -> alive[i] = true; generation[i]++
          :: else -> alive[i] = false    /* has detached */
          fi;
          i++
       :: else -> break
       od;
       i = 0; pc = survive }
  :: d_step { pc == survive && cell < CELLS -> call = RELEASE; pc = read_head }
  :: d_step { pc == survive && cell == CELLS && !through -> call = SWEEP; pc = judge }
  :: d_step { pc == survive && cell == CELLS && through -> pc = gone;
       i = 0;
       do
       :: i < CLAIMANTS -> assert(!USED(state_of[i])); i++
       :: else -> break
       od;
       i = 0 }

  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = LOCK; pc = read_head }
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = RENEW; pc = read_head }
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = RELEASE; pc = read_head }
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = CHECK; pc = read_head }
#if CELLS > 1
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = LOCK; cell = 1; pc = read_head }
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = RELEASE; cell = 1; pc = read_head }
#endif
  :: d_step { pc == choose && me < PROCS && rounds > 0 -> call = SWEEP; pc = judge }
  :: d_step { pc == choose && me < PROCS && cached != NONE -> call = UNCACHE; mine = cached; cached = NONE; pc = drop_read }
  :: d_step { pc == choose && me < PROCS && rounds == 0 && cached == NONE -> pc = gone; ended++ }
  :: d_step { pc == round_ends ->
       if
       :: me < PROCS -> cell = 0; pc = choose;
          if
          :: call != UNCACHE -> rounds--
          :: else
          fi
       :: call == SWEEP -> through = true; pc = survive
       :: else -> cell++; pc = survive
       fi;
       call = 0; head = 0; owner = 0; word1 = 0; word2 = 0; state = 0; mine = NONE; single = 0; own_state = 0 }

  /* ---- a cell, its claimant's words, and still() ---- */
  :: d_step { pc == read_head -> head = head_of[cell]; pc = read_owner }
  :: d_step { pc == read_owner -> owner = owner_of[cell];
       if
       :: owner != IDLE -> pc = read_state
       :: call == LOCK -> pc = take_read
       :: else -> pc = round_ends
       fi }
#ifdef CANARY_STILL_FIRST
  :: d_step { pc == read_state -> state = state_of[owner - 1]; pc = still }    /* trap 6 */
  :: d_step { pc == still ->
       if
       :: head_of[cell] == head && owner_of[cell] == owner -> truth_then = truth[cell]; pc = read_word1
       :: else -> state = 0; pc = read_head
       fi }
  :: d_step { pc == read_word1 -> word1 = word1_of[owner - 1]; pc = read_word2 }
  :: d_step { pc == read_word2 -> word2 = word2_of[owner - 1]; pc = decide }
#else
  :: d_step { pc == read_state -> state = state_of[owner - 1]; pc = read_word1 }
  :: d_step { pc == read_word1 -> word1 = word1_of[owner - 1]; pc = read_word2 }
  :: d_step { pc == read_word2 -> word2 = word2_of[owner - 1]; pc = still }
  :: d_step { pc == still ->
       if
#ifdef CANARY_STILL_BY_CLAIMANT
       :: state_of[owner - 1] == state ->
#else
#ifdef CANARY_STILL_BY_OWNER
       :: owner_of[cell] == owner ->
#else
       :: head_of[cell] == head && owner_of[cell] == owner ->
#endif
#endif
          truth_then = truth[cell]; pc = decide
       :: else -> word1 = 0; word2 = 0; state = 0; pc = read_head
       fi }
#endif
  :: d_step { pc == decide ->
       assert(word1 == truth_then && word2 == truth_then);    /* what was read is the grant's */
       assert(USED(state) && GENERATION(state) * CLAIMANTS + owner == truth_then);
       word1 = 0; word2 = 0; truth_then = 0;
       if
       :: call == LOCK || (call == RENEW && SESSION(state) == me && LIVES(state)) -> pc = take_read    /* by force */
       :: call == RELEASE -> pc = install
       :: else -> pc = round_ends
       fi }

  /* ---- taking a claimant: any free one, for one use or to be kept ---- */
  :: d_step { pc == take_read && cached != NONE -> mine = cached; single = 0; pc = install }
  :: d_step { pc == take_read && cached == NONE -> mine = 0; own_state = state_of[0]; single = 1; pc = (USED(own_state) -> round_ends : take) }
  :: d_step { pc == take_read && cached == NONE -> mine = 0; own_state = state_of[0]; single = 0; pc = (USED(own_state) -> round_ends : take) }
#if CLAIMANTS > 1
  :: d_step { pc == take_read && cached == NONE -> mine = 1; own_state = state_of[1]; single = 1; pc = (USED(own_state) -> round_ends : take) }
  :: d_step { pc == take_read && cached == NONE -> mine = 1; own_state = state_of[1]; single = 0; pc = (USED(own_state) -> round_ends : take) }
#endif
#if CLAIMANTS > 2
  :: d_step { pc == take_read && cached == NONE -> mine = 2; own_state = state_of[2]; single = 1; pc = (USED(own_state) -> round_ends : take) }
#endif
  :: d_step { pc == take ->
       if
       :: state_of[mine] == own_state ->
          own_state = TAKEN(own_state, me, single); state_of[mine] = own_state; pc = write1
#ifdef CANARY_DROP_FIRST
          ; state_of[mine] = DROPPED(own_state)
#endif
       :: else -> own_state = 0; mine = NONE; pc = round_ends    /* none left: the call is refused */
       fi }
  :: d_step { pc == write1 -> word1_of[mine] = GENERATION(own_state) * CLAIMANTS + mine + 1; pc = write2 }
  :: d_step { pc == write2 -> word2_of[mine] = GENERATION(own_state) * CLAIMANTS + mine + 1; pc = install;
       if
       :: !single -> cached = mine
       :: else
       fi }

  /* ---- a grant, a renewal with another claimant, a release ---- */
  :: d_step { pc == install ->
       if
       :: call != RELEASE ->
#ifndef CANARY_DROP_FIRST
          assert(USED(state_of[mine]) && PINNED(state_of[mine]) && SESSION(state_of[mine]) == me);
#endif
       :: else
       fi;
       if
       :: head_of[cell] == head && owner_of[cell] == owner ->
          head_of[cell] = (call == RENEW -> NEXT_EDITION(head) : NEXT_TOKEN(head));
          if
          :: call == RELEASE -> owner_of[cell] = IDLE; truth[cell] = 0
          :: else -> owner_of[cell] = mine + 1; truth[cell] = word1_of[mine]; assert(word1_of[mine] == word2_of[mine])
          fi
       :: else -> owner = IDLE; state = 0    /* failed: nothing is taken out of the cell */
       fi;
       pc = free_single }
  /* free_if_single() of the claimant that was in the cell */
  :: d_step { pc == free_single ->
       if
#ifdef CANARY_FREE_CACHED
       :: owner != IDLE && USED(state) && state_of[owner - 1] == DROPPED(state) ->
#else
#ifdef CANARY_FREE_PINNED
       :: owner != IDLE && USED(state) && SINGLE(state) && DROPPED(state_of[owner - 1]) == DROPPED(state) ->
#else
       :: owner != IDLE && USED(state) && SINGLE(state) && state_of[owner - 1] == DROPPED(state) ->
#endif
#endif
          state_of[owner - 1] = FREED(state); check_freed((owner - 1))
       :: else
       fi;
       pc = (call != RELEASE && single -> drop_read : round_ends) }
#ifdef CANARY_DROP_FIRST
  :: d_step { pc == drop_read -> pc = round_ends }
#else
  :: d_step { pc == drop_read -> own_state = state_of[mine]; pc = drop }
  :: d_step { pc == drop -> assert(PINNED(own_state)); state_of[mine] = DROPPED(own_state); own_state = 0; pc = round_ends }
#endif

  /* ---- sweep() ---- */
#ifdef CANARY_SWEEP_CELLS_FIRST
  :: d_step { pc == judge -> judged[at] = 0; pc = scan }    /* trap 7: the cells before the judgement */
  :: d_step { pc == scan ->
       if
       :: owner_of[at] != IDLE -> judged[owner_of[at] - 1] = -1
       :: else
       fi;
       at++;
       if
       :: at == CELLS -> at = 0; pc = judge_life
       :: else
       fi }
  :: d_step { pc == judge_life ->
       if
       :: judged[at] != -1 && USED(state_of[at]) && (!PINNED(state_of[at]) || !LIVES(state_of[at])) -> judged[at] = state_of[at]
       :: else -> judged[at] = 0
       fi;
       at++;
       if
       :: at == CLAIMANTS -> at = 0; pc = sweep_free
       :: else
       fi }
#else
  :: d_step { pc == judge -> judged[at] = state_of[at]; pc = judge_life }
  :: d_step { pc == judge_life ->
       if
       :: USED(judged[at]) && (!PINNED(judged[at]) || !LIVES(judged[at])) -> skip
       :: else -> judged[at] = 0
       fi;
       at++;
       if
       :: at == CLAIMANTS -> at = 0; pc = scan
       :: else -> pc = judge
       fi }
  :: d_step { pc == scan ->
       if
       :: owner_of[at] != IDLE -> judged[owner_of[at] - 1] = 0
       :: else
       fi;
       at++;
       if
       :: at == CELLS -> at = 0; pc = sweep_free
       :: else
       fi }
#endif
  :: d_step { pc == sweep_free ->
       if
       :: judged[at] != 0 && state_of[at] == judged[at] ->
          state_of[at] = FREED(judged[at]); check_freed(at)
       :: else
       fi;
       judged[at] = 0; at++;
       if
       :: at == CLAIMANTS -> at = 0; pc = round_ends
       :: else
       fi }
  od
}

init {
  byte i;
  atomic {
    do
    :: i < PROCS -> alive[i] = true; run worker(i); i++
    :: else -> break
    od;
    run worker(PROCS)
  }
}
