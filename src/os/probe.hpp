// Static probes for tracers (USDT): each is a nop and a note in the ELF file, which perf, bpftrace and gdb find by
// name. Nothing happens there unless somebody traces. Without <sys/sdt.h> there are none.
//
//   grant      key, its length, signee, its length, token     a new grant, transfers included
//   refusal    key, its length, signee, its length            lock() and lock_until() in vain
//   wait       key, its length, signee, its length            before a call sleeps for the first time
//   wake       index of the waiter's record                   somebody who sleeps is woken
//   take_over  key, its length, signee, its length, cause     a grant that was another signee's: "expired",
//   "abandoned",
//                                                             "outranked", "forced"
//   recovery   slot, generation                               before a dead session is cleared up after
//
// Keys and signees are bytes without a NUL at their end.
#pragma once

#if defined(KEYRACK_PROBES)
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define KEYRACK_PROBE(name, ...) STAP_PROBEV(keyrack, name, __VA_ARGS__)
#else
namespace keyrack::os {
template <class... Values>
void no_probe(const Values&...) {}
}    // namespace keyrack::os
#define KEYRACK_PROBE(name, ...) ::keyrack::os::no_probe(__VA_ARGS__)
#endif

/// A text's bytes and their number.
#define KEYRACK_PROBE_TEXT(text) (text).data(), (text).size()
