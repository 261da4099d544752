#include "table/table.hpp"

#include <algorithm>

namespace keyrack::table {

void write_words(Word* words, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    words[at / 8].store(word_at(bytes, at), std::memory_order_relaxed);
  }
}

std::string read_words(const Word* words, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = words[at / 8].load(std::memory_order_relaxed);
    std::memcpy(text.data() + at, &word, std::min<std::size_t>(8, bytes - at));
  }
  return text;
}

}    // namespace keyrack::table
