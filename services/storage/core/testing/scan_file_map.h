// StorePath::ScanFiles() of a path that has its files in a map.

#ifndef CAIRN_SERVICES_STORAGE_CORE_TESTING_SCAN_FILE_MAP_H_
#define CAIRN_SERVICES_STORAGE_CORE_TESTING_SCAN_FILE_MAP_H_

#include <map>
#include <string>

#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// By the keys of the files. Returns where the rest begins; like every path it
// ends now and then before it must.
std::string ScanFileMap(const std::map<std::string, KnownFile>& files,
                        const FileRange& range, FileVisitor* visitor);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_TESTING_SCAN_FILE_MAP_H_
