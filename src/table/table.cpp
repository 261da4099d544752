#include "table/table.hpp"

namespace keyrack::table {

void write_words(Word* words, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    words[at / 8].store(word_at(bytes, at), std::memory_order_relaxed);
  }
}

void read_words(const Word* words, std::size_t bytes, std::string& text) {
  text.resize(bytes);
  std::uint64_t word = 0, before = 0;
  std::size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    before = words[at / 8].load(std::memory_order_relaxed);
    std::memcpy(text.data() + at, &before, 8);
  }
  const std::size_t rest = bytes - at;
  if (rest == 0) return;
  word = words[at / 8].load(std::memory_order_relaxed);
  if (at > 0) {    // the last eight bytes anew, which costs less than some by some
    word = word << 8 * (8 - rest) | before >> 8 * rest;
    std::memcpy(text.data() + bytes - 8, &word, 8);
    return;
  }
  for (; at < bytes; ++at, word >>= 8) text[at] = static_cast<char>(word);
}

std::string read_words(const Word* words, std::size_t bytes) {
  std::string text;
  read_words(words, bytes, text);
  return text;
}

}    // namespace keyrack::table
