#include "table/table.hpp"

namespace keyrack::table {

namespace {
std::uint64_t tail_word(std::string_view bytes, std::size_t from) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + from, bytes.size() - from);
  return word;
}
}    // namespace

bool words_equal(const Word* words, std::string_view bytes) {
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    if (words[at / 8].load(std::memory_order_relaxed) != word) return false;
  }
  return at == bytes.size() || words[at / 8].load(std::memory_order_relaxed) == tail_word(bytes, at);
}

void write_words(Word* words, std::string_view bytes) {
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, 8);
    words[at / 8].store(word, std::memory_order_relaxed);
  }
  if (at < bytes.size()) words[at / 8].store(tail_word(bytes, at), std::memory_order_relaxed);
}

std::string read_words(const Word* words, std::size_t bytes) {
  std::string text(round_up(bytes, 8), '\0');
  for (std::size_t at = 0; at < text.size(); at += 8) {
    const std::uint64_t word = words[at / 8].load(std::memory_order_relaxed);
    std::memcpy(text.data() + at, &word, 8);
  }
  text.resize(bytes);
  return text;
}

}    // namespace keyrack::table
