// Segments as files: what is refused and how it is said, whose they are, what is left when there is no room for one.
#include "segment_fixture.hpp"

#include "table/layout.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace keyrack::tests {
namespace {

namespace fs = std::filesystem;

class SegmentTest : public SegmentFixture {
 protected:
  void write_file(const std::string& bytes) const {
    std::ofstream(segment_.path(), std::ios::binary | std::ios::trunc) << bytes;
  }

  /// Lays bytes over a segment.
  void patch(std::size_t offset, const std::string& bytes) const {
    std::fstream file(segment_.path(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
    ASSERT_TRUE(file.flush());
  }

  /// Refused by everything that opens, with a detail, and without a change.
  void expect_refused(const std::string& code, std::string_view query = "") const {
    const std::string before = bytes_of(segment_.path());
    const auto locks = try_locks(query);
    EXPECT_EQ(outcome(locks), code);
    if (!locks) {
      EXPECT_NE(locks.error().detail, "");
      EXPECT_NE(locks.error().message().find(locks.error().detail), std::string::npos);
    }
    EXPECT_EQ(outcome(open_name_manager(segment_.url(query))), code);
    if (query.empty()) {
      EXPECT_EQ(outcome(open_inspector(segment_.name()).error().code), code);
    }
    EXPECT_EQ(bytes_of(segment_.path()) == before, true) << "a refusal changes nothing";
  }

  mode_t mode() const {
    struct stat status {};
    EXPECT_EQ(::stat(segment_.path().c_str(), &status), 0);
    return status.st_mode & 07777;
  }
};

// --- Which there are ---

TEST_F(SegmentTest, OpenOnly) {
  const auto none = try_locks("create=false");
  ASSERT_EQ(outcome(none), "no_segment");
  EXPECT_NE(none.error().detail.find(segment_.name()), std::string::npos);
  EXPECT_EQ(outcome(open_name_manager(segment_.url("create=false"))), "no_segment");
  EXPECT_EQ(outcome(open_inspector(segment_.name()).error().code), "no_segment");
  EXPECT_EQ(outcome(remove_segment(segment_.name())), "no_segment");
  EXPECT_FALSE(fs::exists(segment_.path()));

  ASSERT_EQ(outcome(open_locks("slots=64&sessions=8")->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(open_locks("create=false")->check("job")), "anna") << "the segment outlives its services";
}

TEST_F(SegmentTest, Listed) {
  const auto is_listed = [&] {
    for (const SegmentFile& file : list_segments().value()) {
      if (file.name == segment_.name()) return file.bytes > 0 && file.uid == ::geteuid() && file.mode == 0600;
    }
    return false;
  };
  EXPECT_FALSE(is_listed());
  write_file("no segment");
  EXPECT_FALSE(is_listed());
  fs::remove(segment_.path());
  (void)open_locks("slots=64&sessions=8");
  EXPECT_TRUE(is_listed());
}

TEST_F(SegmentTest, RemovedTheAttachedKeepTheirs) {
  const auto old_locks = open_locks("slots=64&sessions=8");
  ASSERT_EQ(outcome(old_locks->lock({"job", "anna"}, kBound)), "ok");
  Child attached([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say(outcome(mine->lock({"job", "ben"})));
    parent.hear();
    parent.say(outcome(mine->lock({"job", "ben"})));
    parent.say(outcome(mine->lock({"childs", "ben"}, kBound)));
    parent.hear();
  });
  ASSERT_EQ(attached.hear(), "forbidden");

  EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  EXPECT_FALSE(fs::exists(segment_.path()));
  EXPECT_EQ(outcome(remove_segment(segment_.name())), "no_segment");
  attached.tell("go");
  EXPECT_EQ(attached.hear(), "forbidden");
  EXPECT_EQ(attached.hear(), "ok");
  EXPECT_EQ(outcome(old_locks->lock({"childs", "anna"})), "forbidden");

  const auto new_locks = open_locks("slots=128&sessions=8");
  EXPECT_EQ(outcome(new_locks->lock({"job", "carl"}, kBound)), "ok") << "another segment of the same name";
  EXPECT_EQ(outcome(old_locks->check("job")), "anna");
  EXPECT_EQ(outcome(new_locks->check("childs")), "not_found");
  attached.kill();
  EXPECT_EQ(outcome(old_locks->lock({"childs", "anna"})), "transferred from ben") << "deaths are seen there, too";
}

TEST_F(SegmentTest, NamesThatNoSegmentCanHave) {
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                                  std::string("/a"), std::string("a\0b", 3), std::string(256, 'n')}) {
    EXPECT_EQ(outcome(remove_segment(name)), "bad_request") << name;
    EXPECT_EQ(outcome(open_inspector(name).error().code), "bad_url") << name;
  }
}

// --- Another geometry, another layout, other bytes ---

TEST_F(SegmentTest, AnotherGeometryIsIncompatible) {
  (void)open_locks("slots=64&sessions=8&max_signature=32&max_signee=16");
  for (const char* option : {"slots=65", "sessions=9", "max_signature=31", "max_signee=17"}) {
    SCOPED_TRACE(option);
    expect_refused("incompatible_segment", option);
    const std::string detail = try_locks(option).error().detail;
    EXPECT_NE(detail.find(std::string(option).substr(0, std::string(option).find('='))), std::string::npos) << detail;
  }
  EXPECT_EQ(outcome(try_locks("slots=64&sessions=8&max_signature=32&max_signee=16")), "open");
  EXPECT_EQ(outcome(try_locks("max_signee=16")), "open");
  const auto locks = open_locks();
  EXPECT_EQ(outcome(locks->lock({std::string(33, 'k'), "anna"})), "bad_request") << "the segment's own hold";
  EXPECT_EQ(outcome(locks->lock({std::string(32, 'k'), std::string(17, 's')})), "bad_request");
  EXPECT_EQ(outcome(locks->lock({std::string(32, 'k'), std::string(16, 's')})), "ok");
}

TEST_F(SegmentTest, AnotherLayoutIsIncompatible) {
  do_not_audit();
  const auto flipped = [](auto number) {
    number = static_cast<decltype(number)>(number ^ 0x40);
    return std::string(reinterpret_cast<const char*>(&number), sizeof number);
  };
  struct Patch {
    std::size_t offset, size;
  };
  for (const Patch part : {Patch{offsetof(table::Header, layout_version), sizeof(table::Header::layout_version)},
                           Patch{offsetof(table::Header, fingerprint), sizeof(table::Header::fingerprint)},
                           Patch{offsetof(table::Header, boot_id), sizeof(table::Header::boot_id)}}) {
    SCOPED_TRACE("offset " + std::to_string(part.offset));
    (void)open_locks("slots=64&sessions=8");
    const std::string good = bytes_of(segment_.path()).substr(part.offset, part.size);
    patch(part.offset, flipped(good[0]));
    expect_refused("incompatible_segment");
    patch(part.offset, good);
    EXPECT_EQ(outcome(try_locks()), "open");
  }
}

TEST_F(SegmentTest, BytesThatMakeNoSense) {
  do_not_audit();
  std::string noise(1 << 20, '\0');
  std::uint32_t dice = 4711;
  for (char& byte : noise) {
    dice = dice * 1664525 + 1013904223;
    byte = static_cast<char>(dice >> 24);
  }
  for (const std::string& garbage :
       {std::string("x"), std::string("hello, world\n"), std::string(4096, '\xff'), noise}) {
    SCOPED_TRACE(std::to_string(garbage.size()) + " bytes");
    write_file(garbage);
    expect_refused("corrupt_segment");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(SegmentTest, TruncatedOnes) {
  do_not_audit();
  (void)open_locks("slots=64&sessions=8");
  const std::string whole = bytes_of(segment_.path());
  for (const std::size_t size : {whole.size() - 1, whole.size() - 4096, whole.size() / 2, std::size_t{4096},
                                 sizeof(table::Header), std::size_t{128}}) {
    SCOPED_TRACE(std::to_string(size) + " bytes");
    write_file(whole.substr(0, size));
    expect_refused("corrupt_segment");
  }
  write_file(whole + std::string(4096, 'x'));
  EXPECT_EQ(outcome(try_locks()), "open") << "more bytes than needed are nobody's business";
  write_file(whole);
  EXPECT_EQ(outcome(try_locks()), "open");
}

TEST_F(SegmentTest, AGeometryThatMakesNoSense) {
  do_not_audit();
  (void)open_locks("slots=64&sessions=8");
  const std::string whole = bytes_of(segment_.path());
  for (std::size_t number = 0; number < 4; ++number) {
    for (const std::uint32_t value : {0u, 0xffff'ffffu}) {
      SCOPED_TRACE("number " + std::to_string(number) + " is " + std::to_string(value));
      patch(offsetof(table::Header, geometry) + 4 * number, std::string(reinterpret_cast<const char*>(&value), 4));
      expect_refused("corrupt_segment");
      write_file(whole);
    }
  }
}

TEST_F(SegmentTest, WhatIsNoFile) {
  do_not_audit();
  const fs::path elsewhere = fs::temp_directory_path() / segment_.name();
  const std::vector<std::pair<const char*, std::function<void()>>> makers{
      {"folder", [&] { fs::create_directory(segment_.path()); }},
      {"pipe", [&] { ASSERT_EQ(::mkfifo(segment_.path().c_str(), 0600), 0); }},
      {"link to nothing", [&] { fs::create_symlink(elsewhere, segment_.path()); }},
  };
  for (const auto& [kind, make] : makers) {
    SCOPED_TRACE(kind);
    make();
    const auto locks = try_locks("slots=64");
    EXPECT_FALSE(locks);
    EXPECT_FALSE(open_inspector(segment_.name()));
    EXPECT_FALSE(fs::exists(elsewhere));
    fs::remove(segment_.path());
  }
}

// --- Whose they are ---

TEST_F(SegmentTest, ModeIsHonoured) {
  const mode_t mask = ::umask(0077);
  for (const auto& [option, expected] :
       {std::pair{"", 0600u}, {"mode=0644", 0644u}, {"mode=0666", 0666u}, {"mode=0660", 0660u}, {"mode=640", 0640u}}) {
    (void)open_locks(std::string("slots=64&sessions=8") + (*option ? "&" : "") + option);
    EXPECT_EQ(mode(), expected) << option;
    (void)open_locks("mode=0666");
    EXPECT_EQ(mode(), expected) << "counts only when the segment is made";
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
  ::umask(mask);
}

TEST_F(SegmentTest, AnotherUsersSegment) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const auto as_nobody = [&](const std::function<std::string()>& act) {
    Child child([&](Child::Link& parent) {
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) {
        parent.say("still root");
        return;
      }
      parent.say(act());
    });
    return child.hear();
  };
  (void)open_locks("slots=64&sessions=8");
  EXPECT_EQ(as_nobody([&] { return outcome(try_locks()); }), "permission_denied");
  EXPECT_EQ(as_nobody([&] { return outcome(try_locks("create=false")); }), "permission_denied");
  EXPECT_EQ(as_nobody([&] { return try_locks().error().detail.empty() ? "no detail" : "detail"; }), "detail");
  EXPECT_EQ(as_nobody([&] { return outcome(open_name_manager(segment_.url())); }), "permission_denied");
  EXPECT_EQ(as_nobody([&] { return outcome(open_inspector(segment_.name()).error().code); }), "permission_denied");
  EXPECT_EQ(as_nobody([&] { return outcome(remove_segment(segment_.name())); }), "permission_denied");
  ASSERT_TRUE(fs::exists(segment_.path()));

  ASSERT_EQ(::chmod(segment_.path().c_str(), 0644), 0);
  EXPECT_EQ(as_nobody([&] { return outcome(try_locks()); }), "permission_denied") << "reading is not enough";
  EXPECT_EQ(
      as_nobody([&] { return std::to_string(open_inspector(segment_.name()).value()->snapshot()->segment.slots); }),
      "64")
      << "but it is for looking";

  ASSERT_EQ(::chmod(segment_.path().c_str(), 0666), 0);
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  EXPECT_EQ(as_nobody([&] { return outcome(open_locks()->lock({"job", "ben"}, kBound)); }), "forbidden");
  EXPECT_EQ(as_nobody([&] {
              (void)open_locks().release()->lock({"other", "ben"}, kBound);    // never closed: it dies with its holder
              return std::string("locked");
            }),
            "locked");
  EXPECT_TRUE(eventually([&] { return outcome(locks->lock({"other", "anna"})) == "transferred from ben"; }));
}

// --- No room ---

// In a mount namespace of its own, with a /dev/shm of one MiB. `act` says what came of it.
Child with_little_shared_memory(const std::function<void(Child::Link&)>& act) {
  return Child([=](Child::Link& parent) {
    const bool done = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                      ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
    parent.say(done ? "mounted" : std::string("refused: ") + std::strerror(errno));
    if (done) act(parent);
  });
}

TEST_F(SegmentTest, AFullSharedMemoryIsSaidAndLeftAsItWas) {
  Child child = with_little_shared_memory([&](Child::Link& parent) {
    const auto refused = try_locks();
    parent.say(outcome(refused));
    parent.say(refused ? "" : refused.error().detail);
    parent.say(fs::is_empty("/dev/shm") ? "empty" : "something is left");
    const auto small = try_locks("slots=64&sessions=8");
    parent.say(outcome(small));
    parent.say(small ? outcome((*small)->lock({"job", "anna"})) : "");
  });
  const std::string words = child.hear();
  if (words.starts_with("refused")) GTEST_SKIP() << "no mount namespace to be had: " << words;
  EXPECT_EQ(child.hear(), "backend_unavailable");
  const std::string detail = child.hear();
  EXPECT_NE(detail.find("MiB"), std::string::npos) << detail;
  EXPECT_NE(detail.find("/dev/shm"), std::string::npos) << detail;
  EXPECT_EQ(child.hear(), "empty");
  EXPECT_EQ(child.hear(), "open");
  EXPECT_EQ(child.hear(), "ok");
}

TEST_F(SegmentTest, ASegmentHasItsMemoryFromTheStart) {
  Child child = with_little_shared_memory([&](Child::Link& parent) {
    const auto locks = open_locks("slots=512&sessions=8");
    {
      std::ofstream rest("/dev/shm/rest", std::ios::binary);
      while (rest.write(std::string(4096, 'x').data(), 4096)) rest.flush();
    }
    int locked = 0;
    while (outcome(locks->lock({"key/" + std::to_string(locked), std::to_string(locked)})) == "ok") ++locked;
    parent.say(std::to_string(locked) + " locked");
  });
  const std::string words = child.hear();
  if (words.starts_with("refused")) GTEST_SKIP() << "no mount namespace to be had: " << words;
  EXPECT_EQ(child.hear(), "512 locked") << "a page that cannot be had would kill the process";
  EXPECT_EQ(child.join(), 0);
}

/// Does this system make huge pages of shared memory?
bool has_huge_pages() {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  const int file = ::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  bool collapsed = false;
  if (file >= 0 && ::ftruncate(file, kHuge) == 0 && ::posix_fallocate(file, 0, kHuge) == 0) {
    void* const room = ::mmap(nullptr, 2 * kHuge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char* const aligned = static_cast<char*>(room) + (kHuge - reinterpret_cast<std::uintptr_t>(room) % kHuge) % kHuge;
    collapsed = ::mmap(aligned, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == aligned &&
                ::madvise(aligned, kHuge, 25 /* MADV_COLLAPSE */) == 0;
    ::munmap(room, 2 * kHuge);
  }
  ::close(file);
  return collapsed;
}

/// KiB of a file's mappings that are mapped by huge pages.
int huge_kib(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  std::ifstream smaps("/proc/self/smaps");
  const std::string inode = " " + std::to_string(status.st_ino) + " ";    // its maker knows it by no name
  int kib = 0;
  bool of_it = false;
  for (std::string line; std::getline(smaps, line);) {
    const bool begins_a_mapping = line.find('-') < line.find(' ');
    if (begins_a_mapping) of_it = line.find(inode) != std::string::npos;
    if (of_it && line.starts_with("ShmemPmdMapped:")) kib += std::stoi(line.substr(15));
  }
  return kib;
}

TEST_F(SegmentTest, ALargeSegmentHasHugePagesWhereTheSystemDoes) {
  const auto locks = open_locks("slots=16384");
  EXPECT_EQ(outcome(locks->lock({"key", "me"})), "ok");
  if (!has_huge_pages()) GTEST_SKIP() << "this system makes none";
  EXPECT_GE(huge_kib(segment_.path()), 2048);
}

TEST_F(SegmentTest, AHalfMadeSegmentThatDoesNotFit) {
  Child child = with_little_shared_memory([&](Child::Link& parent) {
    write_file("");
    parent.say(outcome(try_locks()));
    parent.say(outcome(try_locks("slots=64&sessions=8")));
  });
  const std::string words = child.hear();
  if (words.starts_with("refused")) GTEST_SKIP() << "no mount namespace to be had: " << words;
  EXPECT_EQ(child.hear(), "backend_unavailable");
  EXPECT_EQ(child.hear(), "open") << "it can still be finished";
}

}    // namespace
}    // namespace keyrack::tests
