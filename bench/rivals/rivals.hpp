// Every rival. A new one is a Contender in a header of this folder and a line here; the report shows it by its name.
#pragma once

#include "harness/contender.hpp"
#include "rivals/known_address.hpp"

namespace keyrack::bench {

using Rivals = Contenders<RawCas, PlainMutex, RobustMutex, RawFutex>;

}    // namespace keyrack::bench
