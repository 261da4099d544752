// A segment: one named shared-memory object with one table in it.
//
// Creating. The object is made without a name, formatted, and then linked to its name in one step: a segment that can
// be seen is complete, and a creator that dies or stops before leaves nothing. Of several creators one wins, the others
// open what he made. An object of that name that is not complete (empty, or never made ready) was left by somebody
// else's means; it is formatted in place under a lock that the kernel takes from the dead.
//
// Cutting short. The memory of a segment cannot run out, but whoever may write the object may cut it (truncate): the
// kernel then ends those who touch what is missing, by SIGBUS. New openers are told corrupt_segment; so are those who
// only look, unless it is cut while they do. The attached cannot be saved, short of a signal handler, which is not a
// library's to install.
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

  /// False: the object was cut short since it was opened. Whoever touches what is missing is ended by SIGBUS.
  bool is_whole() const;

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

/// Leases run on one clock: refuses a process that has another than the segment's, in a time namespace of its own.
Result<void, OpenError> check_clock(const table::Header&);

/// For looking only: a mapping that cannot be written.
OpenedSegment open_segment_read_only(const std::string& name);

/// The bytes of a segment in a file of its own, from whichever host and boot, and its times there: the monotonic
/// clock's.
struct Copy {
  std::shared_ptr<const Segment> segment;
  std::int64_t created_ns, copied_ns;    // the latter as far as the file tells
};
Result<Copy, OpenError> open_copy_read_only(const std::string& path);

}    // namespace keyrack::shm
