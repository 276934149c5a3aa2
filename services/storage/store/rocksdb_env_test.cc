#include "services/storage/store/rocksdb_env.h"

#include <cstdarg>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kFolder[] = "/index";

class NoLog : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Status Open(rocksdb::Env* env, std::unique_ptr<rocksdb::DB>* db) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.info_log = std::make_shared<NoLog>();
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, kFolder, &opened);
  db->reset(opened);
  return status;
}

rocksdb::Status Put(rocksdb::DB* db, const std::string& value) {
  rocksdb::WriteOptions options;
  options.sync = true;
  return db->Put(options, "key", value);
}

// Whatever a power cut leaves of the folder's entries, a database that was
// opened once can be opened again, and has what was synced.
TEST(RocksDbEnvTest, APowerCutAtAnyChangeOfAnOpeningLeavesADatabase) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/20);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    bool stopped = true;
    for (uint64_t changes = 0; stopped; ++changes) {
      SCOPED_TRACE(absl::StrCat("power cut after ", changes, " changes"));
      CrashableFileSystem fs(run.seed() * 1000 + changes);
      ASSERT_THAT(fs.CreateDirectory(kFolder), IsOk());
      ASSERT_THAT(fs.SyncDirectory("/"), IsOk());
      const std::unique_ptr<rocksdb::Env> env = NewRocksDbEnv(&fs);
      std::unique_ptr<rocksdb::DB> db;
      const rocksdb::Status first = Open(env.get(), &db);
      ASSERT_TRUE(first.ok()) << first.ToString();
      ASSERT_TRUE(Put(db.get(), "value").ok());
      db.reset();

      fs.StopAfter(changes);
      static_cast<void>(Open(env.get(), &db));
      db.reset();
      stopped = fs.stopped();
      fs.Crash();
      const rocksdb::Status opened = Open(env.get(), &db);
      ASSERT_TRUE(opened.ok()) << opened.ToString();
      std::string value;
      ASSERT_TRUE(db->Get(rocksdb::ReadOptions(), "key", &value).ok());
      EXPECT_EQ(value, "value");
    }
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
