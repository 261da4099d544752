// Which sanitizer watches this build: some of what processes do is more than a sanitizer can follow.
#pragma once

#if defined(__has_feature)
#define KEYRACK_TESTS_HAS_FEATURE(feature) __has_feature(feature)
#else
#define KEYRACK_TESTS_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_THREAD__)
#define KEYRACK_TESTS_THREAD_SANITIZER 1
#else
#define KEYRACK_TESTS_THREAD_SANITIZER KEYRACK_TESTS_HAS_FEATURE(thread_sanitizer)
#endif

#if defined(__SANITIZE_ADDRESS__)
#define KEYRACK_TESTS_ADDRESS_SANITIZER 1
#else
#define KEYRACK_TESTS_ADDRESS_SANITIZER KEYRACK_TESTS_HAS_FEATURE(address_sanitizer)
#endif

namespace keyrack::tests {

inline constexpr bool kThreadSanitizer = KEYRACK_TESTS_THREAD_SANITIZER;
inline constexpr bool kAddressSanitizer = KEYRACK_TESTS_ADDRESS_SANITIZER;

}    // namespace keyrack::tests
