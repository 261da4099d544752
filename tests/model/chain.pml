/* Chains of records (src/table/chain.cpp, room.cpp): find, insert, grant, release, condemn, and finishing what a dead
 * process began. One d_step is one access to shared memory with the private steps up to the next. A process may die
 * before any of them. When all have ended, a survivor makes room of everything; then all records must be FREE.
 *
 * Bounds: KEYS keys in BUCKETS buckets, RECORDS records, PROCS processes with ROUNDS calls each, DEATHS of them die.
 */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2 /* of the first process */
#endif
#ifndef ROUNDS_OF_OTHERS
#define ROUNDS_OF_OTHERS 1
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef KEYS
#define KEYS 2
#endif
#ifndef BUCKETS
#define BUCKETS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef LINKED
#define LINKED 1 /* records that are in a chain at the beginning, unlocked */
#endif

/* A link: {version, mark 1, record + 1 2}, as Link in words.hpp. */
#define TO(l) ((l) & 3)
#define MARKED(l) (((l) & 4) != 0)
#define NEXT_VERSION(l) (((l) & 248) + 8)
#ifdef CANARY_VERSION_COPIED
#define POINTING_AS(l, target) ((target) & 251) /* trap 3: the version comes along with the index */
#else
#define POINTING_AS(l, target) (NEXT_VERSION(l) | TO(target))
#endif
#define POINTING_TO(l, r) (NEXT_VERSION(l) | ((r) + 1))
#define WITH_MARK(l) (NEXT_VERSION(l) | 4 | TO(l))

/* An owner. */
#define FREE 0
#define IDLE 1
#define DEAD 2
#define ALLOC(p) (4 + (p))
#define IS_ALLOC(o) ((o) >= 4 && (o) < 8)
#define HELD(p) (8 + (p))
#define IS_HELD(o) ((o) >= 8)
#define BY(o) ((o) & 3)

#define NO_KEY KEYS
#define BUCKET_OF(k) ((k) % BUCKETS)
#define LINK_AT(from) (from == 0 -> bucket[b] : next_of[from - 1])

byte bucket[BUCKETS], floor_of[BUCKETS];
byte token_of[RECORDS], owner_of[RECORDS], next_of[RECORDS], key_of[RECORDS];

bool alive[PROCS + 1];
byte deaths = DEATHS, ended;

/* What is to hold, seen from outside: the last token granted for a key, and who has it (0: nobody). */
byte granted[KEYS], holder[KEYS];

/* A grant of record r for key k has been made by this step, where `before` was the owner. */
inline check_grant(r, k, before) {
  seen = TO(bucket[BUCKET_OF(k)]);
  met = false;
  do
  :: seen == 0 -> break
  :: seen == r + 1 -> met = true; break
  :: else -> seen = TO(next_of[seen - 1])
  od;
  assert(met);                                        /* reachable */
  assert(!MARKED(next_of[r]) && key_of[r] == k);      /* and to stay so */
  assert(token_of[r] > granted[k]);                   /* tokens rise */
  assert(holder[k] == (IS_HELD(before) -> before : 0)); /* one holder */
  granted[k] = token_of[r];
  holder[k] = owner_of[r];
  seen = 0; met = false
}

/* No key is in a chain twice, but for records that are condemned. */
inline check_chain(bb) {
  seen = TO(bucket[bb]);
  keys_seen = 0;
  do
  :: seen == 0 -> break
  :: else ->
     if
     :: owner_of[seen - 1] != DEAD ->
        assert(owner_of[seen - 1] != FREE && BUCKET_OF(key_of[seen - 1]) == bb);
        assert((keys_seen & (1 << key_of[seen - 1])) == 0);
        keys_seen = keys_seen | (1 << key_of[seen - 1])
     :: else
     fi;
     seen = TO(next_of[seen - 1])
  od;
  seen = 0; keys_seen = 0
}

mtype = { choose, glance, try_token, try_owner, try_key, walk_start, walk_next, walk_token, walk_owner, walk_key, walk_hit, walk_from,
          walk_mark, walk_token_again, walk_floor, walk_raise, walk_unlink,
          found, insert_floor, room, room_look, room_take,
          write_key, read_next, write_next, push, push_failed, reread_floor, raise_token, give_back,
          grant, release, condemn, finish_key, finish_free, evict_look, round_ends, gone };

