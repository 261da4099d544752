// The same two services on etcd: locks and names for more than one host. Link keyrack::etcd; it answers etcd:// URLs
// from then on, and nothing else changes.
//
//     auto locks = keyrack::open_lock_service("etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/orders").value();
//
// etcd://HOST:PORT[,HOST:PORT...]/PREFIX[?OPTION=VALUE[&OPTION=VALUE]...]
//
//   PREFIX                  all keys begin so; parts with slashes between. Who shares it shares locks and names. No
//                           part after the first may be lock, name, reset, void or waiter
//   ca, cert, key           files: authority to trust, certificate and key to show. Any of them means TLS. With user
//                           and password give no certificate that has a common name (CN): etcd's gateway refuses it
//   tls=false               true: TLS with the system's authorities
//   user, password          for etcd's own authentication; reading and writing all that begins with PREFIX/ is all the
//                           right they need. No error tells the password, but who may list the processes of the host
//                           sees it in a command line: the keyrack command takes the URL from KEYRACK_URL
//   timeout=3s              no call takes longer; a wait takes this much longer at the most, closing twice as long
//   session_ttl=5s          at least 1s, in whole seconds: how late the death of a process is noticed; etcd may ask for
//                           more, and takes up to a second to act. The first service a process opens there decides
//   clock_error=500ms       how far the wall clocks of two hosts may be apart; the same for all who share the prefix
//   max_signature=128       bytes of a signature or family, at most 4096. No part of what is stored: each service's own
//   max_signee=64           bytes of a signee, at most 4096
//   duration=none           default lease of this service; none: a grant never goes stale
//   time_to_live=none       default time to live of this service
//   auto_release_after=none a name not acquired or kept alive for so long counts as released; the same for all, too
//
// Tokens       The revision of etcd at which the grant was made. They rise over everything that is stored there, for
//              the life of the cluster: one that is new, or restored from a backup, begins lower, and so does one that
//              you move to from shm://. Whatever compares tokens has to begin anew then, too.
// Clocks       Leases, times to live and ages are judged by wall clocks: an end is an instant on the clock of who asked
//              for the grant, read before asking. confirm() believes in a grant until then; others take it clock_error
//              later by their own clock, so nobody believes in what another can have, while no two clocks are further
//              apart. Keep them set (NTP), and mind that a clock that is set counts. If they are further apart after
//              all, a lock can be taken too early: compare tokens where you write. A lease that is not longer than
//              what a call takes may be past when the call returns.
//              The death of a process is judged by etcd, as the end of a lease that its process keeps alive.
// Death        Noticed after session_ttl and about a second, not at once; a new leader, or an etcd that was restarted,
//              lets that time begin anew. A process that is stopped, or cut off from etcd, for session_ttl is dead to
//              others, and finds its process-bound locks and held names lost when it comes back. While it cannot ask,
//              confirm() and status() say backend_unavailable until another could have what it holds, then lost. What
//              it could not give back in time (a held name, a mutex) it gives back when etcd answers again.
//              Names held with auto_release_after are kept alive every third of it, one after the other: let that be
//              much longer than a call takes, times the names that the process holds.
// Waiting      By level, the highest first, then by arrival: nobody starves among equals, but a low level does while
//              higher ones keep coming, which could take the lock from it anyway. A waiter that died or stopped in
//              front of others holds them up until its death is noticed.
// Room         As much as etcd has; table_full means its database is full. There is no session_limit. What nobody holds
//              any more is not evicted: a record stays until it is unlocked, taken over, or its time to live is past.
//              Give keys that are new each time a time to live, and let etcd compact (--auto-compaction-retention).
// Errors       backend_unavailable: no endpoint answered in time, or the answer to a write was lost and reading back
//              did not tell whether it was done: ask again (check, confirm) before you go on. permission_denied: user,
//              password or rights. corrupt_segment: a value that is none of keyrack's.
// Threads      Every call is safe from any number of threads, and asks etcd in the calling thread. One thread for each
//              process and prefix, from the first process-bound lock, wait or held name until the last service is
//              closed. Services of a process that name other endpoints or another user for the same prefix are those
//              of two processes: each has a thread, and neither has what the other is granted.
// fork         A child uses none of its parent's connections and holds nothing of its parent's. fork while no other
//              thread is in a call.
// Progress     Calls are lock-free across processes: one that has to try again means that another has succeeded. To
//              lock, unlock, check or confirm takes one request; to renew, to take over, and most calls for names two;
//              with a time to live one or two more. acquire reads all names of the family.
#pragma once

#include <keyrack/backend.hpp>

namespace keyrack {

/// Makes etcd:// known. Linking keyrack::etcd does that; call it where a linker drops what nobody calls.
KEYRACK_API void register_etcd_backend();

}    // namespace keyrack
