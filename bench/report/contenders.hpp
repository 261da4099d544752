// Who takes part, and what each lacks that keyrack has.
#pragma once

#include <string>
#include <vector>

namespace keyrack::bench {

struct ContenderFacts {
  std::string name;     // as in the cases
  std::string lacks;    // for people
};

/// In the order of the table.
const std::vector<ContenderFacts>& contenders();

}    // namespace keyrack::bench