#ifdef GLANCE
#define FIRST_LOOK glance
#else
#define FIRST_LOOK walk_start
#endif
#ifdef CANARY_GLANCE_AT_ALLOC
#define TRY_ALLOC || IS_ALLOC(hit_owner)
#else
#define TRY_ALLOC
#endif

/* Where a walk goes to when it ends. */
#define FOR_CALL 0
#define FOR_PUSH 1
#define FOR_FINISH 2
#define FOR_FULL 3
/* Where finishing a condemned record goes to. */
#define TO_ROOM 0
#define TO_END 1

#define EVICTABLE(o) (o == IDLE || (IS_ALLOC(o) && !alive[BY(o)]) || (IS_HELD(o) && !alive[BY(o)]))

/* `me` == PROCS: the survivor. */
proctype worker(byte me) {
  mtype pc = choose;
  byte rounds = (me == 0 -> ROUNDS : ROUNDS_OF_OTHERS), key = NO_KEY;
  byte wanted = NO_KEY, b, from, link, head, next, token, owner, walk_for;    /* a walk */
  bool met;
  byte hit, hit_token, hit_owner;    /* hit: record + 1 */
  byte mine, mine_token;             /* record + 1 */
  byte dead, dead_token, then;       /* record + 1 */
  byte top;                          /* the chain's head when the key was not in it */
  byte floor, least;                 /* least: the floor as an insertion has read it */
  byte seen, keys_seen;

  if
  :: me == PROCS -> ended == PROCS; rounds = RECORDS
  :: else
  fi;
end:
  do
  :: d_step { deaths > 0 && me < PROCS && pc != gone && pc != choose ->
       deaths--; alive[me] = false; pc = gone; ended++;
       rounds = 0; key = NO_KEY; wanted = NO_KEY; b = 0; from = 0; link = 0; head = 0; next = 0; token = 0; owner = 0;
       walk_for = 0; met = false; hit = 0; hit_token = 0; hit_owner = 0; mine = 0; mine_token = 0; dead = 0;
       dead_token = 0; then = 0; floor = 0; top = 0; least = 0 }

  /* ---- the calls ---- */
  :: d_step { pc == choose && rounds == 0 -> pc = gone; ended++;
       if
       :: me == PROCS ->
          /* The survivor is through: nothing is lost. */
          b = 0;
          do
          :: b < BUCKETS -> assert(TO(bucket[b]) == 0); b++
          :: else -> break
          od;
          b = 0;
          do
          :: b < RECORDS -> assert(owner_of[b] == FREE); b++
          :: else -> break
          od;
          b = 0
       :: else
       fi }
  :: d_step { pc == choose && rounds > 0 && me < PROCS -> key = 0; wanted = 0; walk_for = FOR_CALL; pc = FIRST_LOOK }
#if KEYS > 1
  :: d_step { pc == choose && rounds > 0 && me < PROCS -> key = 1; wanted = 1; walk_for = FOR_CALL; pc = FIRST_LOOK }
#endif
  :: d_step { pc == choose && rounds > 0 && (me < PROCS || rounds == 1) -> hit = 1; pc = evict_look }
#if RECORDS > 1
  :: d_step { pc == choose && rounds > 0 && (me < PROCS || rounds == 2) -> hit = 2; pc = evict_look }
#endif
#if RECORDS > 2
  :: d_step { pc == choose && rounds > 0 && (me < PROCS || rounds == 3) -> hit = 3; pc = evict_look }
#endif
  :: d_step { pc == round_ends -> rounds--; key = NO_KEY; wanted = NO_KEY; b = 0; from = 0; link = 0; head = 0; next = 0;
       token = 0; owner = 0; walk_for = 0; met = false; hit = 0; hit_token = 0; hit_owner = 0; mine = 0;
       mine_token = 0; dead = 0; dead_token = 0; then = 0; floor = 0; top = 0; least = 0; pc = choose }

#ifdef GLANCE
  /* try_record() of whatever record; what glance() meets is one of them, or none */
  :: d_step { pc == glance -> hit = 1; pc = try_token }
#if RECORDS > 1
  :: d_step { pc == glance -> hit = 2; pc = try_token }
#endif
#if RECORDS > 2
  :: d_step { pc == glance -> hit = 3; pc = try_token }
#endif
  :: d_step { pc == glance -> pc = walk_start }
  :: d_step { pc == try_token -> hit_token = token_of[hit - 1]; pc = try_owner }
  :: d_step { pc == try_owner -> hit_owner = owner_of[hit - 1]; pc = (IS_HELD(hit_owner) || hit_owner == IDLE TRY_ALLOC -> try_key : walk_start);
       if
       :: pc == walk_start -> hit = 0; hit_token = 0; hit_owner = 0
       :: else
       fi }
  :: d_step { pc == try_key -> pc = (key_of[hit - 1] == wanted -> found : walk_start);
       if
       :: pc == walk_start -> hit = 0; hit_token = 0; hit_owner = 0
       :: else
       fi }
#endif

  /* ---- walk(): chain.cpp ---- */
  :: d_step { pc == walk_start -> b = BUCKET_OF(wanted);
       hit = 0; from = 0; link = bucket[b]; head = link; pc = (TO(link) == 0 -> found : walk_next) }
  :: d_step { pc == walk_next -> next = next_of[TO(link) - 1]; pc = walk_token }
  :: d_step { pc == walk_token -> token = token_of[TO(link) - 1]; pc = walk_owner }
  :: d_step { pc == walk_owner -> owner = owner_of[TO(link) - 1]; pc = (walk_for == FOR_FINISH -> walk_from : walk_key) }
  :: d_step { pc == walk_key -> met = (walk_for != FOR_FINISH && key_of[TO(link) - 1] == wanted);
       pc = (met && (IS_HELD(owner) || owner == IDLE) -> walk_hit : walk_from);
#ifdef CANARY_ALLOC_UNVALIDATED
       if    /* trap 8 */
       :: met && IS_ALLOC(owner) -> pc = walk_hit
       :: else
       fi
#endif
       }
  :: d_step { pc == walk_hit -> hit = TO(link); hit_token = token; hit_owner = owner; met = false; pc = found }
  :: d_step { pc == walk_from ->
       if
#ifndef CANARY_NO_FROM_RECHECK
       :: LINK_AT(from) != link -> pc = walk_start
#endif
       :: else ->
          if
          :: met && owner != DEAD -> pc = (IS_ALLOC(owner) -> walk_hit : walk_start)
          :: else ->
             if
             :: !MARKED(next) && owner == DEAD -> pc = walk_mark
             :: MARKED(next) -> pc = walk_token_again
             :: else -> from = TO(link); link = next; pc = (TO(link) == 0 -> found : walk_next)
             fi
          fi
       fi;
       met = false }
  :: d_step { pc == walk_mark ->
       if
#ifdef CANARY_WALK_MARKS_ANY
       :: else -> next_of[TO(link) - 1] = WITH_MARK(next_of[TO(link) - 1]); next = next_of[TO(link) - 1]; pc = walk_token_again
#else
       :: next_of[TO(link) - 1] == next -> next = WITH_MARK(next); next_of[TO(link) - 1] = next; pc = walk_token_again
       :: else -> pc = walk_start
#endif
       fi }
  /* The two words were read one after the other: the token may be an earlier owner's. */
  :: d_step { pc == walk_token_again ->
#ifndef CANARY_TORN_FLOOR
       token = token_of[TO(link) - 1];
#endif
       pc = walk_floor }
#ifdef CANARY_NO_FLOOR_RAISE
  :: d_step { pc == walk_floor -> pc = walk_unlink }
#else
  :: d_step { pc == walk_floor -> floor = floor_of[b]; pc = (floor < token -> walk_raise : walk_unlink) }
  :: d_step { pc == walk_raise ->
       if
       :: floor_of[b] == floor -> floor_of[b] = token; pc = walk_unlink
       :: else -> floor = floor_of[b]; pc = (floor < token -> walk_raise : walk_unlink)
       fi }
#endif
  :: d_step { pc == walk_unlink ->
       if
       :: LINK_AT(from) == link ->
          link = POINTING_AS(link, next);
          if
          :: from == 0 -> bucket[b] = link; head = link
          :: else -> next_of[from - 1] = link
          fi;
          pc = (TO(link) == 0 -> found : walk_next)
       :: else -> pc = walk_start
       fi }
  /* The walk is over: `hit`, or absent with `head`. */
  :: d_step { pc == found ->
       from = 0; link = 0; next = 0; token = 0; owner = 0; met = false; floor = 0; wanted = NO_KEY;
       if
       :: walk_for == FOR_FINISH -> pc = finish_free
       :: walk_for == FOR_CALL ->
          if
          :: hit != 0 ->
             if
             :: IS_HELD(hit_owner) && alive[BY(hit_owner)] -> pc = round_ends    /* refused */
             :: else -> pc = grant
             fi
          :: else -> top = head; pc = insert_floor
          fi
       :: walk_for == FOR_FULL ->
          if
          :: hit == 0 || (IS_HELD(hit_owner) && alive[BY(hit_owner)]) -> pc = round_ends
          :: else -> pc = grant
          fi
       :: walk_for == FOR_PUSH -> top = head; pc = (hit != 0 -> give_back : reread_floor)
       fi;
       walk_for = 0; head = 0; b = 0 }

  /* ---- insert() ---- */
  :: d_step { pc == insert_floor -> least = floor_of[BUCKET_OF(key)]; pc = room }
  /* take_free_record(): any record, in any order; or none will do. */
  :: d_step { pc == room -> mine = 1; pc = room_look }
#if RECORDS > 1
  :: d_step { pc == room -> mine = 2; pc = room_look }
#endif
#if RECORDS > 2
  :: d_step { pc == room -> mine = 3; pc = room_look }
#endif
  :: d_step { pc == room -> wanted = key; walk_for = FOR_FULL; least = 0; top = 0; pc = walk_start }
  :: d_step { pc == room_look -> token = token_of[mine - 1]; owner = owner_of[mine - 1];
       if
       :: owner == FREE -> pc = room_take
       :: owner == DEAD -> dead = mine; dead_token = token; then = TO_ROOM; token = 0; pc = finish_key
       :: EVICTABLE(owner) -> hit = mine; hit_token = token; hit_owner = owner; then = TO_ROOM; token = 0; pc = condemn
       :: else -> mine = 0; token = 0; pc = room
       fi;
       owner = 0 }
  :: d_step { pc == room_take ->
       if
       :: token_of[mine - 1] == token && owner_of[mine - 1] == FREE ->
#ifdef CANARY_TAKE_BELOW_FLOOR
          mine_token = token + 1;
#else
          mine_token = (token > least -> token : least) + 1;
#endif
          token_of[mine - 1] = mine_token; owner_of[mine - 1] = ALLOC(me); pc = write_key
       :: else -> mine = 0; pc = room
       fi;
       token = 0; owner = 0; hit = 0; hit_token = 0; hit_owner = 0 }
  :: d_step { pc == write_key -> key_of[mine - 1] = key; least = 0; pc = read_next }
  :: d_step { pc == read_next -> next = next_of[mine - 1]; pc = write_next }
  :: d_step { pc == write_next -> next_of[mine - 1] = POINTING_AS(next, top); next = 0; pc = push }
  :: d_step { pc == push ->
       if
#ifdef CANARY_PUSH_UNSEEN
       :: else -> bucket[BUCKET_OF(key)] = POINTING_TO(bucket[BUCKET_OF(key)], mine - 1);
#else
       :: bucket[BUCKET_OF(key)] == top -> bucket[BUCKET_OF(key)] = POINTING_TO(top, mine - 1);
#endif
          assert(bucket[BUCKET_OF(key)] < 240);    /* the model's versions do not wrap */
          check_chain(BUCKET_OF(key));
          hit = mine; hit_token = mine_token; hit_owner = ALLOC(me); mine = 0; mine_token = 0; top = 0; pc = grant
#ifndef CANARY_PUSH_UNSEEN
       :: else ->
#ifdef CANARY_PUSH_ANEW
          top = bucket[BUCKET_OF(key)]; pc = read_next    /* without a look whether the key is there by now */
#else
          wanted = key; walk_for = FOR_PUSH; pc = walk_start
#endif
#endif
       fi }
  :: d_step { pc == give_back ->
       assert(token_of[mine - 1] == mine_token && owner_of[mine - 1] == ALLOC(me));
       owner_of[mine - 1] = FREE; mine = 0; mine_token = 0; top = 0;
       pc = (IS_HELD(hit_owner) && alive[BY(hit_owner)] -> round_ends : grant) }
#ifdef CANARY_NO_FLOOR_REREAD
  :: d_step { pc == reread_floor -> pc = read_next }    /* trap 1 */
#else
  :: d_step { pc == reread_floor -> least = floor_of[BUCKET_OF(key)]; pc = (mine_token <= least -> raise_token : read_next);
       if
       :: pc == read_next -> least = 0
       :: else
       fi }
#endif
  :: d_step { pc == raise_token ->
       assert(token_of[mine - 1] == mine_token && owner_of[mine - 1] == ALLOC(me));
       mine_token = least + 1; token_of[mine - 1] = mine_token; least = 0; pc = read_next }

  /* ---- grant and release: locks.cpp ---- */
  :: d_step { pc == grant ->
       if
#ifdef CANARY_GRANT_IGNORES_TOKEN
       :: owner_of[hit - 1] == hit_owner ->
#else
       :: token_of[hit - 1] == hit_token && owner_of[hit - 1] == hit_owner ->
#endif
          hit_token++; token_of[hit - 1] = hit_token; owner_of[hit - 1] = HELD(me);
          check_grant((hit - 1), key, hit_owner);
          hit_owner = 0; pc = release
       :: else -> hit = 0; hit_token = 0; hit_owner = 0; wanted = key; walk_for = FOR_CALL; pc = walk_start
       fi }
  :: d_step { pc == release ->
       assert(token_of[hit - 1] == hit_token && owner_of[hit - 1] == HELD(me));
       token_of[hit - 1] = hit_token + 1; owner_of[hit - 1] = IDLE;
       assert(holder[key] == HELD(me));
       holder[key] = 0; pc = round_ends }

  /* ---- condemn(), finish_condemned() ---- */
  :: d_step { pc == evict_look -> token = token_of[hit - 1]; owner = owner_of[hit - 1];
       if
       :: owner == DEAD -> dead = hit; hit = 0; dead_token = token; then = TO_END; pc = finish_key
       :: EVICTABLE(owner) -> hit_token = token; hit_owner = owner; then = TO_END; pc = condemn
       :: else -> pc = round_ends
       fi;
       token = 0; owner = 0 }
  :: d_step { pc == condemn ->
       if
       :: token_of[hit - 1] == hit_token && owner_of[hit - 1] == hit_owner ->
          token_of[hit - 1] = hit_token + 1; owner_of[hit - 1] = DEAD;
          if
          :: IS_HELD(hit_owner) -> assert(holder[key_of[hit - 1]] == hit_owner); holder[key_of[hit - 1]] = 0
          :: else
          fi;
          dead = hit; dead_token = hit_token + 1; pc = finish_key
       :: else -> pc = (then == TO_ROOM -> room : round_ends); mine = 0; then = 0
       fi;
       hit = 0; hit_token = 0; hit_owner = 0 }
  :: d_step { pc == finish_key -> wanted = key_of[dead - 1];    /* of another life, perhaps: then finish_free fails */
#ifdef CANARY_NO_WALK
       wanted = NO_KEY; pc = finish_free }
#else
       walk_for = FOR_FINISH; pc = walk_start }
#endif
  :: d_step { pc == finish_free ->
       if
#ifdef CANARY_FREE_IGNORES_TOKEN
       :: owner_of[dead - 1] == DEAD -> owner_of[dead - 1] = FREE    /* trap 4: a cell of another life */
#else
       :: owner_of[dead - 1] == DEAD && token_of[dead - 1] == dead_token -> owner_of[dead - 1] = FREE
#endif
       :: else
       fi;
       mine = (then == TO_ROOM -> dead : 0); pc = (then == TO_ROOM -> room_look : round_ends);
       dead = 0; dead_token = 0; then = 0 }
  od
}

init {
  byte i;
  atomic {
    do    /* the first LINKED records are in the chain of their keys, unlocked */
    :: i < LINKED ->
       key_of[i] = i % KEYS; owner_of[i] = IDLE; token_of[i] = 2 * i + 2;
       next_of[i] = 8 | TO(bucket[BUCKET_OF(key_of[i])]);
       bucket[BUCKET_OF(key_of[i])] = POINTING_TO(bucket[BUCKET_OF(key_of[i])], i);
       i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < PROCS -> alive[i] = true; run worker(i); i++
    :: else -> break
    od;
    run worker(PROCS)
  }
}
