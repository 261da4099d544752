// Who decides in a simulated world: chance, from a seed; or all there is to decide, one run after the other.
#pragma once

#include "world.hpp"

#include <random>

namespace keyrack::simulation {

/// Chance. Each run draws its own temper: how often threads change, how often loads are stale, whether anybody dies.
class Chance : public Strategy {
 public:
  explicit Chance(std::uint64_t seed) : dice_(seed) {
    constexpr std::uint32_t kOften[] = {2, 5, 12, 40}, kStale[] = {0, 3, 12}, kRare[] = {0, 0, 60, 300};
    one_in_[at(Choice::preempt)] = kOften[draw(4)];
    one_in_[at(Choice::stale)] = kStale[draw(3)];
    one_in_[at(Choice::early_wake)] = draw(2) * 8;
    one_in_[at(Choice::leap)] = draw(3) == 0 ? 40 : 0;
    one_in_[at(Choice::death)] = kRare[draw(4)];
    one_in_[at(Choice::stop)] = kRare[draw(4)];
  }

  std::uint32_t choose(Choice what, std::uint32_t options) override {
    if (what == Choice::successor) return draw(options);
    const std::uint32_t rarity = one_in_[at(what)];
    return rarity == 0 || draw(rarity) != 0 ? 0 : 1 + draw(options - 1);
  }

 private:
  static std::size_t at(Choice what) { return static_cast<std::size_t>(what); }
  std::uint32_t draw(std::uint32_t below) { return below <= 1 ? 0 : static_cast<std::uint32_t>(dice_() % below); }

  std::mt19937_64 dice_;
  std::array<std::uint32_t, kChoices> one_in_{};
};

/// How often a run may leave the quiet path.
struct Bounds {
  std::uint32_t preempt = 0, stale = 0, death = 0, stop = 0, leap = 0;
};

/// Every run within the bounds, once: depth first over what was chosen.
class Exhaustion : public Strategy {
 public:
  explicit Exhaustion(const Bounds& bounds) : bounds_(bounds) {}

  /// To be called before each run. False: that was all.
  bool next() {
    if (!begun_) return begun_ = true;
    while (!path_.empty() && path_.back().chosen + 1 >= path_.back().options) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().chosen;
    at_ = 0;
    spent_ = {};
    return true;
  }

  std::uint32_t choose(Choice what, std::uint32_t options) override {
    std::uint32_t* spent = spent_of(what);
    if (what != Choice::successor && (spent == nullptr || *spent >= limit_of(what))) return 0;
    if (at_ == path_.size()) path_.push_back({0, options});
    const std::uint32_t chosen = path_[at_++].chosen;
    if (spent != nullptr && chosen != 0) ++*spent;
    return chosen;
  }

 private:
  struct Fork {
    std::uint32_t chosen, options;
  };

  std::uint32_t* spent_of(Choice what) {
    switch (what) {
      case Choice::preempt:
        return &spent_.preempt;
      case Choice::stale:
        return &spent_.stale;
      case Choice::death:
        return &spent_.death;
      case Choice::stop:
        return &spent_.stop;
      case Choice::leap:
        return &spent_.leap;
      default:
        return nullptr;
    }
  }
  std::uint32_t limit_of(Choice what) const {
    switch (what) {
      case Choice::preempt:
        return bounds_.preempt;
      case Choice::stale:
        return bounds_.stale;
      case Choice::death:
        return bounds_.death;
      case Choice::leap:
        return bounds_.leap;
      default:
        return bounds_.stop;
    }
  }

  Bounds bounds_, spent_{};
  bool begun_ = false;
  std::vector<Fork> path_{};
  std::size_t at_ = 0;
};

}    // namespace keyrack::simulation
