// The reference rules: what keyrack's services may answer, one call after the other.
#pragma once

#include "lock_rules.hpp"
#include "name_rules.hpp"
