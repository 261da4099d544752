// A segment: one named shared-memory object with one table in it.
//
// Creating. The object is made without a name, formatted, and then linked to its name in one step: a segment that can
// be seen is complete, and a creator that dies or stops before leaves nothing. Of several creators one wins, the others
// open what he made. An object of that name that is not complete (empty, or never made ready) was left by somebody
// else's means; it is formatted in place under a lock that the kernel takes from the dead.
#pragma once

#include "shm/options.hpp"
#include "table/table.hpp"

#include <boost/interprocess/mapped_region.hpp>

#include <memory>
#include <utility>

namespace keyrack::shm {

class Segment {
 public:
  /// What the kernel knows it by: a name may be removed and given again.
  using Id = std::pair<std::uint64_t, std::uint64_t>;    // device, inode

  const table::Table& table() const { return table_; }
  const Id& id() const { return id_; }

  Segment(boost::interprocess::mapped_region region, const table::Layout& layout, Id id)
      : region_(std::move(region)), table_(static_cast<std::byte*>(region_.get_address()), layout), id_(id) {}

 private:
  boost::interprocess::mapped_region region_;
  table::Table table_;
  Id id_;
};

using OpenedSegment = Result<std::shared_ptr<const Segment>, OpenError>;

/// Opens the segment, or creates it where the options allow.
OpenedSegment open_segment(const Options&);

/// For looking only: a mapping that cannot be written.
OpenedSegment open_segment_read_only(const std::string& name);

}    // namespace keyrack::shm
