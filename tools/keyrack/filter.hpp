// Globs for keys, the same in every command: main() sets the locale, so that a character is one of UTF-8.
#pragma once

#include <fnmatch.h>

#include <optional>
#include <string>

namespace keyrack::command {

using Filter = std::optional<std::string>;    ///< a glob as of fnmatch(3), where * matches slashes, too

inline bool passes(const Filter& filter, const std::string& key) {
  return !filter || ::fnmatch(filter->c_str(), key.c_str(), 0) == 0;
}

}    // namespace keyrack::command
