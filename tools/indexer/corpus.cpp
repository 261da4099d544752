#include "corpus.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace indexer {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxFileBytes = 16 << 20;
constexpr std::uint64_t kMaxCorpusBytes = 1 << 30;
constexpr std::size_t kSniffedBytes = 1024;
constexpr std::size_t kPieceBytes = 64 << 10;

bool is_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  std::string start(kSniffedBytes, '\0');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(in.gcount()));
  return start.find('\0') == std::string::npos;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}    // namespace

Counts& Counts::operator+=(const Counts& other) {
  words += other.words;
  lines += other.lines;
  bytes += other.bytes;
  return *this;
}

Corpus list_text_files(const fs::path& folder, std::size_t limit, const std::function<void()>& alive) {
  Corpus corpus{.folder = folder};
  std::vector<File> found;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    alive();
    std::error_code unreadable;
    if (entry->symlink_status(unreadable).type() != fs::file_type::regular) continue;
    const std::uint64_t bytes = entry->file_size(unreadable);
    if (!unreadable && bytes <= kMaxFileBytes && entry->path().extension() != ".gz" && is_text(entry->path())) {
      found.push_back({entry->path().lexically_relative(folder).string(), bytes});
    } else {
      ++corpus.skipped;
    }
  }
  if (error) throw std::system_error(error, "cannot list " + folder.string());

  std::sort(found.begin(), found.end(), [](const File& a, const File& b) { return a.path < b.path; });
  std::uint64_t total = 0;
  for (File& file : found) {
    if (corpus.files.size() == limit || total + file.bytes > kMaxCorpusBytes) break;
    total += file.bytes;
    corpus.files.push_back(std::move(file));
  }
  corpus.left_over = found.size() - corpus.files.size();
  return corpus;
}

// A path may have any byte but NUL in it, so NUL it is that ends each field.
void save(const Corpus& corpus, const fs::path& path) {
  std::ofstream out(path, std::ios::binary);
  out << corpus.folder.string() << '\0';
  for (const File& file : corpus.files) out << file.path << '\0' << file.bytes << '\0';
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string() + "; is there room left?");
}

Corpus load(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string field;
  if (!std::getline(in, field, '\0')) throw std::runtime_error("cannot read " + path.string());
  Corpus corpus{.folder = field};
  while (std::getline(in, field, '\0')) {
    File file{.path = field};
    if (!std::getline(in, field, '\0')) throw std::runtime_error(path.string() + " ends half-way");
    file.bytes = std::stoull(field);
    corpus.files.push_back(std::move(file));
  }
  return corpus;
}

Counts count(const fs::path& folder, const File& file) {
  Counts counts;
  std::ifstream in(folder / file.path, std::ios::binary);
  std::vector<char> piece(kPieceBytes);
  bool in_word = false;
  while (in && counts.bytes < file.bytes) {
    in.read(piece.data(),
            static_cast<std::streamsize>(std::min<std::uint64_t>(piece.size(), file.bytes - counts.bytes)));
    const auto got = static_cast<std::size_t>(in.gcount());
    counts.bytes += got;
    for (std::size_t i = 0; i < got; ++i) {
      const bool space = is_space(piece[i]);
      counts.words += !space && !in_word;
      counts.lines += piece[i] == '\n';
      in_word = !space;
    }
  }
  return counts;
}

}    // namespace indexer
