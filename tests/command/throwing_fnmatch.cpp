// Loaded before the C library: an exception where none is expected, in the middle of a picture.
#include <new>

extern "C" int fnmatch(const char* pattern, const char*, int) {
  if (pattern[0] == '!') throw 42;    // nobody catches it
  throw std::bad_alloc();
}
