// Room for a new key: a free record, or one that nobody needs any more.
#pragma once

#include "table/chain.hpp"

namespace keyrack::table {

/// A record in ALLOC for this session, in no chain, with a token above its old one and above `floor`. Free records
/// first, then unlocked ones, those past their time to live, those of dead processes, those whose lease is past. Empty
/// when every record is held, or is a name that is registered.
std::optional<Hit> take_free_record(Session&, std::uint64_t floor);

}    // namespace keyrack::table
