#include "steps.hpp"

#include <array>
#include <ostream>

namespace keyrack::tests {

namespace {

rc::Gen<int> below(int end) { return rc::gen::inRange(0, end); }

rc::Gen<Act> any_act() {
  return rc::gen::weightedElement<Act>({{12, Act::lock},
                                        {2, Act::wait},
                                        {5, Act::unlock},
                                        {4, Act::check},
                                        {3, Act::confirm},
                                        {6, Act::acquire},
                                        {3, Act::try_acquire},
                                        {2, Act::keep_alive},
                                        {2, Act::release},
                                        {2, Act::release_loan},
                                        {1, Act::status},
                                        {1, Act::list},
                                        {1, Act::reset},
                                        {1, Act::close},
                                        {2, Act::kill},
                                        {3, Act::pass}});
}

rc::Gen<Step> any_step() {
  // One in ten: of little use more often.
  const auto seldom = [](int end) { return rc::gen::weightedOneOf<int>({{9, rc::gen::just(0)}, {1, below(end)}}); };
  const auto often_none = [] { return rc::gen::weightedOneOf<int>({{1, rc::gen::just(0)}, {1, below(11)}}); };
  return rc::gen::build<Step>(rc::gen::set(&Step::act, any_act()), rc::gen::set(&Step::worker, below(3)),
                              rc::gen::set(&Step::key, below(6)), rc::gen::set(&Step::signee, below(3)),
                              rc::gen::set(&Step::level, below(3)), rc::gen::set(&Step::force, seldom(2)),
                              rc::gen::set(&Step::bound, below(2)), rc::gen::set(&Step::duration, often_none()),
                              rc::gen::set(&Step::time_to_live, often_none()), rc::gen::set(&Step::number, below(8)),
                              rc::gen::set(&Step::by, seldom(4)));
}

}    // namespace

std::ostream& operator<<(std::ostream& out, const Step& step) {
  static constexpr std::array kNames{"lock",        "wait",       "unlock",  "check",        "confirm", "acquire",
                                     "try_acquire", "keep_alive", "release", "release_loan", "status",  "list",
                                     "reset",       "close",      "kill",    "pass"};
  return out << "{Act::" << kNames[static_cast<std::size_t>(step.act)] << ", " << step.worker << ", " << step.key
             << ", " << step.signee << ", " << step.level << ", " << step.force << ", " << step.bound << ", "
             << step.duration << ", " << step.time_to_live << ", " << step.number << ", " << step.by << "}";
}

std::ostream& operator<<(std::ostream& out, const Story& story) {
  out << "{" << story.roomy << ", " << story.aging << ", {";
  for (const Step& step : story.steps) out << step << ", ";
  return out << "}}";
}

rc::Gen<Story> any_story() {
  return rc::gen::build<Story>(rc::gen::set(&Story::roomy, below(2)), rc::gen::set(&Story::aging, below(2)),
                               rc::gen::set(&Story::steps, rc::gen::container<std::vector<Step>>(any_step())));
}

}    // namespace keyrack::tests
