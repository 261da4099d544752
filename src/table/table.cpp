#include "table/table.hpp"

namespace keyrack::table {

void write_words(Word* words, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    words[at / 8].store(word_at(bytes, at), std::memory_order_relaxed);
  }
}

void read_words(const Word* words, std::size_t bytes, std::string& text) {
  text.resize(bytes);
  std::size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    const std::uint64_t word = words[at / 8].load(std::memory_order_relaxed);
    std::memcpy(text.data() + at, &word, 8);
  }
  if (at == bytes) return;
  for (std::uint64_t word = words[at / 8].load(std::memory_order_relaxed); at < bytes; ++at, word >>= 8) {
    text[at] = static_cast<char>(word);
  }
}

std::string read_words(const Word* words, std::size_t bytes) {
  std::string text;
  read_words(words, bytes, text);
  return text;
}

}    // namespace keyrack::table
