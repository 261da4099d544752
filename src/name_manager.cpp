// A name that is held: the part of the name manager that all backends share.
#include <keyrack/name_manager.hpp>

#include <utility>

namespace keyrack {

NameManager::~NameManager() = default;

HeldName::HeldName(std::string family, std::string name, std::unique_ptr<Grip> grip)
    : family_(std::move(family)), name_(std::move(name)), grip_(std::move(grip)) {}

HeldName::HeldName(HeldName&& other) noexcept
    : family_(std::exchange(other.family_, {})), name_(std::exchange(other.name_, {})), grip_(std::move(other.grip_)) {}

HeldName& HeldName::operator=(HeldName&& other) noexcept {
  HeldName held(std::move(other));    // first, for it may be this very one
  std::swap(family_, held.family_);
  std::swap(name_, held.name_);
  std::swap(grip_, held.grip_);
  return *this;
}

HeldName::~HeldName() = default;

std::error_code HeldName::status() const { return grip_ ? grip_->status() : std::error_code(); }

Result<void> HeldName::release() {
  const auto grip = std::move(grip_);
  return grip ? grip->release() : Result<void>();
}

}    // namespace keyrack
