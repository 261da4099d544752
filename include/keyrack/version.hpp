// The version of the library, and the mark that puts a symbol into its interface.
#pragma once

#define KEYRACK_VERSION_MAJOR 0
#define KEYRACK_VERSION_MINOR 1
#define KEYRACK_VERSION_PATCH 0
#define KEYRACK_VERSION "0.1.0"

#define KEYRACK_API __attribute__((visibility("default")))
