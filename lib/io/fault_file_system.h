// A FileSystem that fails by rules and otherwise passes everything on: for real
// daemons whose disk has to misbehave.

#ifndef CAIRN_LIB_IO_FAULT_FILE_SYSTEM_H_
#define CAIRN_LIB_IO_FAULT_FILE_SYSTEM_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/fault_rules.h"
#include "lib/io/file_system.h"

namespace cairn {

// Wraps `base`, which is borrowed and must outlive it. `rules` has the form of
// ParseFaultRule(), with `;` between rules; empty: nothing fails.
//
// An operation that fails is not passed on, but for a write, half of which is
// done. So a failed sync leaves everything in the page cache, where a killed
// process's successor still finds it: what a power cut does needs
// CrashableFileSystem.
//   INVALID_ARGUMENT  a rule is malformed.
absl::StatusOr<std::unique_ptr<FileSystem>> MakeFaultFileSystem(
    FileSystem* base, absl::string_view rules);

}  // namespace cairn

#endif  // CAIRN_LIB_IO_FAULT_FILE_SYSTEM_H_
