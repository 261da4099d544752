/* How a segment comes into being (src/shm/segment.cpp, open_or_create()): formatted without a name and then linked; or,
 * where files without a name cannot be made (-DNAMED_FIRST), made under its name and finished in place under a lock
 * that the kernel takes from the dead. An object that somebody else has left empty (-DLEFT_EMPTY) is finished likewise.
 *
 * Held: who maps, maps a finished object; nobody formats an object that somebody has mapped; without a removal all map
 * the same one.
 *
 * Bounds: PROCS openers, OBJECTS objects, DEATHS of them die, REMOVALS of the name.
 */
#ifndef PROCS
#define PROCS 3
#endif
#ifndef OBJECTS
#define OBJECTS 4
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef REMOVALS
#define REMOVALS 0
#endif
#define NONE 15

/* An object: sized, {magic and the rest of the header}, ready. */
bool is_sized[OBJECTS], has_header[OBJECTS], is_ready[OBJECTS];
byte mapped[OBJECTS];      /* seen from outside: by how many */
byte lock_of[OBJECTS];     /* flock: process + 1 */
byte name = NONE;          /* what the name leads to */
byte made;                 /* objects so far */
byte first_mapped = NONE;
byte deaths = DEATHS, removals = REMOVALS, ended, given_up;

mtype = { open, create, look, lock, look_again, clear, size, header, ready, unlock, link, map, use, gone };

proctype opener(byte me) {
  mtype pc = open;
  byte fd = NONE;
  bool unnamed, complete;

end:
  do
  :: d_step { deaths > 0 && pc != gone ->
       deaths--;
       if
       :: fd != NONE && lock_of[fd] == me + 1 -> lock_of[fd] = 0    /* the kernel */
       :: else
       fi;
       if
       :: pc == use -> mapped[fd]--
       :: else
       fi;
       fd = NONE; unnamed = false; complete = false; pc = gone }
  :: d_step { pc == open -> fd = name; pc = (fd == NONE -> create : look) }
  :: d_step { pc == create && made < OBJECTS ->
#ifdef NAMED_FIRST
       if    /* open or create */
       :: name == NONE -> name = made; made++
       :: else
       fi;
       pc = open }
#else
       fd = made; made++; unnamed = true;
       pc = clear }
#endif
  :: d_step { pc == look -> complete = is_ready[fd] && has_header[fd]; pc = (complete -> map : lock); complete = false }
#ifdef CANARY_NO_LOCK
  :: d_step { pc == lock -> pc = look_again }
#else
  :: d_step { pc == lock && lock_of[fd] == 0 -> lock_of[fd] = me + 1; pc = look_again }
  :: d_step { pc == lock && lock_of[fd] != 0 -> pc = gone; fd = NONE; given_up++ }    /* for a second */
#endif
#ifdef CANARY_NO_LOOK_UNDER_LOCK
  :: d_step { pc == look_again -> pc = clear }
#else
  :: d_step { pc == look_again -> pc = (is_ready[fd] -> unlock : clear) }
#endif
  /* format() */
  :: d_step { pc == clear -> assert(mapped[fd] == 0); is_sized[fd] = false; has_header[fd] = false; is_ready[fd] = false; pc = size }
  :: d_step { pc == size -> is_sized[fd] = true; pc = header }
#ifdef CANARY_READY_FIRST
  :: d_step { pc == header -> is_ready[fd] = true; has_header[fd] = true; is_sized[fd] = false; pc = ready }
  :: d_step { pc == ready -> is_sized[fd] = true; pc = (unnamed -> link : unlock) }
#else
  :: d_step { pc == header -> has_header[fd] = true; pc = ready }
  :: d_step { pc == ready -> assert(is_sized[fd] && has_header[fd]); is_ready[fd] = true; pc = (unnamed -> link : unlock) }
#endif
  :: d_step { pc == unlock ->
       if
       :: lock_of[fd] == me + 1 -> lock_of[fd] = 0
       :: else
       fi;
       fd = NONE; pc = open }
  :: d_step { pc == link ->
       if
#ifdef CANARY_LINK_REPLACES
       :: true -> name = fd; pc = look    /* as rename() would */
#else
       :: name == NONE -> name = fd; pc = look
#endif
       :: else -> fd = NONE; pc = open
       fi;
       unnamed = false }
  :: d_step { pc == map -> assert(is_sized[fd] && has_header[fd] && is_ready[fd]);
       mapped[fd]++;
#if REMOVALS == 0
       assert(first_mapped == NONE || first_mapped == fd);
       first_mapped = fd;
#endif
       pc = use }
  :: d_step { pc == use -> assert(is_sized[fd] && has_header[fd] && is_ready[fd]); mapped[fd]--; fd = NONE; pc = gone }
#if REMOVALS > 0
  :: d_step { removals > 0 && name != NONE -> removals--; name = NONE }
#endif
  od
}

init {
  byte i;
  atomic {
#ifdef LEFT_EMPTY
    name = made; made++;
#endif
    do
    :: i < PROCS -> run opener(i); i++
    :: else -> break
    od
  }
}
