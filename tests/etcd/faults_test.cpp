// An endpoint that is down, slow, silent, or answers half or garbage; and answers that get lost after etcd has done
// what it was asked to.
#include "faults.hpp"

#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace keyrack {
namespace {

/// Each fault that loses an answer.
class EtcdLostAnswer : public EtcdFaults, public ::testing::WithParamInterface<Fault> {
 protected:
  template <class Call>
  std::string spoiled(Call&& call) {
    proxy_.spoil(GetParam());
    const std::string came_to = outcome(call());
    proxy_.spare();
    return came_to;
  }
};

TEST_P(EtcdLostAnswer, OfALockServiceIsReadBack) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  std::uint64_t token = 0;
  EXPECT_EQ(spoiled([&] {
              const auto grant = locks->lock({"job", "anna"});
              if (grant) token = grant->token;
              return grant;
            }),
            "ok");
  EXPECT_EQ(witness->check("job").value().token, token) << "it was made once, and told as it was made";
  EXPECT_EQ(spoiled([&] { return locks->lock({"job", "anna"}); }), "renewed");
  EXPECT_EQ(witness->check("job").value().token, token);
  EXPECT_EQ(spoiled([&] { return locks->lock({"job", "ben", 1}); }), "transferred from anna");
  EXPECT_EQ(spoiled([&] { return locks->lock({"job", "anna"}); }), "forbidden");
  EXPECT_EQ(spoiled([&] { return locks->check("job"); }), "ben");
  EXPECT_EQ(spoiled([&] { return locks->confirm("job", token); }), "lost");
  EXPECT_EQ(spoiled([&] { return locks->unlock({"job", "ben"}); }), "ok") << "the reading of it";
  EXPECT_EQ(outcome(witness->check("job")), "not_found");

  ASSERT_EQ(outcome(witness->lock({"job", "carl"})), "ok");
  EXPECT_EQ(spoiled([&] { return locks->lock_for({"job", "dora"}, 100ms); }), "timed_out");
  EXPECT_EQ(outcome(witness->unlock({"job", "carl"})), "ok");
  EXPECT_EQ(spoiled([&] { return locks->lock_for({"job", "dora"}, 10s, kBound); }), "ok");
  EXPECT_EQ(spoiled([&] { return locks->lock({"bound", "dora"}, kBound); }), "ok");
  EXPECT_EQ(outcome(witness->lock({"bound", "anna"})), "forbidden");
}

TEST_P(EtcdLostAnswer, OfAnUnlockIsReadBack) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  // The second answer is that of the transaction.
  ASSERT_EQ(outcome(witness->lock({"job", "anna"})), "ok");
  std::thread late([&] { proxy_.spoil(GetParam(), 2); });
  late.join();
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  proxy_.spare();
  EXPECT_EQ(outcome(witness->check("job")), "not_found");
}

TEST_P(EtcdLostAnswer, OfANameManagerIsReadBack) {
  const auto names = this->names(proxy_.endpoint());
  const auto witness = this->names(cluster().endpoint(0));
  for (int answers = 1; answers <= 2; ++answers) {    // that of the reading, and both
    proxy_.spoil(GetParam(), answers);
    EXPECT_EQ(outcome(names->acquire("stack")), "0");
    proxy_.spoil(GetParam(), answers);
    EXPECT_EQ(outcome(names->acquire("stack")), "1");
    proxy_.spoil(GetParam(), answers);
    EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
    proxy_.spoil(GetParam(), answers);
    EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
    proxy_.spare();
    EXPECT_EQ(outcome(witness->list()), "2 names") << "each was made once";
    proxy_.spoil(GetParam(), answers);
    EXPECT_EQ(outcome(names->reset()), "ok");
    proxy_.spare();
    EXPECT_EQ(outcome(witness->list()), "0 names");
  }
}

std::string name_of(Fault fault) {
  return fault == Fault::cut        ? "Cut"
         : fault == Fault::truncate ? "Truncated"
         : fault == Fault::corrupt  ? "Corrupt"
                                    : "Garbage";
}
INSTANTIATE_TEST_SUITE_P(Faults, EtcdLostAnswer,
                         ::testing::Values(Fault::cut, Fault::truncate, Fault::corrupt, Fault::garbage),
                         [](const auto& tested) { return name_of(tested.param); });

