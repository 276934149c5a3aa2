// A rocksdb::Env over cairn::FileSystem, so that crash tests and fault
// injection reach the index too.

#ifndef CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_ENV_H_
#define CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_ENV_H_

#include <memory>

#include "lib/io/file_system.h"
#include "rocksdb/env.h"

namespace cairn {
namespace storage {

// Files go to `fs` (borrowed); threads and time are RocksDB's own.
std::unique_ptr<rocksdb::Env> NewRocksDbEnv(FileSystem* fs);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_ROCKSDB_ENV_H_
