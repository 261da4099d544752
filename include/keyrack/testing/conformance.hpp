// The suite that any backend must pass, for both services.
//
// Derive from ServiceBootstrap, and instantiate the suite in one source file of a GoogleTest binary:
//
//     #include <keyrack/testing/conformance.hpp>
//
//     class Place : public keyrack::testing::ServiceBootstrap { … };
//
//     KEYRACK_INSTANTIATE_CONFORMANCE(MyBackend, keyrack::testing::ServiceFactory{
//                                                    "Plain", [] { return std::make_unique<Place>(); }});
//
// Rules that need a second process are skipped where ServiceTraits::processes is false; nothing else is optional. The
// tests fork, so link nothing that starts threads before main().
#pragma once

#include <keyrack/testing/bootstrap.hpp>
#include <keyrack/testing/lock_service_conformance.hpp>
#include <keyrack/testing/name_manager_conformance.hpp>

#include <gtest/gtest.h>

#define KEYRACK_INSTANTIATE_ONE_(prefix, suite, ...)                      \
  using keyrack::testing::suite;                                          \
  INSTANTIATE_TEST_SUITE_P(prefix, suite, ::testing::Values(__VA_ARGS__), \
                           [](const auto& tested) { return tested.param.name; })

/// All suites, on the places of one or more ServiceFactory.
#define KEYRACK_INSTANTIATE_CONFORMANCE(prefix, ...)                            \
  KEYRACK_INSTANTIATE_ONE_(prefix, LockServiceConformance, __VA_ARGS__);        \
  KEYRACK_INSTANTIATE_ONE_(prefix, LockServiceCycleConformance, __VA_ARGS__);   \
  KEYRACK_INSTANTIATE_ONE_(prefix, NamedMutexConformance, __VA_ARGS__);         \
  KEYRACK_INSTANTIATE_ONE_(prefix, LockServiceProcessConformance, __VA_ARGS__); \
  KEYRACK_INSTANTIATE_ONE_(prefix, NameManagerConformance, __VA_ARGS__);        \
  KEYRACK_INSTANTIATE_ONE_(prefix, NameManagerProcessConformance, __VA_ARGS__)
