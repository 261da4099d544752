/* Names (src/table/names.cpp): lowest free name by hints, with sets of 2 in 2 levels; registering the next number; release
 * and announce; doubt, look and retract; recovery after a death; a reset, after which records serve other names. Finding
 * and inserting are one step each (chain.pml has them).
 *
 * Held: a name has one holder at a time; no hint goes that leads to a name which was freed and announced; in the end,
 * after recovery: every number below the count has its record, every free one is announced on both levels, and an
 * acquire run alone gets the lowest.
 *
 * Bounds: NAMES names, PROCS processes with ROUNDS acquires each (released again or kept), DEATHS, RESETS.
 */
#ifndef PROCS
#define PROCS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef ROUNDS_OF_OTHERS
#define ROUNDS_OF_OTHERS 1
#endif
#ifndef NAMES
#define NAMES 3
#endif
#ifndef RECORDS
#define RECORDS NAMES
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef RESETS
#define RESETS 0
#endif
#ifndef REGISTERED
#define REGISTERED 0 /* names that are registered at the beginning */
#endif
#ifdef HELD_AT_FIRST
#define FIRST_OWNER HELD(PROCS) /* by one who never lets go */
#else
#define FIRST_OWNER IDLE
#endif

/* Owners. Names are bound to their holder's process. */
#define FREE 0
#define IDLE 1
#define ALLOC(p) (4 + (p))
#define IS_ALLOC(o) ((o) >= 4 && (o) < 8)
#define HELD(p) (8 + (p))
#define IS_HELD(o) ((o) >= 8)
#define BY(o) ((o) & 3)
#define NONE 15
#define IS_NAME_FREE(o) (!IS_HELD(o) || !alive[BY(o)])

/* Hints: {birth, version 2, doubts 2, set 2}; Born: {birth, 0, value 2} */
#define VALUE(w) ((w) & 3)
#define DOUBTS(w) (((w) >> 2) & 3)
#ifdef CANARY_NO_BIRTH
#define BORN(token, value) (value)
#else
#define BORN(token, value) (((token) << 6) | (value))
#endif
#define WITH_VALUE(w, v) (((w) & ~3) | (v))
#define WITH(w, hint) (((w) & ~((hint) << 2)) | (hint))
#define WITHOUT(w, hint) ((w) & ~((hint) << 2) & ~(hint))
#ifdef CANARY_NO_VERSION
#define DOUBTING(w, hint) ((w) | ((hint) << 2))
#else
#define DOUBTING(w, hint) (((w) & ~48) | (((w) + 16) & 48) | ((hint) << 2))
#endif

byte token_of[RECORDS], owner_of[RECORDS], key_of[RECORDS];    /* key: {epoch, number 2} */
bool is_linked[RECORDS];
short set0[RECORDS], set1[RECORDS], count_of[RECORDS];    /* hints of level 0 and 1; count */
byte epoch, deaths = DEATHS, resets = RESETS, ended;
bool alive[PROCS + 1], recovered[PROCS + 1];

byte holder[NAMES];    /* seen from outside: of this epoch */
bool shown[NAMES];     /* free, and announced by whoever freed it */

#define KEY(e, n) ((e) << 2 | (n))

/* find(): the record with that key */
inline find(of_epoch, of_number, r) {
  r = 0;
  do
  :: r < RECORDS && !(is_linked[r] && key_of[r] == KEY(of_epoch, of_number)) -> r++
  :: else -> break
  od;
  r = (r == RECORDS -> NONE : r)
}

mtype = { choose, recover_next, recover_look, recover_done, root, top, top_still, low, low_still, look, take, take_new, insert,
          insert_key, insert_set0, insert_set1, insert_count, insert_link, look_new, take_it_new, count_new, got, release, released,
          read_count, count_still, announce, announce1, announce_next, announce_done, change_read, change_still, change, retract, retract_read, retract_still,
          retract_doubt, retract_look, retract_set, retract_clear, retract_done, reset_next, gone };

/* Names of another epoch are forgotten. Which epoch it is, is asked after their key is read: epochs only rise. */
#ifdef CANARY_ROOM_EPOCH_EARLY
#define ROOM_EPOCH e
#else
#define ROOM_EPOCH epoch
#endif
#ifdef CANARY_RESET_EPOCH_EARLY
#define RESET_EPOCH e
#else
#define RESET_EPOCH epoch
#endif

/* which word, and how it changes */
#define SET0 0
#define SET1 1
#define COUNT 2
#define ADD 0
#define RAISE 1