TEST_F(EtcdFaults, WhatIsSlowButInTimeIsAskedForOnce) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto names = this->names(proxy_.endpoint());
  proxy_.delay_by(500ms);
  const auto slow = [&](auto&& call, int requests) {
    const int before = proxy_.asked();
    proxy_.spoil(Fault::slow, requests);
    const auto asked_at = steady_clock::now();
    const std::string came_to = outcome(call());
    EXPECT_GE(steady_clock::now() - asked_at, requests * 500ms);
    EXPECT_EQ(proxy_.asked() - before, requests);
    return came_to;
  };
  EXPECT_EQ(slow([&] { return locks->lock({"job", "anna"}); }, 1), "ok");
  EXPECT_EQ(slow([&] { return locks->unlock({"job", "anna"}); }, 1), "ok");
  EXPECT_EQ(slow([&] { return names->acquire("stack"); }, 2), "0");
}

TEST_F(EtcdFaults, WhatIsTooSlowIsReadBack) {
  const auto locks = opened([&] { return open_lock_service(url(proxy_.endpoint(), "timeout=4s")); });
  const auto names = opened([&] { return open_name_manager(url(proxy_.endpoint(), "timeout=4s")); });
  const auto witness = this->locks(cluster().endpoint(0));
  proxy_.delay_by(3s);    // in time for the call, but not for its first request, which has half of it
  proxy_.spoil(Fault::slow);
  const auto granted = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(granted), "ok");
  EXPECT_EQ(witness->check("job").value().token, granted->token) << "it was made once, and told as it was made";
  proxy_.spoil(Fault::slow, 1, 1);    // after the reading
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(witness->check("job")), "not_found");
  proxy_.spoil(Fault::slow, 1, 1);
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(this->names(cluster().endpoint(0))->list()), "1 names") << "it was made once";
}

TEST_F(EtcdFaults, AStoppedEtcdGoesOnWhereItWas) {
  const auto url = [&](const std::string& timeout) {
    return "etcd://" + cluster().endpoint(0) + "/" + prefix_ + "?session_ttl=60s&timeout=" + timeout;
  };
  const auto locks = open_lock_service(url("20s")).value();
  const auto hasty = opened([&] { return open_lock_service(url("500ms")); });
  const auto names = open_name_manager(url("20s")).value();
  const auto bound = locks->lock({"bound", "anna"}, kBound);
  ASSERT_EQ(outcome(bound), "ok");
  const auto held = names->hold("stack").value();

  cluster().stop(0);
  std::string came_to;
  std::thread patient([&] { came_to = outcome(locks->lock({"job", "ben"})); });
  EXPECT_EQ(outcome(hasty->lock({"late", "carl"})), "backend_unavailable");
  EXPECT_EQ(outcome(hasty->confirm("bound", bound->token)), "backend_unavailable");
  cluster().resume(0);

  patient.join();
  EXPECT_EQ(came_to, "ok");
  EXPECT_EQ(outcome(locks->check("job")), "ben");
  EXPECT_EQ(outcome(locks->confirm("bound", bound->token)), "ok");
  EXPECT_EQ(outcome(held.status()), "ok");
  const std::string late = outcome(locks->lock({"late", "carl"}));
  EXPECT_TRUE(late == "ok" || late == "renewed") << late << ": it may have been done after all";
}

TEST_F(EtcdFaults, WhatComesLateDoesNotHappen) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  proxy_.spoil(Fault::late);
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(witness->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(proxy_.deliver(), 1u);
  EXPECT_EQ(outcome(witness->check("job")), "not_found");

  const auto names = this->names(proxy_.endpoint());
  proxy_.spoil(Fault::late, 1, 1);    // after the reading
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(names->reset()), "ok");
  EXPECT_EQ(proxy_.deliver(), 1u);
  EXPECT_EQ(outcome(names->list()), "0 names");
}

