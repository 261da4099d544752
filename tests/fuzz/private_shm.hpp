// A /dev/shm of this process's own: whatever a fuzzed command line makes or removes, it is nobody else's.
#pragma once

/// Ends the process with a word when the system does not let it.
void enter_private_shm();
