// The same two services on etcd: locks and names for more than one host. Link keyrack::etcd; it answers etcd:// URLs
// from then on, and nothing else changes.
//
//     auto locks = keyrack::open_lock_service("etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/orders").value();
//
// etcd://HOST:PORT[,HOST:PORT...]/PREFIX[?OPTION=VALUE[&OPTION=VALUE]...]
//
//   PREFIX                  all keys begin so; parts with slashes between. Who shares it shares locks and names
//   ca, cert, key           files: authority to trust, certificate and key to show. Any of them means TLS. An etcd
//                           that asks for user and password, too, refuses a certificate with a common name
//   tls=false               true: TLS with the system's authorities
//   user, password          for etcd's own authentication. No error tells the password; who may list the processes of
//                           the host sees it in a command line
//   timeout=3s              no call takes longer; a wait takes this much longer at the most
//   session_ttl=5s          at least 1s, in whole seconds: how late the death of a process is noticed; etcd may ask for
//                           more, and takes up to a second to act. The first service a process opens there decides
//   clock_error=500ms       how far the wall clocks of two hosts may be apart
//   max_signature=128       bytes of a signature or family, at most 4096. No part of what is stored: each service's own
//   max_signee=64           bytes of a signee, at most 4096
//   duration=none           default lease of this service; none: a grant never goes stale
//   time_to_live=none       default time to live of this service
//   auto_release_after=none a name not acquired or kept alive for so long counts as released
//
// Tokens       The revision of etcd at which the grant was made. They rise over everything that is stored there.
// Clocks       Leases, times to live and ages are judged by wall clocks: an end is an instant on the clock of who asked
//              for the grant, read before asking. confirm() believes in a grant until then; others take it clock_error
//              later by their own clock, so nobody believes in what another can have, while no two clocks are further
//              apart. Keep them set (NTP), and mind that a clock that is set counts. If they are further apart after
//              all, a lock can be taken too early: compare tokens where you write. A lease that is not longer than
//              what a call takes may be past when the call returns.
//              The death of a process is judged by etcd, as the end of a lease that its process keeps alive.
// Death        Noticed after session_ttl, not at once. A process that is stopped, or cut off from etcd, for so long is
//              dead to others, and finds its process-bound locks and held names lost when it comes back. While it
//              cannot ask, confirm() and status() say backend_unavailable until another could have them, then lost.
//              Names held with auto_release_after are kept alive every third of it: let that be much longer than a
//              call takes.
// Waiting      By level, then by arrival. A waiter that died or stopped in front of others holds them up for at most
//              session_ttl. NamedMutex finds a thread that locks twice; cycles of several mutexes end by time only.
// Room         As much as etcd has; table_full means its database is full. There is no session_limit.
// Errors       backend_unavailable: no endpoint answered in time, or the answer to a write was lost and reading back
//              did not tell whether it was done: ask again (check, confirm) before you go on. permission_denied: user,
//              password or rights. corrupt_segment: a value that is none of keyrack's.
// Threads      Every call is safe from any number of threads, and asks etcd in the calling thread. One thread for each
//              process and prefix, from the first process-bound lock, wait or held name until the last service is
//              closed.
// fork         A child uses none of its parent's connections and holds nothing of its parent's. fork while no other
//              thread is in a call.
// Progress     Calls are lock-free across processes: one that has to try again means that another has succeeded. A call
//              takes one or two requests; acquire reads all names of the family.
#pragma once

#include <keyrack/backend.hpp>

namespace keyrack {

/// Makes etcd:// known. Linking keyrack::etcd does that; call it where a linker drops what nobody calls.
KEYRACK_API void register_etcd_backend();

}    // namespace keyrack