TEST_F(EtcdFaults, APlaceInTheQueueThatComesLateHoldsNobodyUp) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  ASSERT_EQ(outcome(witness->lock({"job", "anna"})), "ok");
  proxy_.spoil(Fault::late, 1, 1);    // after the first try
  std::string came_to;
  std::thread waiter([&] { came_to = outcome(locks->lock_for({"job", "ben"}, 60s)); });
  const auto give_up = steady_clock::now() + 60s;
  while (proxy_.left() > 0 && steady_clock::now() < give_up) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(outcome(witness->unlock({"job", "anna"})), "ok");
  waiter.join();
  ASSERT_EQ(came_to, "ok");
  ASSERT_EQ(outcome(locks->unlock({"job", "ben"})), "ok");
  EXPECT_EQ(proxy_.deliver(), 1u);
  EXPECT_EQ(outcome(witness->lock_for({"job", "carl"}, 60s)), "ok");
}

TEST_F(EtcdFaults, WhatHasChangedTwiceSinceIsToldAsItWas) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  ASSERT_EQ(outcome(witness->lock({"job", "anna"})), "ok");
  ASSERT_EQ(outcome(witness->lock({"job", "anna"})), "renewed");
  proxy_.spoil(Fault::cut);
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden") << "it was no answer to anna's";
  // Ben has it, is not told, and has lost it twice when it is read back.
  proxy_.when_lost([&] {
    EXPECT_EQ(outcome(witness->lock({"job", "carl", 2})), "transferred from ben");
    EXPECT_EQ(outcome(witness->lock({"job", "dora", 3})), "transferred from carl");
  });
  proxy_.spoil(Fault::cut, 1, 1);
  const auto granted = locks->lock({"job", "ben", 1});
  ASSERT_EQ(outcome(granted), "transferred from anna");
  EXPECT_LT(granted->token, witness->check("job").value().token);
  EXPECT_EQ(outcome(locks->confirm("job", granted->token)), "lost");
  // It is deleted since.
  proxy_.when_lost([&] {
    EXPECT_EQ(outcome(witness->lock({"job", "carl", 5})), "transferred from ben");
    EXPECT_EQ(outcome(witness->unlock({"job", "carl"})), "ok");
  });
  proxy_.spoil(Fault::cut, 1, 1);
  EXPECT_EQ(outcome(locks->lock({"job", "ben", 4})), "transferred from dora");
  EXPECT_EQ(outcome(locks->check("job")), "not_found");
}

TEST_F(EtcdFaults, WhatCannotBeToldIsNotGuessed) {
  const auto locks = this->locks(proxy_.endpoint());
  const auto witness = this->locks(cluster().endpoint(0));
  ASSERT_EQ(outcome(witness->lock({"job", "anna"})), "ok");
  // The same, and etcd has forgotten what came first.
  proxy_.when_lost([&] {
    EXPECT_EQ(outcome(witness->lock({"job", "carl", 2})), "transferred from ben");
    const auto last = witness->lock({"job", "dora", 3});
    ASSERT_EQ(outcome(last), "transferred from carl");
    cluster().ask("/v3/kv/compaction", R"({"revision": ")" + std::to_string(last->token) + R"(", "physical": true})");
  });
  proxy_.spoil(Fault::cut, 1, 1);
  EXPECT_EQ(outcome(locks->lock({"job", "ben", 1})), "backend_unavailable");
}

TEST_F(EtcdFaults, NoCallTakesLongerThanItsTimeout) {
  const auto service = opened([&] { return open_lock_service(url(proxy_.endpoint(), "timeout=500ms")); });
  const auto names = opened([&] { return open_name_manager(url(proxy_.endpoint(), "timeout=500ms")); });
  proxy_.delay_by(400ms);    // more than the half of it that a request has
  for (const Fault fault : {Fault::silent, Fault::slow, Fault::cut, Fault::corrupt}) {
    proxy_.spoil(fault, Proxy::kAlways);
    const auto expect_unavailable = [&](auto&& call) {
      const auto asked_at = steady_clock::now();
      EXPECT_EQ(outcome(call()), "backend_unavailable");
      EXPECT_LT(steady_clock::now() - asked_at, 3s) << "more than it may, and what a busy machine takes";
    };
    expect_unavailable([&] { return service->lock({"job", "anna"}); });
    expect_unavailable([&] { return service->lock_for({"job", "anna"}, 1h); });
    expect_unavailable([&] { return service->unlock({"job", "anna"}); });
    expect_unavailable([&] { return service->check("job"); });
    expect_unavailable([&] { return service->confirm("job", 1); });
    expect_unavailable([&] { return names->acquire("stack"); });
    expect_unavailable([&] { return names->hold("stack"); });
    expect_unavailable([&] { return names->list(); });
    expect_unavailable([&] { return names->reset(); });
    expect_unavailable([&] { return open_lock_service(url(proxy_.endpoint(), "timeout=500ms")); });
  }
  proxy_.spare();
}

