// Makes the archive of the version that is checked out. When a format changes,
// and before a release:
//
//   bazel test //integration_tests/compat:make_fixture
//
// then copy fixture.tar.gz from test.outputs to testdata/<version>.tar.gz.
// Archives that are there stay as they are for ever.

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/compat/fixture.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

namespace fs = std::filesystem;

// In the journal, over a block's end, and in a segment of its own.
const std::vector<int64_t> kSizes = {0,     1,     100,    4096,
                                     20000, 70000, 300000, (3 << 20) / 2};

void PutAll(StorageStub* stub, Oracle* oracle, uint64_t seed,
            const std::vector<int64_t>& sizes,
            std::vector<std::string>* file_ids) {
  for (const int64_t size : sizes) {
    const Uuid request = oracle->BeginPut(size, ++seed, /*synced=*/true);
    const auto stored = stub->Put(request, ContentOf(seed, size));
    ASSERT_THAT(stored, IsOk());
    oracle->Stored(request, stored->file_id, stored->replicas);
    file_ids->push_back(stored->file_id);
  }
}

void Delete(StorageStub* stub, Oracle* oracle, const std::string& file_id) {
  const Uuid request = oracle->BeginDelete(file_id);
  ASSERT_THAT(stub->Delete(request, file_id), IsOk());
  oracle->Deleted(request);
}

TEST(MakeFixture, OfThisVersion) {
  const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  ASSERT_NE(outputs, nullptr);
  auto started = MiniCluster::Start(
      {.storages = 2,
       .members = 2,
       .storage_config = "engine { segment_bytes: 1048576 }\n"});
  ASSERT_THAT(started, IsOk());
  MiniCluster* const cluster = started->get();
  const std::string folder = MakeTempFolder("fixture");
  auto oracle = Oracle::Open(folder + "/oracle");
  ASSERT_THAT(oracle, IsOk());

  StorageStub first(cluster->storage(0)->address());
  StorageStub second(cluster->storage(1)->address());
  std::vector<std::string> file_ids;
  PutAll(&first, oracle->get(), 1000, kSizes, &file_ids);
  PutAll(&second, oracle->get(), 2000, {0, 5000, 100000}, &file_ids);
  Delete(&first, oracle->get(), file_ids[2]);
  Delete(&second, oracle->get(), file_ids[9]);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (StorageStub* stub : {&first, &second}) {
    absl::StatusOr<int64_t> files;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      files = stub->Files();
    } while ((!files.ok() || *files != (*oracle)->live()) &&
             absl::Now() < deadline);
    ASSERT_THAT(files, IsOkAndHolds((*oracle)->live()));
  }

  auto decided = Process::Start(
      {Runfile("clients/cli/cairn"),
       {"node", "set", "storage0", "--weight", absl::StrCat(kFixtureWeight),
        "--tracker", cluster->tracker()->address(), "--secret-file",
        cluster->secret_file(), "--yes", "--timeout", "60s"},
       cluster->folder() + "/cairn"});
  ASSERT_THAT(decided, IsOk());
  const auto ended = (*decided)->Wait();
  ASSERT_THAT(ended, IsOk());
  ASSERT_EQ(ended->ToString(), "exit 0") << (*decided)->Log();

  ASSERT_THAT(cluster->storage(0)->Terminate(), IsOk());
  ASSERT_THAT(cluster->tracker()->Terminate(), IsOk());
  fs::copy(cluster->path_folder(0), folder + "/path0",
           fs::copy_options::recursive);
  fs::copy(cluster->tracker()->folder() + "/data", folder + "/tracker",
           fs::copy_options::recursive);
  ASSERT_THAT(PackFixture(folder, absl::StrCat(outputs, "/fixture.tar.gz")),
              IsOk());
}

}  // namespace
}  // namespace testing
}  // namespace cairn
