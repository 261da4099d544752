// The schemas that ship, held against what the command prints.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace keyrack::command_test {

/// The documents follow the schema of that command. What must not be let pass is: a value of another type, a missing
/// or a new member, wherever it is, and `wrong`, values by their JSON pointers. Skips the test where Python cannot
/// tell.
void expect_schema(const std::string& command, const std::vector<nlohmann::json>& documents,
                   const std::vector<std::pair<std::string, nlohmann::json>>& wrong);

}    // namespace keyrack::command_test