proctype worker(byte me) {
  mtype pc = choose;
  mtype announced, changed;    /* where to go on */
  byte rounds = (me == 0 -> ROUNDS : (me == PROCS -> 1 : ROUNDS_OF_OTHERS));
  byte e;                       /* the epoch of this call */
  byte place, number, next, r, token, owner;
  short set;
  byte a_number, a_level, a_token;    /* announce; the name's token when it was freed */
  byte c_word, c_record, c_key, c_how, c_value;    /* a word and its change */
  short c_seen;
  byte t_number, t_level;       /* retract */
  byte dead;                    /* recovery: whose; r: the record */
  bool granted;
  byte mine = NONE, my_token, my_number;

  if
  :: me == PROCS -> ended == PROCS
  :: else
  fi;
end:
  do
  :: d_step { deaths > 0 && me < PROCS && pc != choose && pc != gone ->
       deaths--; alive[me] = false; ended++; pc = gone;
       r = 0;
       do
       :: r < NAMES -> holder[r] = (holder[r] == me + 1 -> 0 : holder[r]); r++
       :: else -> break
       od;
       r = 0; rounds = 0; e = 0; place = 0; number = 0; next = 0; token = 0; owner = 0; set = 0; a_number = 0; a_level = 0; a_token = 0; c_word = 0;
       c_record = 0; c_key = 0; c_how = 0; c_value = 0; c_seen = 0; t_number = 0; t_level = 0; dead = 0; granted = 0; mine = NONE;
       my_token = 0; my_number = 0; announced = 0; changed = 0 }
  :: d_step { pc == choose && rounds == 0 -> pc = gone; ended++; r = 0; e = 0; place = 0; number = 0; next = 0; token = 0; owner = 0;
       set = 0; granted = 0; dead = 0; announced = 0; changed = 0 }
  :: d_step { pc == choose && rounds > 0 && mine == NONE -> rounds--; dead = 0; pc = recover_next }
  :: d_step { pc == choose && mine != NONE -> pc = release }
  :: d_step { pc == choose && me < PROCS && resets > 0 && rounds > 0 -> resets--; epoch++; e = epoch; r = 0;
       do
       :: r < NAMES -> holder[r] = 0; shown[r] = false; r++
       :: else -> break
       od;
       r = 0; pc = reset_next }

  /* ---- recover_the_dead() ---- */
  :: d_step { pc == recover_next ->
       if
       :: dead == PROCS -> dead = 0; pc = root;
          if
          :: me == PROCS ->    /* the survivor: what must hold now */
             e = epoch; find(e, 0, place);
             if
             :: place != NONE ->
                number = 0;
                do
                :: number < VALUE(count_of[place]) ->
                   find(e, number, r);
                   assert(r != NONE);
                   if
                   :: IS_NAME_FREE(owner_of[r]) ->
                      find(e, number & 2, r);
                      assert(r != NONE);
                      assert((VALUE(set0[r]) & (1 << (number & 1))) != 0);
                      assert((VALUE(set1[place]) & (1 << (number >> 1))) != 0)
                   :: else
                   fi;
                   number++
                :: else -> break
                od
             :: else
             fi;
             number = 0; r = 0; place = 0
          :: else
          fi
       :: else ->
          if
          :: !alive[dead] && !recovered[dead] -> e = epoch; r = 0; pc = recover_look
          :: else -> dead++
          fi
       fi }
  :: d_step { pc == recover_look ->
       if
       :: r == RECORDS -> r = 0; pc = recover_done
       :: else ->
          if
          :: owner_of[r] == ALLOC(dead) -> owner_of[r] = FREE; is_linked[r] = false; token_of[r]++; r++
          :: is_linked[r] && key_of[r] >> 2 == e && !IS_ALLOC(owner_of[r]) && IS_NAME_FREE(owner_of[r]) ->
#ifdef CANARY_RECOVERY_ANNOUNCES_NOT
             r++
#else
             a_number = key_of[r] & 3; a_level = 0; a_token = token_of[r]; announced = recover_look; r++; pc = announce
#endif
          :: else -> r++
          fi
       fi }
  :: d_step { pc == recover_done -> recovered[dead] = true; dead++; pc = recover_next }

  /* ---- acquire_name() ---- */
  :: d_step { pc == root -> e = epoch; find(e, 0, place); number = 0; next = 0; r = 0; token = 0; owner = 0; set = 0; granted = false;
       pc = (place == NONE -> take_new : top) }
  /* lowest_announced() */
  :: d_step { pc == top -> set = set1[place]; pc = top_still }
  :: d_step { pc == top_still ->
       if
       :: key_of[place] != KEY(e, 0) -> set = 0; pc = root    /* a reset */
       :: else ->
          if
          :: VALUE(set) == 0 -> pc = read_count; set = 0
          :: (VALUE(set) & 1) != 0 -> number = 0; r = place; set = 0; pc = low
          :: else -> number = 2; set = 0; find(e, 2, r);
             if
             :: r == NONE -> r = 0; t_number = 2; t_level = 1; pc = retract
             :: else -> pc = low
             fi
          fi
       fi }
  :: d_step { pc == low -> set = set0[r]; pc = low_still }
  :: d_step { pc == low_still ->
       if
       :: key_of[r] != KEY(e, number) -> pc = root
       :: else ->
          if
          :: VALUE(set) == 0 -> t_number = number; t_level = 1; pc = retract
          :: else -> number = number + ((VALUE(set) & 1) != 0 -> 0 : 1); pc = look
          fi
       fi;
       set = 0; r = 0 }
  /* look_at(): the cell as it stands */
  :: d_step { pc == look -> find(e, number, r);
       if
       :: r == NONE || !IS_NAME_FREE(owner_of[r]) -> r = 0; t_number = number; t_level = 0; pc = retract
       :: else -> token = token_of[r]; owner = owner_of[r]; pc = take
       fi }
  :: d_step { pc == take ->
       if
       :: token_of[r] == token && owner_of[r] == owner ->
          token_of[r] = token + 1; owner_of[r] = HELD(me); granted = true; my_token = token + 1; mine = r; my_number = number; pc = got;
          shown[number] = (e == epoch -> false : shown[number])
       :: else -> pc = root
       fi }
  :: d_step { pc == read_count -> set = count_of[place]; pc = count_still }
  :: d_step { pc == count_still -> next = VALUE(set);
       pc = (key_of[place] != KEY(e, 0) -> root : take_new); set = 0 }
  :: d_step { pc == take_new -> number = next; place = 0;
       if
       :: next == NAMES -> number = 0; next = 0; pc = choose    /* the model's table is full */
       :: else -> find(e, number, r); pc = (r == NONE -> insert : look_new); r = 0
       fi }
  /* insert() */
  :: d_step { pc == insert ->
       r = 0;
       do
       :: r < RECORDS && owner_of[r] != FREE -> r++
       :: else -> break
       od;
       if
       :: r < RECORDS -> token_of[r] = token_of[r] + 1; owner_of[r] = ALLOC(me); token = token_of[r]; pc = insert_key
       :: else ->    /* a name of another epoch makes room; or there is none */
          r = 0;
          do
          :: r < RECORDS && (IS_ALLOC(owner_of[r]) || key_of[r] >> 2 == ROOM_EPOCH) -> r++
          :: else -> break
          od;
          if
          :: r < RECORDS -> owner_of[r] = FREE; is_linked[r] = false; token_of[r]++; r = 0
          :: else -> r = 0; number = 0; next = 0; pc = choose
          fi
       fi }
  :: d_step { pc == insert_key -> key_of[r] = KEY(e, number); pc = insert_set0 }
  :: d_step { pc == insert_set0 -> set0[r] = BORN(token, 0); pc = insert_set1 }
  :: d_step { pc == insert_set1 -> set1[r] = BORN(token, 0); pc = insert_count }
  :: d_step { pc == insert_count -> count_of[r] = BORN(token, 0); pc = insert_link }
  :: d_step { pc == insert_link -> find(e, number, set);
       if
       :: set != NONE -> owner_of[r] = FREE
       :: else -> is_linked[r] = true
       fi;
       r = 0; token = 0; set = 0; pc = look_new }
  :: d_step { pc == look_new -> find(e, number, r);
       if
#ifdef CANARY_COUNT_UNSEEN
       :: r == NONE -> pc = count_new
#else
       :: r == NONE -> pc = root    /* condemned meanwhile */
#endif
       :: else ->
          if
          :: IS_NAME_FREE(owner_of[r]) -> token = token_of[r]; owner = owner_of[r]; pc = take_it_new
          :: else -> pc = count_new
          fi
       fi }
  :: d_step { pc == take_it_new ->
       if
       :: token_of[r] == token && owner_of[r] == owner ->
          token_of[r] = token + 1; owner_of[r] = HELD(me); granted = true; my_token = token + 1; mine = r; my_number = number; pc = count_new;
          shown[number] = (e == epoch -> false : shown[number])
       :: else -> pc = root
       fi;
       token = 0; owner = 0 }
  :: d_step { pc == count_new -> r = 0; find(e, 0, place);
       if
       :: place == NONE -> place = 0; pc = (granted -> got : root)
       :: else -> c_word = COUNT; c_record = place; c_key = KEY(e, 0); c_how = RAISE; c_value = number + 1; changed = (granted -> got : root);
          place = 0; pc = change_read
       fi }
  :: d_step { pc == got ->
       if
       :: e == epoch ->
          if
          :: owner_of[mine] == HELD(me) && token_of[mine] == my_token ->
             assert(holder[my_number] == 0);
             holder[my_number] = me + 1
          :: else
          fi;
#ifndef CANARY_LOWEST_UNCHECKED
          if
          :: me == PROCS ->    /* alone: the lowest */
             number = 0;
             do
             :: number < my_number ->
                find(e, number, r);
                assert(r != NONE && !IS_NAME_FREE(owner_of[r]));
                number++
             :: else -> break
             od
          :: else
          fi
#endif
       :: else
       fi;
       granted = false; number = 0; next = 0; r = 0; token = 0; owner = 0; place = 0; pc = choose }

  /* ---- release_grant() ---- */
  :: d_step { pc == release -> e = key_of[mine] >> 2;
       if
       :: token_of[mine] == my_token && owner_of[mine] == HELD(me) && e == epoch ->
          holder[my_number] = 0;
          token_of[mine] = my_token + 1; owner_of[mine] = IDLE; a_token = my_token + 1; pc = released
       :: else -> my_number = 0; pc = choose    /* lost */
       fi;
       mine = NONE; my_token = 0 }
#ifdef CANARY_ANNOUNCE_LOW_ONLY
  :: d_step { pc == released -> a_number = my_number; a_level = 2; announced = choose; my_number = 0; pc = announce }
#else
  :: d_step { pc == released -> a_number = my_number; a_level = 0; announced = choose; my_number = 0; pc = announce }
#endif

  /* ---- announce(): level 0, then 1; level 2 (canary): 0 alone ---- */
  :: d_step { pc == announce && a_level != 1 -> find(e, a_number & 2, c_record);
       if
       :: c_record == NONE -> c_record = 0; a_number = 0; a_level = 0; a_token = 0; pc = announced
       :: else -> c_word = SET0; c_key = KEY(e, (a_number & 2)); c_how = ADD; c_value = 1 << (a_number & 1);
          changed = announce_next; pc = change_read
       fi }
  :: d_step { pc == announce_next -> pc = (a_level == 2 -> announce_done : announce);
       a_level = (a_level == 2 -> 0 : 1) }
  :: d_step { pc == announce && a_level == 1 -> find(e, 0, c_record);
       if
       :: c_record == NONE -> c_record = 0; a_number = 0; a_token = 0; pc = announced
       :: else -> c_word = SET1; c_key = KEY(e, 0); c_how = ADD; c_value = 1 << (a_number >> 1); changed = announce_done; pc = change_read
       fi;
       a_level = 0 }
  :: d_step { pc == announce_done ->    /* nothing is done: seen from outside */
       find(e, a_number, set);
       if
       :: set != NONE && e == epoch && token_of[set] == a_token -> shown[a_number] = true
       :: else
       fi;
       set = 0; a_number = 0; a_token = 0; pc = announced }

  /* ---- one word, changed by exchange ---- */
  :: d_step { pc == change_read ->
       c_seen = (c_word == SET0 -> set0[c_record] : (c_word == SET1 -> set1[c_record] : count_of[c_record]));
       pc = change_still }
  :: d_step { pc == change_still ->
       if
       :: key_of[c_record] != c_key -> pc = changed
#ifdef CANARY_DOUBT_STAYS
       :: c_how == ADD && (VALUE(c_seen) & c_value) != 0 -> pc = changed
#else
       :: c_how == ADD && (VALUE(c_seen) & c_value) != 0 && (DOUBTS(c_seen) & c_value) == 0 -> pc = changed
#endif
       :: c_how == RAISE && VALUE(c_seen) >= c_value -> pc = changed
       :: else -> pc = change
       fi;
       if
       :: pc != change -> c_word = 0; c_record = 0; c_key = 0; c_how = 0; c_value = 0; c_seen = 0
       :: else
       fi }
  :: d_step { pc == change ->
       set = (c_how == ADD -> WITH(c_seen, c_value) : WITH_VALUE(c_seen, c_value));
       if
#ifdef CANARY_CHANGE_BY_STORE
       :: c_word == SET0 -> set0[c_record] = set; pc = changed
       :: c_word == SET1 -> set1[c_record] = set; pc = changed
       :: c_word == COUNT -> count_of[c_record] = set; pc = changed
#else
       :: c_word == SET0 && set0[c_record] == c_seen -> set0[c_record] = set; pc = changed
       :: c_word == SET1 && set1[c_record] == c_seen -> set1[c_record] = set; pc = changed
       :: c_word == COUNT && count_of[c_record] == c_seen -> count_of[c_record] = set; pc = changed
       :: else -> pc = change_read
#endif
       fi;
       set = 0; c_seen = 0;
       if
       :: pc != change_read -> c_word = 0; c_record = 0; c_key = 0; c_how = 0; c_value = 0
       :: else
       fi }

  /* ---- retract() ---- */
  :: d_step { pc == retract -> set = (t_level == 0 -> (t_number & 2) : 0); find(e, set, c_record); set = 0;
       if
       :: c_record == NONE -> pc = retract_done
       :: else -> c_word = (t_level == 0 -> SET0 : SET1); c_key = KEY(e, (t_level == 0 -> (t_number & 2) : 0));
          c_value = 1 << (t_level == 0 -> (t_number & 1) : (t_number >> 1)); pc = retract_read
       fi }
  :: d_step { pc == retract_read -> c_seen = (c_word == SET0 -> set0[c_record] : set1[c_record]); pc = retract_still }
  :: d_step { pc == retract_still ->
       pc = (key_of[c_record] != c_key || (VALUE(c_seen) & c_value) == 0 -> retract_done : retract_doubt) }
  :: d_step { pc == retract_doubt ->
       set = ((DOUBTS(c_seen) & c_value) != 0 -> c_seen : DOUBTING(c_seen, c_value));
       if
#ifdef CANARY_NO_DOUBT
       :: true -> pc = retract_look
#else
       :: c_word == SET0 && set0[c_record] == c_seen -> set0[c_record] = set; c_seen = set; pc = retract_look
       :: c_word == SET1 && set1[c_record] == c_seen -> set1[c_record] = set; c_seen = set; pc = retract_look
       :: else -> pc = retract_read
#endif
       fi;
       set = 0 }
  :: d_step { pc == retract_look -> find(e, t_number, r);
       if
#ifdef CANARY_RETRACT_WITHOUT_LOOK
       :: true -> r = 0; pc = retract_clear
#else
       :: r == NONE -> r = 0; pc = retract_clear
       :: r != NONE && t_level == 1 -> pc = retract_set
       :: r != NONE && t_level == 0 -> pc = (IS_NAME_FREE(owner_of[r]) -> retract_done : retract_clear); r = 0
#endif
       fi }
  :: d_step { pc == retract_set -> pc = (key_of[r] == KEY(e, t_number) && VALUE(set0[r]) != 0 -> retract_done : retract_clear); r = 0 }
  :: d_step { pc == retract_clear ->
       if
       :: c_word == SET0 && set0[c_record] == c_seen -> set0[c_record] = WITHOUT(c_seen, c_value); pc = retract_done;
          assert(e != epoch || key_of[c_record] != c_key || !shown[t_number])
       :: c_word == SET1 && set1[c_record] == c_seen -> set1[c_record] = WITHOUT(c_seen, c_value); pc = retract_done;
          assert(e != epoch || key_of[c_record] != c_key || !shown[t_number]);
          if
          :: t_number + 1 < NAMES -> assert(e != epoch || key_of[c_record] != c_key || !shown[t_number + 1])
          :: else
          fi
       :: else -> pc = retract_read
       fi }
  :: d_step { pc == retract_done -> c_word = 0; c_record = 0; c_key = 0; c_value = 0; c_seen = 0; t_number = 0; t_level = 0; pc = root }

  /* ---- reset_names() ---- */
  :: d_step { pc == reset_next ->
       if
       :: r == RECORDS -> r = 0; pc = choose
       :: else ->
          if
          :: is_linked[r] && (owner_of[r] == IDLE || IS_HELD(owner_of[r])) && key_of[r] >> 2 != RESET_EPOCH ->
             owner_of[r] = FREE; is_linked[r] = false; token_of[r]++
          :: else
          fi;
          r++
       fi }
  od
}

init {
  byte i;
  atomic {
    alive[PROCS] = true; epoch = 1;
    do
    :: i < REGISTERED ->
       is_linked[i] = true; key_of[i] = KEY(1, i); token_of[i] = 1; owner_of[i] = FIRST_OWNER; set0[i] = BORN(1, 0); set1[i] = BORN(1, 0);
       count_of[i] = BORN(1, 0);
       set0[i & 2] = set0[i & 2] | (1 << (i & 1)); set1[0] = set1[0] | (1 << (i >> 1)); count_of[0] = BORN(1, (i + 1)); i++
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
