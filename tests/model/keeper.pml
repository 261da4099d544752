/* The keeper's robust list (src/os/keeper.cpp): take() and give_back() store by store, and the kernel's walk from
 * wherever the process was killed. Each entry (a life word with its node, in shared memory) may be wanted by several
 * processes at once. The kernel's walk is in steps, too: others may take an entry as soon as it is marked.
 *
 * Held throughout: a word that names a living process changes by that process alone; after a death every word that
 * named the dead says OWNER_DIED; no walk is without end. Recovery is one step here; sessions.pml has it.
 *
 * Bounds: ENTRIES entries, PROCS processes with ROUNDS calls each, DEATHS of them die.
 */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef ENTRIES
#define ENTRIES 2
#endif
#ifndef ROUNDS
#define ROUNDS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define DIED 15
#define HEAD 14    /* the list's end: a node that points back to the keeper's own memory */
#define NONE 13
#ifdef CANARY_SAME_THREAD_ID
#define TID(p) 1    /* two PID namespaces where the keepers have the same thread id */
#else
#define TID(p) ((p) + 1)
#endif

byte word_of[ENTRIES];      /* 0 free, a thread id, DIED */
byte node_of[ENTRIES];      /* an entry, or HEAD: as the process that has the entry wrote it */
byte owner_of[ENTRIES];     /* seen from outside: process + 1 that has it */
byte deaths = DEATHS;

mtype = { choose, pending, exchange, relink, link_head, unpend, clear, gone, walk_first, walk_next, walk_mark, walk_pending };

proctype worker(byte me) {
  mtype pc = choose;
  byte rounds = ROUNDS;
  bool taking;
  byte entry = NONE, expected;
  byte lives[ENTRIES];      /* lives_, in order; its first `count` */
  byte count, i, j;
  byte list_head = HEAD, list_pending = NONE;    /* robust_list_head */
  byte next, at, steps;

end:
  do
  :: d_step { deaths > 0 && (pc == choose || pc == pending || pc == exchange || pc == relink || pc == link_head || pc == unpend || pc == clear) ->
       deaths--; pc = walk_first }

  /* ---- the kernel, exit_robust_list() ---- */
  :: d_step { pc == walk_first -> at = list_head; steps = 0; pc = (at == HEAD -> walk_pending : walk_next) }
  :: d_step { pc == walk_next -> next = node_of[at]; pc = walk_mark }    /* before the entry is marked */
  :: d_step { pc == walk_mark ->
       if
       :: at != list_pending && word_of[at] == TID(me) ->
          assert(owner_of[at] == me + 1);
          word_of[at] = DIED; owner_of[at] = 0
       :: else
       fi;
       at = next; steps++; assert(steps <= ENTRIES); pc = (at == HEAD -> walk_pending : walk_next) }
  :: d_step { pc == walk_pending ->
       if
       :: list_pending != NONE && word_of[list_pending] == TID(me) ->
          assert(owner_of[list_pending] == me + 1);
          word_of[list_pending] = DIED; owner_of[list_pending] = 0
       :: else
       fi;
       at = 0;
       do    /* nothing of the dead is left */
       :: at < ENTRIES -> assert(owner_of[at] != me + 1); at++
       :: else -> break
       od;
       at = 0; next = 0; steps = 0; list_head = HEAD; list_pending = NONE; count = 0; entry = NONE; rounds = 0;
       i = 0; j = 0; taking = false; expected = 0;
       do
       :: i < ENTRIES -> lives[i] = 0; i++
       :: else -> break
       od;
       i = 0; pc = gone }

  /* ---- calls: take a free entry, give back one that we have ---- */
  :: d_step { pc == choose && rounds > 0 && word_of[0] == 0 -> entry = 0; taking = true; rounds--; pc = pending }
  :: d_step { pc == choose && rounds > 0 && owner_of[0] == me + 1 -> entry = 0; taking = false; rounds--; pc = pending }
#if ENTRIES > 1
  :: d_step { pc == choose && rounds > 0 && word_of[1] == 0 -> entry = 1; taking = true; rounds--; pc = pending }
  :: d_step { pc == choose && rounds > 0 && owner_of[1] == me + 1 -> entry = 1; taking = false; rounds--; pc = pending }
#endif
#if ENTRIES > 2
  :: d_step { pc == choose && rounds > 0 && word_of[2] == 0 -> entry = 2; taking = true; rounds--; pc = pending }
  :: d_step { pc == choose && rounds > 0 && owner_of[2] == me + 1 -> entry = 2; taking = false; rounds--; pc = pending }
#endif
  :: d_step { pc == choose && word_of[0] == DIED -> word_of[0] = 0 }    /* recovered */
#if ENTRIES > 1
  :: d_step { pc == choose && word_of[1] == DIED -> word_of[1] = 0 }
#endif

  :: d_step { pc == pending ->
#ifndef CANARY_NO_PENDING
       list_pending = entry;
#endif
       if
       :: taking -> pc = exchange
       :: else ->
          i = 0; j = 0;    /* std::erase */
          do
          :: i < count -> lives[j] = lives[i]; j = (lives[i] == entry -> j : j + 1); i++
          :: else -> break
          od;
          count = j; i = 0; j = HEAD; pc = (count > 0 -> relink : link_head)
       fi;
#ifdef CANARY_CLEAR_FIRST
       if
       :: !taking -> word_of[entry] = 0; owner_of[entry] = 0
       :: else
       fi
#endif
       }
  :: d_step { pc == exchange ->
       if
       :: word_of[entry] == 0 -> assert(owner_of[entry] == 0);
          word_of[entry] = TID(me); owner_of[entry] = me + 1; lives[count] = entry; count++; i = 0; j = HEAD;
#ifdef CANARY_HEAD_FIRST
          list_head = entry;
#endif
          pc = relink
       :: else -> pc = unpend
       fi }
  /* relink(): j is the node that was written last */
  :: d_step { pc == relink -> node_of[lives[i]] = j; j = lives[i]; i++; pc = (i < count -> relink : link_head) }
  :: d_step { pc == link_head -> list_head = j; i = 0; j = 0; pc = (taking -> unpend : clear) }
  :: d_step { pc == clear ->
#ifndef CANARY_CLEAR_FIRST
       assert(word_of[entry] == TID(me) && owner_of[entry] == me + 1);
       word_of[entry] = 0; owner_of[entry] = 0;
#endif
       pc = unpend }
  :: d_step { pc == unpend -> list_pending = NONE; entry = NONE; taking = false; pc = choose }
  od
}

init {
  byte i;
  atomic {
    do
    :: i < ENTRIES -> node_of[i] = HEAD; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < PROCS -> run worker(i); i++
    :: else -> break
    od
  }
}
