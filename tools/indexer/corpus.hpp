// What is to be indexed: the text files of a folder, listed once and in the same order for all, and how one is counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace indexer {

struct Counts {
  std::uint64_t words = 0, lines = 0, bytes = 0;

  Counts& operator+=(const Counts&);
  friend bool operator==(const Counts&, const Counts&) = default;
};

struct File {
  std::string path;           // below the folder
  std::uint64_t bytes = 0;    // when it was listed: a log that grows meanwhile is counted up to here, by everybody
};

struct Corpus {
  std::filesystem::path folder;
  std::vector<File> files = {};    // by path
  std::size_t skipped = 0;         // compressed, binary, huge or not to be read
  std::size_t left_over = 0;       // beyond the limits
};

/// Text: a regular file, no symbolic link, not *.gz, of at most 16 MiB, without NUL in its first KiB. The first `limit`
/// of them, as long as they are 1 GiB at most. `alive` is called now and then, and may throw to stop it.
Corpus list_text_files(const std::filesystem::path& folder, std::size_t limit, const std::function<void()>& alive);

/// For the workers, so that a file has the same index everywhere.
void save(const Corpus&, const std::filesystem::path&);
Corpus load(const std::filesystem::path&);

/// A file that has gone or cannot be read counts as empty.
Counts count(const std::filesystem::path& folder, const File&);

}    // namespace indexer
