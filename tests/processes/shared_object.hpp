// Memory that a process and all that it forks see alike, and that outlives those of them that are killed.
#pragma once

#include <sys/mman.h>

#include <new>

namespace keyrack::tests {

template <class T>
class SharedObject {
 public:
  SharedObject() {
    void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    object_ = new (memory) T{};
  }
  ~SharedObject() { ::munmap(object_, sizeof(T)); }
  SharedObject(const SharedObject&) = delete;
  SharedObject& operator=(const SharedObject&) = delete;

  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  T* object_;
};

}    // namespace keyrack::tests
