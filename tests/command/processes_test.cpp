// What is said of processes whose command line can be read, and of others.
#include "processes.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace keyrack::command {
namespace {

/// A picture whose only session, in slot 3, says that it is this very process.
Snapshot picture() {
  struct stat name_space {};
  EXPECT_EQ(::stat("/proc/self/ns/pid", &name_space), 0);
  SessionPicture session;
  session.slot = 3;
  session.pid = ::getpid();
  session.pid_namespace = name_space.st_ino;
  session.alive = true;
  session.command = "short";
  Snapshot snapshot;
  snapshot.sessions.push_back(session);
  return snapshot;
}

TEST(Processes, TheLivingHaveACommandLine) {
  const std::string command = Processes(picture()).command_of(3);
  EXPECT_NE(command.find("keyrack_command_tests"), std::string::npos) << command;
}

TEST(Processes, WhatProcDoesNotShowHasItsShortCommand) {
  Snapshot other_namespace = picture();
  other_namespace.sessions[0].pid_namespace += 1;
  EXPECT_EQ(Processes(other_namespace).command_of(3), "short");
  Snapshot no_such_process = picture();
  no_such_process.sessions[0].pid = 0x7fffffff;
  EXPECT_EQ(Processes(no_such_process).command_of(3), "short");
}

TEST(Processes, ThePidOfADeadOneIsNotAsked) {
  Snapshot dead = picture();
  dead.sessions[0].alive = false;
  EXPECT_EQ(Processes(dead).command_of(3), "short");
}

TEST(Processes, NothingIsSaidOfWhoIsNotThere) {
  EXPECT_EQ(Processes(picture()).command_of(4), "");
  EXPECT_EQ(Processes(picture()).command_of(std::nullopt), "");
}

}    // namespace
}    // namespace keyrack::command