TEST_F(EtcdFaults, EachServiceHasATimeoutOfItsOwn) {
  const auto patient = locks(proxy_.endpoint());
  const auto hasty = opened([&] { return open_lock_service(url(proxy_.endpoint(), "timeout=500ms")); });
  proxy_.spoil(Fault::silent, Proxy::kAlways);
  const auto asked_at = steady_clock::now();
  EXPECT_EQ(outcome(hasty->check("job")), "backend_unavailable");
  EXPECT_LT(steady_clock::now() - asked_at, 5s) << "the other one's is 20s";
  proxy_.spare();
}

TEST_F(EtcdFaults, AnotherEndpointAnswers) {
  // The first is silent, the second is down.
  const auto service =
      open_lock_service(url(proxy_.endpoint() + ",127.0.0.1:1," + cluster().endpoint(0), "timeout=4s")).value();
  proxy_.spoil(Fault::silent, Proxy::kAlways);
  EXPECT_EQ(outcome(service->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(service->check("job")), "anna");
}

TEST_F(EtcdFaults, ErrorsNameTheEndpoint) {
  const auto opened = open_lock_service("etcd://127.0.0.1:1/nowhere?timeout=100ms");
  ASSERT_EQ(outcome(opened), "backend_unavailable");
  EXPECT_NE(opened.error().message().find("127.0.0.1:1"), std::string::npos) << opened.error().message();
}

TEST_F(EtcdFaults, AWaitGoesOnWhenItsWatchIsCut) {
  const auto holder = locks(cluster().endpoint(0));
  const auto waiting = locks(proxy_.endpoint());
  ASSERT_EQ(outcome(holder->lock({"job", "anna"})), "ok");
  std::string came_to;
  std::thread waiter([&] { came_to = outcome(waiting->lock_for({"job", "ben"}, 60s)); });
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(50ms);
    proxy_.spoil(Fault::cut, 1);
  }
  proxy_.spare();
  EXPECT_EQ(outcome(holder->unlock({"job", "anna"})), "ok");
  waiter.join();
  EXPECT_EQ(came_to, "ok");
}

TEST_F(EtcdFaults, AHeldNameIsLostWhenEtcdIsOutOfReach) {
  const auto names = this->names(proxy_.endpoint());
  auto held = names->hold("stack").value();
  proxy_.spoil(Fault::cut, Proxy::kAlways);
  const auto give_up = steady_clock::now() + 60s;
  while (outcome(held.status()) == "backend_unavailable" && steady_clock::now() < give_up) {
  }
  EXPECT_EQ(outcome(held.status()), "lost");
  proxy_.spare();
  EXPECT_EQ(outcome(held.status()), "lost") << "once lost, for ever";
  // etcd has heard of us all the time.
  EXPECT_EQ(outcome(held.release()), "lost");
  EXPECT_EQ(outcome(names->try_acquire("stack", held.name())), "ok") << "and is not left with it";
}

TEST_F(EtcdFaults, AHeldNameIsLostBeforeAnotherHasIt) {
  // By the end of the session, and by its age.
  for (const std::string options : {"session_ttl=2s", "session_ttl=40s&auto_release_after=1s"}) {
    const std::string rest = "/" + prefix_ + "?clock_error=20ms&timeout=20s&" + options;
    const auto names = open_name_manager("etcd://" + proxy_.endpoint() + rest).value();
    const auto others = open_name_manager("etcd://" + cluster().endpoint(0) + rest).value();
    const auto held = opened([&] { return names->hold("stack"); });
    proxy_.spoil(Fault::apart, Proxy::kAlways);
    EXPECT_EQ(taken([&] { return others->try_acquire("stack", held.name()); }), "ok");
    EXPECT_EQ(outcome(held.status()), "lost");
    proxy_.spare();
  }
}

