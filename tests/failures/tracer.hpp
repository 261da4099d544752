// Makes one system call of a forked process fail: the n-th between two marks, with an error of choice.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace keyrack::tests {

/// The errors that a system call may give at any time, through no fault of its caller. Empty: none, or whoever makes it
/// can do nothing about it.
const std::vector<int>& plausible_errors(long call, unsigned long first_argument, unsigned long second_argument);

/// Errors after which the caller of the library has not got what he asked for: they must be told.
bool must_be_told(long call, int error);

/// "openat"; the number where it has no name here.
std::string call_name(long call);

/// Tells the tracer where the calls that may fail begin and end.
void mark_begin();
void mark_end();

struct Traced {
  int status = 0;           // as waitpid() has it
  std::size_t calls = 0;    // made between the marks, by all threads, that have plausible errors
  std::string failed;       // "openat: Too many open files"; empty: none did
  bool must_be_told = false;
  bool exhausted = false;    // the call has fewer errors than that
};

/// Runs `body` in a forked process. Its `call`-th call (from 1; 0: none) gives its `error`-th plausible error, and is
/// not made.
Traced run_traced(const std::function<void()>& body, std::size_t call, std::size_t error);

}    // namespace keyrack::tests
