// keyrack: named locks and pooled names for the processes of one host, with no server.
//
//     #include <keyrack/keyrack.hpp>
//
//     auto locks = keyrack::open_lock_service("shm://orders").value();
//     auto grant = locks->lock({.signature = "job/42", .signee = "worker-7"},
//                              {.lifetime = keyrack::Lifetime::process});
//     if (!grant) std::cerr << grant.error().message() << '\n';   // held by worker-3 (pid 4711, level 0)
//     else {
//       do_the_work(grant->token);                                // the fencing token goes with the work
//       (void)locks->unlock({.signature = "job/42", .signee = "worker-7"});
//     }
//
// This header gives everything; each of the headers below is the manual of its part.
#pragma once

#include <keyrack/backend.hpp>
#include <keyrack/errors.hpp>
#include <keyrack/inspect.hpp>
#include <keyrack/lock_service.hpp>
#include <keyrack/name_manager.hpp>
#include <keyrack/named_mutex.hpp>
#include <keyrack/segment.hpp>
#include <keyrack/version.hpp>