TEST_F(EtcdFaults, ABoundLockIsLostBeforeAnotherHasIt) {
  // By the end of the session, and by that of its lease.
  for (const std::string options : {"session_ttl=2s", "session_ttl=40s&duration=1s"}) {
    const std::string rest = "/" + prefix_ + "?clock_error=20ms&timeout=20s&" + options;
    const auto locks = open_lock_service("etcd://" + proxy_.endpoint() + rest).value();
    const auto others = open_lock_service("etcd://" + cluster().endpoint(0) + rest).value();
    const auto granted = locks->lock({"job", "anna"}, kBound);
    ASSERT_EQ(outcome(granted), "ok");
    proxy_.spoil(Fault::apart, Proxy::kAlways);
    EXPECT_EQ(taken([&] { return others->lock({"job", "ben"}); }), "transferred from anna");
    EXPECT_EQ(outcome(locks->confirm("job", granted->token)), "lost");
    proxy_.spare();
    EXPECT_EQ(outcome(others->unlock({"job", "ben"})), "ok");
  }
}

TEST_F(EtcdFaults, LeasesEndWithWhatHungOnThem) {
  const std::size_t before = cluster().leases();
  constexpr LockOptions kGone{.time_to_live = 1h};
  {
    const auto locks = this->locks(cluster().endpoint(0));
    EXPECT_EQ(outcome(locks->lock({"job", "anna"}, kGone)), "ok");
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(outcome(locks->lock({"job", "anna"}, kGone)), "renewed");
      EXPECT_EQ(outcome(locks->lock({"job", "ben"}, kGone)), "forbidden");
    }
    EXPECT_EQ(outcome(locks->lock_for({"job", "ben"}, 10ms, kGone)), "timed_out");
    EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  }
  EXPECT_LE(cluster().leases(), before);
}

TEST_F(EtcdFaults, ALeaseEndsLaterForOthersByHowFarClocksMayBeApart) {
  const auto locks = open_lock_service("etcd://" + cluster().endpoint(0) + "/" + prefix_ + "?clock_error=3s").value();
  const auto asked_at = steady_clock::now();
  const auto granted = locks->lock({"job", "anna"}, {.duration = 200ms}).value();
  while (outcome(locks->confirm("job", granted.token)) == "ok") std::this_thread::sleep_for(10ms);
  EXPECT_GE(steady_clock::now() - asked_at, 200ms);
  EXPECT_EQ(outcome(locks->confirm("job", granted.token)), "lost");
  if (const auto told = locks->check("job"); steady_clock::now() - asked_at < 3s) {
    EXPECT_EQ(told.value().expires_in, 0ns) << "believed no longer, and not to be taken either";
  }
  EXPECT_EQ(taken([&] { return locks->lock({"job", "ben"}); }), "transferred from anna");
  EXPECT_GE(steady_clock::now() - asked_at, 3200ms);
}

TEST_F(EtcdFaults, ExclusionHoldsThroughFaultsByChance) {
  constexpr int kThreads = 3, kTurns = 15;
  const auto direct = locks(cluster().endpoint(0));
  const auto spoiled = locks(proxy_.endpoint());
  std::atomic<bool> over{false};
  std::thread spoiler([&] {
    std::mt19937 random(7);
    while (!over) {
      constexpr std::array kFaults{Fault::cut, Fault::truncate, Fault::corrupt, Fault::garbage};
      proxy_.spoil(kFaults[random() % kFaults.size()], 1, static_cast<int>(random() % 10));
      while (!over && proxy_.left() > 0) std::this_thread::sleep_for(1ms);    // as many on a slow machine
    }
  });
  std::atomic<int> inside{0}, grants{0};
  std::uint64_t last_token = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      LockService& service = i == 0 ? *direct : *spoiled;
      const std::string signee = "thread " + std::to_string(i);
      for (int turn = 0; turn < kTurns; ++turn) {
        const auto grant = service.lock_for({"job", signee}, 60s);
        // Renewed, too: by a call before whose answer was lost for good.
        if (!grant) {
          EXPECT_EQ(outcome(grant), "backend_unavailable");
        } else {
          EXPECT_EQ(++inside, 1);
          EXPECT_GE(grant->token, last_token);
          last_token = grant->token;
          ++grants;
          --inside;
        }
        while (outcome(service.unlock({"job", signee})) == "backend_unavailable") {
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  over = true;
  spoiler.join();
  EXPECT_GT(grants, kTurns);
}

}    // namespace
}    // namespace keyrack
